//! A file that is removed, replaced or moved while a process has it open: nothing is done on it until it is back, and it is
//! not lost.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::*;
use crate::kv::redb::opening::{database, refused};
use crate::kv::redb::place::Place;

/// Of a call that is refused because of it.
fn told<T: std::fmt::Debug>(done: Result<T, KvError>, path: &Path) -> String {
    let Err(KvError::Unavailable(said)) = done else {
        panic!("{done:?}")
    };
    let path = path.display().to_string();
    assert!(said.contains(&path), "{said}");
    assert!(said.contains("removed or replaced"), "{said}");
    assert!(said.contains("nothing more is acknowledged"), "{said}");
    said
}

/// Where the sentence says that the file can be copied from.
fn rescue(said: &str) -> PathBuf {
    let begin = said.find("/proc/").unwrap();
    let rest = &said[begin..];
    rest[..rest.find(' ').unwrap()].into()
}

async fn n(path: &Path) -> Option<Bytes> {
    Redb::open(path).unwrap().get(b"n").await.unwrap()
}

fn saved(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".saved-1");
    name.into()
}

#[tokio::test]
async fn a_file_that_was_removed_is_not_written_nor_made_again_and_can_be_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = Redb::open(&path).unwrap();
    store.commit(set("n", "1")).await.unwrap();
    assert_eq!(store.displaced(), None);
    fs::remove_file(&path).unwrap();
    let said = told(store.commit(set("n", "2")).await, &path);
    told(store.get(b"n").await, &path);
    told(store.range(b"a", b"z", 9, Direction::Forward).await, &path);
    assert_eq!(store.displaced(), Some(said.clone()));
    assert!(!path.exists());
    let copy = folder.path().join("copy.redb");
    fs::copy(rescue(&said), &copy).unwrap();
    assert_eq!(n(&copy).await, Some("1".into()));
    // Whoever ends the process before that finds it saved.
    drop(store);
    assert!(!path.exists());
    assert_eq!(n(&saved(&path)).await, Some("1".into()));
}

#[tokio::test]
async fn a_file_that_was_replaced_by_a_copy_is_told_from_it_and_the_copy_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = Redb::open(&path).unwrap();
    store.commit(set("n", "1")).await.unwrap();
    let copy = folder.path().join("copy.redb");
    fs::copy(&path, &copy).unwrap();
    store.commit(set("n", "2")).await.unwrap();
    let older = fs::read(&copy).unwrap();
    fs::rename(&copy, &path).unwrap();
    let said = told(store.get(b"n").await, &path);
    told(store.commit(set("n", "3")).await, &path);
    fs::copy(rescue(&said), &copy).unwrap();
    assert_eq!(n(&copy).await, Some("2".into()));
    drop(store);
    assert!(fs::read(&path).unwrap() == older);
    assert_eq!(n(&saved(&path)).await, Some("2".into()));
}

#[tokio::test]
async fn a_file_that_is_moved_back_is_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let away = folder.path().join("away.redb");
    let store = Redb::open(&path).unwrap();
    store.commit(set("n", "1")).await.unwrap();
    for _ in 0..3 {
        fs::rename(&path, &away).unwrap();
        told(store.commit(set("n", "2")).await, &path);
        fs::write(&path, "another one").unwrap();
        told(store.get(b"n").await, &path);
        assert!(store.displaced().is_some());
        fs::rename(&away, &path).unwrap();
        assert_eq!(store.get(b"n").await, Ok(Some("1".into())));
        assert_eq!(store.displaced(), None);
        store.commit(set("n", "1")).await.unwrap();
    }
    drop(store);
    assert_eq!(n(&path).await, Some("1".into()));
    assert!(!saved(&path).exists());
}

/// A file whose next sync moves it away.
#[derive(Debug)]
struct Moving {
    file: FileBackend,
    path: PathBuf,
    next: Arc<AtomicU8>,
}

const MOVES: u8 = 1;
const MOVES_AND_FAILS: u8 = 2;

impl StorageBackend for Moving {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        let next = self.next.swap(0, Ordering::SeqCst);
        if next != 0 {
            fs::rename(&self.path, self.path.with_extension("away"))?;
        }
        match next {
            MOVES_AND_FAILS => Err(io::Error::other("the disk fails")),
            _ => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
}

fn moving(path: &Path, next: &Arc<AtomicU8>) -> Redb {
    let (path, next) = (path.to_owned(), Arc::clone(next));
    Redb::start(Box::new(move |_, doubt| {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false);
        let file = file.open(&path).unwrap();
        let place = Place::of(&path, &file).unwrap();
        let moving = Moving {
            file: FileBackend::new(file).unwrap(),
            path: path.clone(),
            next: Arc::clone(&next),
        };
        let opened = database(moving, doubt).map_err(|error| refused(&path, error))?;
        Ok((opened, Some(place)))
    }))
    .unwrap()
}

/// It may be found there later, and is not forgotten then.
#[tokio::test]
async fn a_commit_that_lands_in_a_file_that_is_gone_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let next = Arc::default();
    let store = moving(&path, &next);
    store.commit(set("n", "1")).await.unwrap();
    next.store(MOVES, Ordering::SeqCst);
    let done = store.commit(set("n", "2")).await;
    assert!(
        matches!(&done, Err(KvError::Unknown(said)) if said.contains("removed or replaced")),
        "{done:?}"
    );
    told(store.get(b"n").await, &path);
    fs::rename(path.with_extension("away"), &path).unwrap();
    assert_eq!(store.get(b"n").await, Ok(Some("2".into())));
    store.commit(set("n", "3")).await.unwrap();
}

/// What lies at its path by then is another one.
#[tokio::test]
async fn a_file_whose_disk_fails_while_it_is_gone_is_not_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let next = Arc::default();
    let store = moving(&path, &next);
    store.commit(set("n", "1")).await.unwrap();
    next.store(MOVES_AND_FAILS, Ordering::SeqCst);
    let done = store.commit(set("n", "2")).await;
    assert!(matches!(done, Err(KvError::Unknown(_))), "{done:?}");
    drop(Redb::open(&path).unwrap());
    let another = fs::read(&path).unwrap();
    let said = told(store.get(b"n").await, &path);
    assert!(rescue(&said).exists());
    assert!(fs::read(&path).unwrap() == another);
    fs::rename(path.with_extension("away"), &path).unwrap();
    let found = recovered(&store).await;
    assert!(found == "1" || found == "2", "{found:?}");
    store.commit(set("n", "3")).await.unwrap();
    let second = Redb::open(&path);
    assert!(matches!(second, Err(KvError::InUse(_))), "{second:?}");
    drop(store);
    assert_eq!(n(&path).await, Some("3".into()));
}
