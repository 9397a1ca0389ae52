//! The file as a store: what outlives crashes and disks that fail.

mod disk;
mod displaced;
mod lines;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use redb::StorageBackend as _;

use super::renewed::Doubt;
use super::*;
use crate::kv::memory::SplitMix;
use disk::Disk;

#[tokio::test]
async fn keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    crate::kv::contract::suite(|| {
        count += 1;
        Arc::new(Redb::open(&folder.path().join(format!("{count}.redb"))).unwrap())
    })
    .await;
}

fn set(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Transaction {
    let mut transaction = Transaction::default();
    transaction.set(key.into(), value.into());
    transaction
}

#[tokio::test]
async fn rows_outlive_the_process_and_a_second_one_is_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = Redb::open(&path).unwrap();
    store.commit(set("k", "v")).await.unwrap();
    let second = Redb::open(&path);
    assert!(matches!(second, Err(KvError::InUse(_))), "{second:?}");
    let clone = store.clone();
    drop(store);
    let second = Redb::open(&path);
    assert!(matches!(second, Err(KvError::InUse(_))), "{second:?}");
    drop(clone);
    let store = Redb::open(&path).unwrap();
    assert_eq!(store.get(b"k").await, Ok(Some("v".into())));
}

#[test]
fn what_is_not_a_database_is_said_so_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let letter = b"a letter to my aunt, which is long enough to look at";
    fs::write(&path, letter).unwrap();
    let opened = Redb::open(&path);
    assert!(matches!(opened, Err(KvError::Corrupt(_))), "{opened:?}");
    assert_eq!(fs::read(&path).unwrap(), letter);

    let nowhere = Redb::open(&folder.path().join("nowhere").join("store.redb"));
    let Err(KvError::Unavailable(text)) = nowhere else {
        panic!("{nowhere:?}")
    };
    assert!(text.ends_with("its folder does not exist"), "{text}");
}

#[test]
fn other_formats_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    for (version, newer) in [(200, true), (2, false)] {
        drop(Redb::open(&path).unwrap());
        let whole = fs::read(&path).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        // Each of the two commit slots of the file's header starts with the version of the format.
        for slot in [64, 192] {
            assert_eq!(whole[slot], 3);
            file.write_all_at(&[version], slot as u64).unwrap();
        }
        let opened = Redb::open(&path).unwrap_err();
        match opened {
            KvError::NewerFormat(text) => assert!(newer && text.starts_with("redb 200 ")),
            KvError::Corrupt(text) => assert!(!newer, "{text}"),
            other => panic!("{other:?}"),
        }
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn a_file_that_is_cut_off_or_emptied_is_damaged_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    drop(Redb::open(&path).unwrap());
    let whole = fs::read(&path).unwrap();
    for length in [0, 20, 1000, 4096, 10_000, whole.len() / 2, whole.len() - 1] {
        let cut = &whole[..length];
        fs::write(&path, cut).unwrap();
        let opened = Redb::open(&path);
        let Err(KvError::Corrupt(text)) = opened else {
            panic!("{length}: {opened:?}")
        };
        assert!(text.contains("store.redb"), "{text}");
        assert_eq!(text.contains("0 bytes"), length == 0, "{text}");
        assert!(fs::read(&path).unwrap() == cut, "{length}");
    }
}

/// Not even where there is no room for its first rows.
#[test]
fn a_file_that_could_not_be_made_is_not_left_empty() {
    let Some(mount) = Mount::new("16k") else {
        println!("SKIPPED: only root may mount a small filesystem");
        return;
    };
    fs::write(mount.0.path().join("ballast"), vec![1; 1 << 20]).unwrap_err();
    let path = mount.0.path().join("store.redb");
    let opened = Redb::open(&path);
    assert!(matches!(opened, Err(KvError::Unavailable(_))), "{opened:?}");
    assert!(!path.exists());
}

