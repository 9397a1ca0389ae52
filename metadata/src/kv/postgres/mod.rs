//! Rows in a schema of a PostgreSQL database, for any number of processes.
//!
//! A commit is one call of a function in the database (`schema`): one round trip, after which the server waits for
//! nobody. The function first locks the row with the format's version, then compares, then writes. The lock makes commits
//! one after the other, so that what was compared still holds at the writes, also for keys that are absent; READ
//! COMMITTED, which reads anew in each statement of the function, is then as good as SERIALIZABLE, without its false
//! conflicts. It costs no concurrency that could be had: every transaction of a sequencer rewrites the head, so the lock
//! of that row would order them the same way. Nothing is locked while a client thinks, sleeps or is cut off.
//!
//! One thread of its own drives two connections, for commits and for reads, so that neither waits for the other. A
//! connection that ends or falls silent is replaced with the next call; failed attempts are spaced out.

mod errors;
mod lane;
mod schema;
mod session;
mod tls;
mod url;
mod writes;

#[cfg(test)]
pub(crate) mod tests;

use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use super::{Direction, Kv, KvError, Rows, Transaction};
use lane::{Job, Lane, QUEUE_MAX, Reply};
pub use schema::Examined;
use session::Target;
pub use url::PostgresUrl;

/// A database with the rows. Clones share the connections; they end with the last one.
#[derive(Clone, Debug)]
pub struct Postgres {
    commits: mpsc::Sender<Job>,
    reads: mpsc::Sender<Job>,
}

impl Postgres {
    /// Connects, and makes the schema if it is not there.
    ///
    /// # Errors
    /// With a sentence for the operator: `NewerFormat`, `Corrupt`, or `Unavailable` for everything that keeps it from
    /// connecting, reading and writing.
    pub async fn open(url: &PostgresUrl) -> Result<Self, KvError> {
        let target = Target::new(url)?;
        let (commits, commit_queue) = mpsc::channel(QUEUE_MAX);
        let (reads, read_queue) = mpsc::channel(QUEUE_MAX);
        let (opened, told) = oneshot::channel();
        let serve = move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(opened.send(Err(no_thread(&error)))),
            };
            runtime.block_on(async {
                match target.connect_and_create().await {
                    Ok(link) => {
                        if opened.send(Ok(())).is_err() {
                            return;
                        }
                        let commits = Lane::new(commit_queue, target.clone());
                        let reads = Lane::new(read_queue, target.clone());
                        tokio::join!(commits.run(Some(link)), reads.run(None));
                    }
                    Err(error) => drop(opened.send(Err(error))),
                }
            });
        };
        thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(serve)
            .map_err(|error| no_thread(&error))?;
        let ended = |_| KvError::Unavailable(ENDED.to_owned());
        told.await.map_err(ended)??;
        Ok(Self { commits, reads })
    }

    /// Looks at the database without writing to it.
    ///
    /// # Errors
    /// As [`Postgres::open`].
    pub async fn examine(url: &PostgresUrl) -> Result<Examined, KvError> {
        Target::new(url)?.examine().await
    }
}

const ENDED: &str = "the thread of PostgreSQL's connections has ended";

fn no_thread(error: &std::io::Error) -> KvError {
    KvError::Unavailable(format!("no thread for PostgreSQL's connections: {error}"))
}

/// `lost` is what to say when the thread ended with the job in its hands.
async fn ask<T>(
    queue: &mpsc::Sender<Job>,
    job: impl FnOnce(Reply<T>) -> Job,
    lost: fn(String) -> KvError,
) -> Result<T, KvError> {
    let (reply, answer) = oneshot::channel();
    let sent = queue.send(job(reply)).await;
    sent.map_err(|_| KvError::Unavailable(ENDED.to_owned()))?;
    answer.await.map_err(|_| lost(ENDED.to_owned()))?
}

#[async_trait]
impl Kv for Postgres {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        let key = Bytes::copy_from_slice(key);
        let job = |reply| Job::Get { key, reply };
        ask(&self.reads, job, KvError::Unavailable).await
    }

    async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Rows, KvError> {
        if start >= end || limit == 0 {
            return Ok(Vec::new());
        }
        let range = lane::Range {
            start: Bytes::copy_from_slice(start),
            end: Bytes::copy_from_slice(end),
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            direction,
        };
        let job = |reply| Job::Range { range, reply };
        ask(&self.reads, job, KvError::Unavailable).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        transaction.check(self.limits())?;
        let job = |reply| Job::Commit { transaction, reply };
        ask(&self.commits, job, KvError::Unknown).await
    }

    fn name(&self) -> &'static str {
        "postgres"
    }
}

/// One attempt to connect, hosts and all.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// One address of a host.
const CONNECT_ADDRESS: Duration = Duration::from_secs(3);
/// The server gives up a statement after this; nothing is written then.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// The server gives up waiting for another commit after this; nothing is written then.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection that owes answers and gives none for so long is dead. Longer than the server works on one.
const PATIENCE: Duration = Duration::from_secs(8);
