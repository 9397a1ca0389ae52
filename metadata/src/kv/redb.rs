//! Rows in one file of this machine, through redb: copy-on-write B-trees, one fsync per commit, locked against other
//! processes. All work runs on one thread of its own, in the order asked. After an I/O error (a full disk, say) the file
//! is opened anew, so that the store comes back with the disk.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redb::{
    CommitError, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, TableError,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{Direction, Kv, KvError, RANGE_BYTES, Rows, Transaction, Write};

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
/// redb would take 1 GiB; the rows in use are few.
const CACHE_BYTES: usize = 16 * 1024 * 1024;
/// Calls waiting for the thread; callers wait in turn beyond it.
const QUEUE_MAX: usize = 256;
/// Between attempts to open a failing file: doubled from the first of these up to the second. Each attempt reads the
/// whole file to repair it.
const REOPEN_AFTER: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

type Reply<T> = oneshot::Sender<Result<T, KvError>>;

/// A file with the rows. Clones share it. Dropping the last one waits until the thread has done what was asked, closed
/// the file and unlocked it; that takes about one fsync.
#[derive(Clone, Debug)]
pub struct Redb(Arc<Running>);

/// Dropped in this order: the thread ends when nobody can ask any more.
#[derive(Debug)]
struct Running {
    jobs: mpsc::Sender<Job>,
    _thread: Joined,
}

/// Joined when dropped: a process that ended earlier would leave the file locked or in need of repair.
#[derive(Debug)]
struct Joined(Option<JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // If it panicked, whoever asked has been told.
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
enum Job {
    Get(Vec<u8>, Reply<Option<Bytes>>),
    Range {
        start: Vec<u8>,
        end: Vec<u8>,
        limit: usize,
        direction: Direction,
        reply: Reply<Rows>,
    },
    Commit(Transaction, Reply<()>),
}

impl Redb {
    /// Opens the file, or makes it; its folder must exist. Blocks: a file that was not closed is read as a whole.
    ///
    /// # Errors
    /// With a sentence for the operator: `InUse` by another process, `Corrupt` or not a database, `NewerFormat`, or
    /// `Unavailable`.
    pub fn open(path: &Path) -> Result<Self, KvError> {
        let path = path.to_owned();
        Self::start(Box::new(move |missing| open(&path, missing)))
    }

    fn start(opener: Opener) -> Result<Self, KvError> {
        let database = opener(Missing::Create)?;
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let worker = Worker {
            file: Reopening {
                opener,
                database: Some(database),
                failures: 0,
                not_before: None,
            },
            queue,
        };
        let thread = thread::Builder::new()
            .name("redb".to_owned())
            .spawn(|| worker.run())
            .map_err(|error| KvError::Unavailable(format!("no thread for redb: {error}")))?;
        Ok(Self(Arc::new(Running {
            jobs,
            _thread: Joined(Some(thread)),
        })))
    }

    /// `lost` is what to say when the thread ended with the job in its hands.
    async fn ask<T>(
        &self,
        job: impl FnOnce(Reply<T>) -> Job,
        lost: fn(String) -> KvError,
    ) -> Result<T, KvError> {
        const ENDED: &str = "redb's thread has ended";
        let (reply, answer) = oneshot::channel();
        let sent = self.0.jobs.send(job(reply)).await;
        sent.map_err(|_| KvError::Unavailable(ENDED.to_owned()))?;
        answer.await.map_err(|_| lost(ENDED.to_owned()))?
    }
}

#[async_trait]
impl Kv for Redb {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        let key = key.to_vec();
        self.ask(|reply| Job::Get(key, reply), KvError::Unavailable)
            .await
    }

    async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Rows, KvError> {
        let (start, end) = (start.to_vec(), end.to_vec());
        let job = |reply| Job::Range {
            start,
            end,
            limit,
            direction,
            reply,
        };
        self.ask(job, KvError::Unavailable).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        transaction.check(self.limits())?;
        self.ask(|reply| Job::Commit(transaction, reply), KvError::Unknown)
            .await
    }

    fn name(&self) -> &'static str {
        "redb"
    }
}

