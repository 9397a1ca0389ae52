//! Rows in one file of this machine, through redb: copy-on-write B-trees, one fsync per commit, locked against other
//! processes. All work runs on one thread of its own, in the order asked. After an I/O error (a full disk, say) the file
//! is opened anew, so that the store comes back with the disk; what an fsync that failed left behind is not believed
//! (`renewed`), nor is anything done on a file that was removed or replaced (`place`). redb panics on some of what it finds
//! in a damaged file, and so may any call: that is damage, too (`at_work`).

mod at_work;
mod file;
mod opening;
mod place;
mod renewed;
mod rows;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{Direction, Kv, KvError, Rows, Transaction};
use at_work::AtWork;
use file::{Displaced, Opener, Reopening};
use opening::open;
use rows::{commit, get, range};

/// Calls waiting for the thread; callers wait in turn beyond it.
const QUEUE_MAX: usize = 256;

type Reply<T> = oneshot::Sender<Result<T, KvError>>;

/// A file with the rows. Clones share it. Dropping the last one waits until the thread has done what was asked, closed
/// the file and unlocked it; that takes about one fsync.
#[derive(Clone, Debug)]
pub struct Redb(Arc<Running>);

/// Dropped in this order: the thread ends when nobody can ask any more.
#[derive(Debug)]
struct Running {
    jobs: mpsc::Sender<Job>,
    displaced: Displaced,
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
        let owned = path.to_owned();
        let opening = || Self::start(Box::new(move |missing, doubt| open(&owned, missing, doubt)));
        AtWork::on(path).unless_it_panics(opening)
    }

    /// The file on which this thread is at work, if it is: redb panics on some damage, and a process that then aborts has no
    /// other place to say so than its panic hook.
    #[must_use]
    pub fn at_work_on() -> Option<PathBuf> {
        AtWork::file()
    }

    fn start(opener: Opener) -> Result<Self, KvError> {
        let file = Reopening::start(opener)?;
        let displaced = file.displaced();
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let worker = Worker { file, queue };
        let path = AtWork::file();
        let work = move || {
            let _at_work = path.as_deref().map(AtWork::on);
            worker.run();
        };
        let thread = thread::Builder::new()
            .name("redb".to_owned())
            .spawn(work)
            .map_err(|error| KvError::Unavailable(format!("no thread for redb: {error}")))?;
        Ok(Self(Arc::new(Running {
            jobs,
            displaced,
            _thread: Joined(Some(thread)),
        })))
    }

    /// `lost` is what to say when the thread ended with the job in its hands.
    async fn ask<T>(
        &self,
        job: impl FnOnce(Reply<T>) -> Job,
        lost: fn(String) -> KvError,
    ) -> Result<T, KvError> {
        // It does so before its handles are gone only by a panic, and nothing makes it come back.
        const ENDED: &str = "redb panicked on what is in its file";
        let (reply, answer) = oneshot::channel();
        let sent = self.0.jobs.send(job(reply)).await;
        sent.map_err(|_| KvError::Corrupt(ENDED.to_owned()))?;
        answer.await.map_err(|_| lost(ENDED.to_owned()))?
    }
}

#[async_trait]
impl Kv for Redb {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        let key = key.to_vec();
        self.ask(|reply| Job::Get(key, reply), KvError::Corrupt)
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
        self.ask(job, KvError::Corrupt).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        transaction.check(self.limits())?;
        self.ask(|reply| Job::Commit(transaction, reply), KvError::Unknown)
            .await
    }

    fn name(&self) -> &'static str {
        "redb"
    }

    /// The file is locked for as long as it is open, and the lock ends with the process however that ended.
    fn is_exclusive(&self) -> bool {
        true
    }

    fn displaced(&self) -> Option<String> {
        self.0.displaced.lock().clone()
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
                    // What lies in a file that is gone is not done.
                    let done = done.and_then(|()| file.look().map_err(KvError::Unknown));
                    if done.is_ok() {
                        file.works();
                    }
                    drop(reply.send(done));
                }
            }
        }
        self.file.close();
    }
}