/// redb panics on many of these.
#[tokio::test]
async fn a_file_with_a_bad_page_is_damaged_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = Redb::open(&path).unwrap();
    for number in 0..8 {
        count_up(&store, number * 4).await;
        store
            .commit(set(vec![number; 100], vec![0; 3000]))
            .await
            .unwrap();
    }
    drop(store);
    let whole = fs::read(&path).unwrap();
    let mut found = [0; 3];
    for page in (0..whole.len()).step_by(4096) {
        let mut damaged = whole.clone();
        damaged[page..page + 4096].fill(0);
        if damaged == whole {
            continue;
        }
        // One that redb panicked on stays open, and locked.
        let path = folder.path().join(format!("{page}.store.redb"));
        fs::write(&path, damaged).unwrap();
        match Redb::open(&path) {
            Ok(store) => found[usize::from(is_damaged(&store, page).await)] += 1,
            Err(KvError::Corrupt(text)) => {
                assert!(text.contains("store.redb"), "{text}");
                found[2] += 1;
            }
            Err(error) => panic!("page {page}: {error:?}"),
        }
        assert_eq!(Redb::at_work_on(), None);
    }
    println!("well, found when used, found when opened: {found:?}");
    assert!(found[2] > 0, "{found:?}");
}

/// Whether it is found in what is read or written; then it is so the next time, too.
async fn is_damaged(store: &Redb, page: usize) -> bool {
    let mut found = Vec::new();
    for _ in 0..2 {
        let rows = store.range(&[], &[255], 1000, Direction::Forward).await;
        found.push(rows.map(drop).err());
        found.push(store.commit(set("n", "1")).await.err());
    }
    let known = |error: &Option<KvError>| {
        matches!(
            error,
            None | Some(KvError::Corrupt(_) | KvError::Unknown(_))
        )
    };
    assert!(found.iter().all(known), "page {page}: {found:?}");
    let last = found
        .iter()
        .rposition(|error| matches!(error, Some(KvError::Corrupt(_))));
    assert!(matches!(last, None | Some(2 | 3)), "page {page}: {found:?}");
    last.is_some()
}

/// Commits that say `n` in two rows, until one fails: the last that was confirmed, and the last that was tried.
async fn count_up(store: &Redb, from: u8) -> (u8, u8) {
    for number in from..from + 4 {
        let mut transaction = set("n", vec![number]);
        transaction.set("page".into(), vec![number; 20_000].into());
        if let Err(error) = store.commit(transaction).await {
            let honest = matches!(error, KvError::Unknown(_) | KvError::Unavailable(_));
            assert!(honest, "{error:?}");
            return (number - 1, number);
        }
    }
    (from + 3, from + 3)
}

async fn check(store: &Redb, (confirmed, tried): (u8, u8), context: &str) -> u8 {
    let found = store.get(b"n").await.unwrap().unwrap();
    assert!((confirmed..=tried).contains(&found[0]), "{context}");
    let page = store.get(b"page").await.unwrap().unwrap();
    assert_eq!(page, vec![found[0]; 20_000], "{context}");
    found[0]
}

#[tokio::test]
async fn what_was_confirmed_survives_a_power_cut_at_any_operation() {
    let mut random = SplitMix(99);
    let (mut landed, mut lost) = (0, 0);
    for operations in 0..80 {
        let disk = Disk::default();
        let store = disk.start();
        count_up(&store, 1).await;
        disk.break_after(operations);
        let (confirmed, tried) = count_up(&store, 5).await;
        drop(store);
        disk.cut_power(&mut random);
        let context = format!("cut after {operations} operations");
        let found = check(&disk.start(), (confirmed, tried), &context).await;
        landed += u32::from(found > confirmed);
        lost += u32::from(found < tried);
    }
    assert!(lost > 5, "{landed} {lost}");
}

#[tokio::test]
async fn the_store_comes_back_with_the_disk() {
    for operations in 0..30 {
        let disk = Disk::default();
        let store = disk.start();
        count_up(&store, 1).await;
        disk.break_after(operations);
        let outcome = count_up(&store, 5).await;
        for _ in 0..5 {
            // More failures, and attempts to reopen, while it is broken.
            let _ = store.get(b"n").await;
        }
        disk.repair();
        let found = recovered(&store).await;
        let context = format!("broken after {operations} operations");
        assert_eq!(check(&store, outcome, &context).await, found[0]);
        let counted = count_up(&store, 10).await;
        assert_eq!(counted, (13, 13), "{context}");
    }
}