/// The thread's own.
struct Worker {
    file: Reopening,
    queue: mpsc::Receiver<Job>,
}

impl Worker {
    fn run(mut self) {
        while let Some(job) = self.queue.blocking_recv() {
            let file = &mut self.file;
            // Whoever asked may have gone.
            match job {
                Job::Get(key, reply) => drop(reply.send(file.with(|db| get(db, &key)))),
                Job::Range {
                    start,
                    end,
                    limit,
                    direction,
                    reply,
                } => {
                    let rows = file.with(|db| range(db, &start, &end, limit, direction));
                    drop(reply.send(rows));
                }
                Job::Commit(transaction, reply) => {
                    let done = file.with(|db| commit(db, &transaction));
                    if done.is_ok() {
                        file.failures = 0;
                    }
                    drop(reply.send(done));
                }
            }
        }
    }
}

/// What to do when the file is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Create,
    /// A file that was open and is gone must not come back empty.
    Refuse,
}

type Opener = Box<dyn Fn(Missing) -> Result<Database, KvError> + Send>;

/// The open database, opened anew after errors that leave it unusable.
struct Reopening {
    opener: Opener,
    /// Away after an I/O error: redb refuses everything then until it is opened anew.
    database: Option<Database>,
    /// Since the last commit that succeeded.
    failures: u32,
    not_before: Option<Instant>,
}

impl Reopening {
    fn with<T>(&mut self, work: impl FnOnce(&Database) -> Result<T, Failed>) -> Result<T, KvError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.reopen()?,
        };
        match work(&database) {
            Ok(done) => {
                self.database = Some(database);
                Ok(done)
            }
            Err(Failed::Plain(error)) => {
                self.database = Some(database);
                Err(error)
            }
            Err(Failed::Poisoned(error)) => {
                self.failed();
                Err(error)
            }
        }
    }

    fn reopen(&mut self) -> Result<Database, KvError> {
        if self.not_before.is_some_and(|time| Instant::now() < time) {
            let text = "the database failed and is opened again soon";
            return Err(KvError::Unavailable(text.to_owned()));
        }
        (self.opener)(Missing::Refuse).inspect_err(|_| self.failed())
    }

    /// The first attempt to open it anew may be at once, so that a single fault passes quickly.
    fn failed(&mut self) {
        let (first, longest) = REOPEN_AFTER;
        self.not_before = self.failures.checked_sub(1).map(|repeated| {
            let wait = first.saturating_mul(1 << repeated.min(10));
            Instant::now() + wait.min(longest)
        });
        self.failures = self.failures.saturating_add(1);
    }
}

/// Whether the database can be used after a failure.
enum Failed {
    Plain(KvError),
    /// It must be opened anew.
    Poisoned(KvError),
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        let text = error.to_string();
        match error {
            StorageError::Corrupted(_) => Self::Plain(KvError::Corrupt(text)),
            StorageError::ValueTooLarge(_) => Self::Plain(KvError::TooLarge),
            _ => Self::Poisoned(KvError::Unavailable(text)),
        }
    }
}

impl From<TableError> for Failed {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => error.into(),
            error => Self::Plain(KvError::Corrupt(error.to_string())),
        }
    }
}

impl From<redb::TransactionError> for Failed {
    fn from(error: redb::TransactionError) -> Self {
        match error {
            redb::TransactionError::Storage(error) => error.into(),
            error => Self::Poisoned(KvError::Unavailable(error.to_string())),
        }
    }
}

impl From<CommitError> for Failed {
    fn from(error: CommitError) -> Self {
        // The header may or may not have reached the disk.
        Self::Poisoned(KvError::Unknown(error.to_string()))
    }
}

