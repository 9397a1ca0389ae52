//! Rows in one file of this machine, through redb: copy-on-write B-trees, one fsync per commit, locked against other
//! processes. All work runs on one thread of its own, in the order asked.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;

use async_trait::async_trait;
use bytes::Bytes;
use redb::{
    CommitError, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, TableError,
};
use tokio::sync::{mpsc, oneshot};

use super::{Direction, Kv, KvError, RANGE_BYTES, Rows, Transaction, Write};

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
/// redb would take 1 GiB; the rows in use are few.
const CACHE_BYTES: usize = 16 * 1024 * 1024;
/// Calls waiting for the thread; callers wait in turn beyond it.
const QUEUE_MAX: usize = 256;

type Reply<T> = oneshot::Sender<Result<T, KvError>>;

/// A file with the rows. The file is unlocked when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Redb {
    jobs: mpsc::Sender<Job>,
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
    /// Opens the file, or makes it; its folder must exist.
    ///
    /// # Errors
    /// With a sentence for the operator: in use by another process, not a database, not accessible.
    pub fn open(path: &Path) -> Result<Self, KvError> {
        let database = open(path)?;
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let worker = Worker {
            path: path.to_owned(),
            database: Some(database),
            queue,
        };
        let started = thread::Builder::new()
            .name("redb".to_owned())
            .spawn(|| worker.run());
        started.map_err(|error| KvError::Unavailable(format!("no thread for redb: {error}")))?;
        Ok(Self { jobs })
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, KvError> {
        let (reply, answer) = oneshot::channel();
        let ended = || KvError::Unavailable("redb's thread has ended".to_owned());
        self.jobs.send(job(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

#[async_trait]
impl Kv for Redb {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        self.ask(|reply| Job::Get(key.to_vec(), reply)).await
    }

    async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Rows, KvError> {
        let (start, end) = (start.to_vec(), end.to_vec());
        self.ask(|reply| Job::Range {
            start,
            end,
            limit,
            direction,
            reply,
        })
        .await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        transaction.check(self.limits())?;
        self.ask(|reply| Job::Commit(transaction, reply)).await
    }

    fn name(&self) -> &'static str {
        "redb"
    }
}

/// The thread's own.
struct Worker {
    path: PathBuf,
    /// Away after an I/O error: redb refuses everything then until it is opened anew.
    database: Option<Database>,
    queue: mpsc::Receiver<Job>,
}

impl Worker {
    fn run(mut self) {
        while let Some(job) = self.queue.blocking_recv() {
            // Whoever asked may have gone.
            match job {
                Job::Get(key, reply) => drop(reply.send(self.with(|database| get(database, &key)))),
                Job::Range {
                    start,
                    end,
                    limit,
                    direction,
                    reply,
                } => {
                    let rows =
                        self.with(|database| range(database, &start, &end, limit, direction));
                    drop(reply.send(rows));
                }
                Job::Commit(transaction, reply) => {
                    drop(reply.send(self.with(|database| commit(database, &transaction))));
                }
            }
        }
    }

    fn with<T>(&mut self, work: impl FnOnce(&Database) -> Result<T, Failed>) -> Result<T, KvError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path)?,
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
            Err(Failed::Poisoned(error)) => Err(error),
        }
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

fn open(path: &Path) -> Result<Database, KvError> {
    let shown = path.display();
    let database = Database::builder().set_cache_size(CACHE_BYTES).create(path);
    let database = database.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            KvError::InUse(format!("{shown} is open in another process"))
        }
        DatabaseError::UpgradeRequired(version) => KvError::NewerFormat(format!(
            "{shown} has redb format {version}, which this version does not read"
        )),
        DatabaseError::Storage(StorageError::Corrupted(reason)) => {
            KvError::Corrupt(format!("{shown}: {reason}"))
        }
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == std::io::ErrorKind::InvalidData =>
        {
            KvError::Corrupt(format!("{shown} is not a database of Penstock: {error}"))
        }
        error => KvError::Unavailable(format!("{shown} cannot be opened: {error}")),
    })?;
    // The file's name must outlive a power cut as well.
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| KvError::Unavailable(format!("{shown}: {error}")))?;
    }
    Ok(database)
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
    // redb's default: one fsync, and a checksum tells a half-written commit.
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
    use std::sync::Arc;

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

    #[tokio::test]
    async fn rows_outlive_the_process_and_a_second_one_is_kept_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let store = Redb::open(&path).unwrap();
        let mut transaction = Transaction::default();
        transaction.set(Bytes::from_static(b"k"), Bytes::from_static(b"v"));
        store.commit(transaction).await.unwrap();
        let second = Redb::open(&path);
        assert!(matches!(second, Err(KvError::InUse(_))), "{second:?}");
        drop(store);
        let store = loop {
            // The thread ends by itself soon after the last handle is gone.
            match Redb::open(&path) {
                Ok(store) => break store,
                Err(KvError::InUse(_)) => {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await
                }
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(
            store.get(b"k").await.unwrap(),
            Some(Bytes::from_static(b"v"))
        );
    }

    #[test]
    fn what_is_not_a_database_is_said_so_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        std::fs::write(
            &path,
            b"a letter to my aunt, which is long enough to look at",
        )
        .unwrap();
        let opened = Redb::open(&path);
        assert!(matches!(opened, Err(KvError::Corrupt(_))), "{opened:?}");
        assert!(std::fs::read(&path).unwrap().starts_with(b"a letter"));
    }
}