async fn recovered(store: &Redb) -> Bytes {
    for _ in 0..1000 {
        match store.get(b"n").await {
            Ok(found) => return found.unwrap(),
            Err(KvError::Unavailable(_)) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the store stays away");
}

/// What is read after an fsync that failed lies on the disk, whether the process went on or another one opened the file.
#[tokio::test]
async fn what_a_failed_sync_left_in_the_page_cache_is_not_believed() {
    let mut random = SplitMix(7);
    let (mut failed, mut landed) = (0, 0);
    for syncs in 0..4 {
        for another_process in [false, true] {
            let disk = Disk::default();
            let mut store = disk.start();
            count_up(&store, 1).await;
            disk.fail_a_sync_after(syncs);
            let (confirmed, tried) = count_up(&store, 5).await;
            failed += u32::from(disk.has_failed_a_sync());
            let context = format!("sync {syncs} failed, another process: {another_process}");
            let mut left = disk.clone();
            if another_process {
                // This one is killed: it does not close the file.
                left = disk.copy();
                store = left.start();
            }
            let read = read_then_lose_power(&left, &store, &mut random).await;
            assert!((confirmed..=tried).contains(&read), "{context}");
            landed += u32::from(read > confirmed);
        }
    }
    assert!(failed > 4 && landed > 1, "{failed} {landed}");
}

/// The number that is read, which a power cut at that moment does not take back; nor what is written and confirmed upon it.
async fn read_then_lose_power(disk: &Disk, store: &Redb, random: &mut SplitMix) -> u8 {
    let read = recovered(store).await[0];
    for _ in 0..4 {
        let cut = disk.copy();
        cut.cut_power(random);
        assert_eq!(
            check(&cut.start(), (read, read), "after a power cut").await,
            read
        );
    }
    assert_eq!(count_up(store, read + 1).await, (read + 4, read + 4));
    let cut = disk.copy();
    cut.cut_power(random);
    let last = (read + 4, read + 4);
    check(&cut.start(), last, "after more commits and a power cut").await;
    read
}

/// A store with so many rows, and where one of them lies on its disk, or lay.
async fn filled(disk: &Disk, rows: u8) -> Vec<usize> {
    let store = disk.start();
    for row in 0..rows {
        let mut fill = Transaction::default();
        fill.set(vec![row].into(), vec![row; 80_000].into());
        store.commit(fill).await.unwrap();
    }
    count_up(&store, 1).await;
    drop(store);
    disk.find(&[1; 5_000])
}

#[tokio::test]
async fn a_whim_of_the_disk_is_read_over() {
    let disk = Disk::default();
    let at = filled(&disk, 250).await;
    let store = disk.start();
    let opened = disk.opened();
    disk.harm(at, 3);
    assert!(store.get(&[1]).await.unwrap().unwrap() == vec![1; 80_000]);
    assert_eq!(disk.opened(), opened);
}

/// All commits would wait for that.
#[tokio::test]
async fn what_could_not_be_read_for_a_while_does_not_have_the_file_written_anew() {
    let disk = Disk::default();
    // More than redb keeps in memory.
    let at = filled(&disk, 250).await;
    let store = disk.start();
    disk.harm(at, 4);
    let found = store.get(&[1]).await;
    let found = found.map(|found| found.map(|bytes| bytes.len()));
    assert!(matches!(found, Err(KvError::Unavailable(_))), "{found:?}");
    let written = disk.written();
    recovered(&store).await;
    assert!(store.get(&[1]).await.unwrap().unwrap() == vec![1; 80_000]);
    let (written, length) = (disk.written() - written, disk.len().unwrap());
    assert!(
        u64::try_from(written).unwrap() < length / 4,
        "{written} of {length}"
    );
}

/// The process before was killed: the file is written anew, but for what is of no use to anybody.
#[tokio::test]
async fn a_free_page_that_cannot_be_read_is_no_matter() {
    let disk = Disk::default();
    filled(&disk, 3).await;
    let store = disk.start();
    let mut clear = Transaction::default();
    clear.clear(vec![1].into());
    store.commit(clear).await.unwrap();
    count_up(&store, 4).await;
    let killed = disk.copy();
    let at = killed.find(&[1; 5_000]);
    assert!(!at.is_empty());
    killed.harm(at, u32::MAX);
    let again = killed.start();
    assert_eq!(again.get(&[2]).await.unwrap().unwrap(), vec![2; 80_000]);
    assert_eq!(again.get(&[1]).await.unwrap(), None);
    count_up(&again, 7).await;
    drop(store);
}

#[test]
fn a_file_that_was_closed_is_not_written_anew() {
    let disk = Disk::default();
    drop(disk.start());
    assert!(!renewed::was_left_open(&disk, disk.len().unwrap()).unwrap());
    let disk = Disk::default();
    let store = disk.start();
    assert!(renewed::was_left_open(&disk, disk.len().unwrap()).unwrap());
    drop(store);
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_made_again_and_not_asked_for_without_pause() {
    let disk = Disk::default();
    let store = disk.start();
    count_up(&store, 1).await;
    disk.vanish();
    disk.break_after(0);
    assert!(store.commit(set("n", "9")).await.is_err());
    for _ in 0..200 {
        let found = store.get(b"n").await;
        assert!(matches!(found, Err(KvError::Unavailable(_))), "{found:?}");
    }
    let opened = disk.opened();
    assert!((2..50).contains(&opened), "{opened}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    assert!(open(&path, opening::Missing::Refuse, &Doubt::default()).is_err());
    assert!(!path.exists());
}

/// Also while it is not tried: whoever asks then has nothing else to go by.
#[tokio::test]
async fn why_it_failed_is_said_until_it_works_again() {
    let disk = Disk::default();
    let store = disk.start();
    count_up(&store, 1).await;
    disk.break_after(0);
    let mut waited = false;
    for _ in 0..20 {
        let failed = store.commit(set("n", "9")).await.unwrap_err().to_string();
        let causes = failed.matches("no storage space").count();
        assert_eq!(causes, 1, "{failed}");
        waited |= failed.contains("opened again soon");
    }
    assert!(waited);
}

/// A small filesystem of its own, gone when dropped.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then(|| Self(folder))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        // A test that already fails must still say why.
        assert!(thread::panicking() || unmounted.is_ok_and(|status| status.success()));
    }
}

#[tokio::test]
async fn a_full_disk_is_outlived() {
    let Some(mount) = Mount::new("2m") else {
        println!("SKIPPED: only root may mount a small filesystem");
        return;
    };
    let store = Redb::open(&mount.0.path().join("store.redb")).unwrap();
    let ballast = mount.0.path().join("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    count_up(&store, 1).await;
    let mut confirmed = Vec::new();
    let mut failed = 0;
    for number in 0..100_u8 {
        match store.commit(set(vec![number], vec![number; 50_000])).await {
            Ok(()) => confirmed.push(number),
            Err(KvError::Unknown(why) | KvError::Unavailable(why)) => {
                failed += 1;
                assert_eq!(why.matches("No space left").count(), 1, "{why}");
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(confirmed.len() > 2 && failed > 10, "{confirmed:?} {failed}");
    fs::remove_file(ballast).unwrap();
    recovered(&store).await;
    store.commit(set("n", "after")).await.unwrap();
    for number in confirmed {
        let found = store.get(&[number]).await.unwrap();
        assert_eq!(found.unwrap(), vec![number; 50_000]);
    }
    drop(store);
    let store = Redb::open(&mount.0.path().join("store.redb")).unwrap();
    assert_eq!(store.get(b"n").await, Ok(Some("after".into())));
}