fn open(path: &Path, missing: Missing) -> Result<Database, KvError> {
    let shown = path.display();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        let text = format!("{shown} cannot be opened: its folder does not exist");
        return Err(KvError::Unavailable(text));
    }
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let database = match missing {
        Missing::Create => builder.create(path),
        Missing::Refuse => builder.open(path),
    };
    let database = database.map_err(|error| refused(path, error))?;
    // The file's name must outlive a power cut as well.
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| KvError::Unavailable(format!("{shown}: {error}")))?;
    Ok(database)
}

/// Why a file was not opened, for the operator.
fn refused(path: &Path, error: DatabaseError) -> KvError {
    let shown = path.display();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            KvError::InUse(format!("{shown} is open in another process"))
        }
        // redb has no variant for this. Were its text to change, the file would still be refused, as damaged.
        DatabaseError::Storage(StorageError::Corrupted(reason))
            if reason.starts_with("Expected file format version <=") =>
        {
            let found = reason.rsplit(' ').next().unwrap_or_default();
            KvError::NewerFormat(format!("redb {found} ({shown})"))
        }
        DatabaseError::UpgradeRequired(version) => KvError::Corrupt(format!(
            "{shown} has redb's old format {version}, in which Penstock never wrote"
        )),
        DatabaseError::Storage(StorageError::Corrupted(reason)) => {
            KvError::Corrupt(format!("{shown}: {reason}"))
        }
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == ErrorKind::InvalidData =>
        {
            KvError::Corrupt(format!("{shown} is not a database of Penstock: {error}"))
        }
        error => KvError::Unavailable(format!("{shown} cannot be opened: {error}")),
    }
}

fn get(database: &Database, key: &[u8]) -> Result<Option<Bytes>, Failed> {
    let table = match database.begin_read()?.open_table(ROWS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(table
        .get(key)?
        .map(|value| Bytes::copy_from_slice(value.value())))
}

fn range(
    database: &Database,
    start: &[u8],
    end: &[u8],
    limit: usize,
    direction: Direction,
) -> Result<Rows, Failed> {
    if start >= end {
        return Ok(Vec::new());
    }
    let table = match database.begin_read()?.open_table(ROWS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = table.range::<&[u8]>(start..end)?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while rows.len() < limit && bytes < RANGE_BYTES {
        let row = match direction {
            Direction::Forward => found.next(),
            Direction::Backward => found.next_back(),
        };
        let Some(row) = row else { break };
        let (key, value) = row?;
        let (key, value) = (key.value(), value.value());
        bytes += key.len() + value.len();
        rows.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
    }
    Ok(rows)
}

fn commit(database: &Database, transaction: &Transaction) -> Result<(), Failed> {
    // redb's default, Durability::Immediate in one phase: one fsync, and a checksum tells a half-written commit.
    let writing = database.begin_write()?;
    {
        let mut table = writing.open_table(ROWS)?;
        for (key, expected) in &transaction.expect {
            let found = table.get(key.as_ref())?;
            if found.as_ref().map(|value| value.value()) != expected.as_deref() {
                return Err(Failed::Plain(KvError::Conflict));
            }
        }
        for write in &transaction.writes {
            match write {
                Write::Set(key, value) => {
                    table.insert(key.as_ref(), value.as_ref())?;
                }
                Write::Clear(key) => {
                    table.remove(key.as_ref())?;
                }
                Write::ClearRange(start, end) if start < end => {
                    table.retain_in::<&[u8], _>(start.as_ref()..end.as_ref(), |_, _| false)?;
                }
                Write::ClearRange(..) => {}
            }
        }
    }
    writing.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::os::unix::fs::FileExt;
    use std::process::Command;

    use parking_lot::Mutex;
    use redb::StorageBackend;

    use super::super::memory::SplitMix;
    use super::*;

    #[tokio::test]
    async fn keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let mut count = 0;
        super::super::contract::suite(|| {
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

    /// A disk in memory that breaks, fills up, and forgets what was not synced.
    #[derive(Clone, Debug, Default)]
    struct Disk(Arc<Mutex<Platter>>);

    #[derive(Debug, Default)]
    struct Platter {
        written: Vec<u8>,
        synced: Vec<u8>,
        /// Writes since the last sync: where, and what.
        unsynced: Vec<(usize, Vec<u8>)>,
        /// Changes and syncs until everything fails; `None` for never.
        left: Option<u32>,
        gone: bool,
        opened: u32,
    }

    impl Platter {
        fn work(&mut self) -> io::Result<()> {
            match &mut self.left {
                Some(0) => Err(ErrorKind::StorageFull.into()),
                Some(left) => {
                    *left -= 1;
                    Ok(())
                }
                None => Ok(()),
            }
        }

        /// Of the unsynced writes any may have reached the platter, also the later without the earlier.
        fn cut_power(&mut self, random: &mut SplitMix) {
            let length = self.written.len();
            self.written = std::mem::take(&mut self.synced);
            self.written.resize(length, 0);
            for (offset, data) in self.unsynced.drain(..) {
                if random.below(2) == 0 && offset + data.len() <= length {
                    self.written[offset..offset + data.len()].copy_from_slice(&data);
                }
            }
            self.synced = self.written.clone();
            self.left = None;
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.lock().written.len() as u64)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            let start = usize::try_from(offset).unwrap();
            let platter = self.0.lock();
            let found = platter.written.get(start..start + out.len());
            out.copy_from_slice(found.ok_or(ErrorKind::UnexpectedEof)?);
            Ok(())
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            let mut platter = self.0.lock();
            platter.work()?;
            platter.written.resize(usize::try_from(len).unwrap(), 0);
            Ok(())
        }

        fn sync_data(&self) -> io::Result<()> {
            let mut platter = self.0.lock();
            platter.work()?;
            platter.synced = platter.written.clone();
            platter.unsynced.clear();
            Ok(())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            let mut platter = self.0.lock();
            platter.work()?;
            let start = usize::try_from(offset).unwrap();
            platter.written[start..start + data.len()].copy_from_slice(data);
            platter.unsynced.push((start, data.to_vec()));
            Ok(())
        }
    }

    impl Disk {
        fn start(&self) -> Redb {
            let disk = self.clone();
            Redb::start(Box::new(move |missing| {
                disk.0.lock().opened += 1;
                if disk.0.lock().gone && missing == Missing::Refuse {
                    return Err(KvError::Unavailable("gone".to_owned()));
                }
                let mut builder = Database::builder();
                let database = builder
                    .set_cache_size(CACHE_BYTES)
                    .create_with_backend(disk.clone());
                database.map_err(|error| refused(Path::new("disk"), error))
            }))
            .unwrap()
        }

        fn break_after(&self, operations: u32) {
            self.0.lock().left = Some(operations);
        }

        fn repair(&self) {
            self.0.lock().left = None;
        }
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
            disk.0.lock().cut_power(&mut random);
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

    #[tokio::test]
    async fn a_file_that_is_gone_is_not_made_again_and_not_asked_for_without_pause() {
        let disk = Disk::default();
        let store = disk.start();
        count_up(&store, 1).await;
        disk.0.lock().gone = true;
        disk.break_after(0);
        assert!(store.commit(set("n", "9")).await.is_err());
        for _ in 0..200 {
            let found = store.get(b"n").await;
            assert!(matches!(found, Err(KvError::Unavailable(_))), "{found:?}");
        }
        let opened = disk.0.lock().opened;
        assert!((2..50).contains(&opened), "{opened}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        assert!(open(&path, Missing::Refuse).is_err());
        assert!(!path.exists());
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
                Err(KvError::Unknown(_) | KvError::Unavailable(_)) => failed += 1,
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
}
