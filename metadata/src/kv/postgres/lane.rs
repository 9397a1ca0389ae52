//! One connection and the calls that wait for it: pipelined, bounded, replaced when it ends or falls silent.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Connection, Socket};

use super::PATIENCE;
use super::session::{Link, Session, Target};
use super::tls::Encrypted;
use crate::causes::with_causes;
use crate::kv::{Direction, KvError, Rows, Transaction};

/// Calls waiting for a connection; callers wait in turn beyond it.
pub(super) const QUEUE_MAX: usize = 256;
/// Calls sent and not yet answered. The server does them one after the other.
const IN_FLIGHT_MAX: usize = 16;
/// Between attempts to connect: doubled from the first of these up to the second. Whoever asks meanwhile is refused, so
/// what is longer delays the return of the whole cluster.
const RECONNECT_AFTER: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_millis(250));
/// To say goodbye to the server.
const GOODBYE: Duration = Duration::from_millis(500);

pub(super) type Reply<T> = oneshot::Sender<Result<T, KvError>>;

#[derive(Debug)]
pub(super) enum Job {
    Get {
        key: Bytes,
        reply: Reply<Option<Bytes>>,
    },
    Range {
        range: Range,
        reply: Reply<Rows>,
    },
    Commit {
        transaction: Transaction,
        reply: Reply<()>,
    },
}

#[derive(Debug)]
pub(super) struct Range {
    pub(super) start: Bytes,
    pub(super) end: Bytes,
    pub(super) limit: i64,
    pub(super) direction: Direction,
}

impl Job {
    async fn run(self, session: &Session) {
        // Whoever asked may have gone.
        match self {
            Self::Get { key, reply } => drop(reply.send(session.get(&key).await)),
            Self::Range { range, reply } => drop(reply.send(session.range(&range).await)),
            Self::Commit { transaction, reply } => {
                drop(reply.send(session.commit(&transaction).await));
            }
        }
    }

    fn refuse(self, error: KvError) {
        match self {
            Self::Get { reply, .. } => drop(reply.send(Err(error))),
            Self::Range { reply, .. } => drop(reply.send(Err(error))),
            Self::Commit { reply, .. } => drop(reply.send(Err(error))),
        }
    }
}

pub(super) struct Lane {
    queue: mpsc::Receiver<Job>,
    target: Target,
    /// Attempts to connect since the last answer.
    failures: u32,
    /// Not to be tried again before, and why.
    waiting: Option<(Instant, KvError)>,
}

impl Lane {
    pub(super) fn new(queue: mpsc::Receiver<Job>, target: Target) -> Self {
        Self {
            queue,
            target,
            failures: 0,
            waiting: None,
        }
    }

    /// Serves until nobody can ask any more.
    pub(super) async fn run(mut self, mut link: Option<Link>) {
        if let Some(link) = link.take() {
            self.serve(link, None).await;
        }
        while let Some(job) = self.queue.recv().await {
            match self.connect().await {
                Ok(link) => self.serve(link, Some(job)).await,
                Err(error) => job.refuse(error),
            }
        }
    }

    /// The first attempt after a loss is at once, so that a single fault passes quickly.
    async fn connect(&mut self) -> Result<Link, KvError> {
        if let Some((not_before, error)) = &self.waiting
            && Instant::now() < *not_before
        {
            return Err(error.clone());
        }
        let connected = self.target.connect().await;
        let (first, longest) = RECONNECT_AFTER;
        let wait = first.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.waiting = match &connected {
            Ok(_) => None,
            Err(error) => Some((Instant::now() + wait.min(longest), error.clone())),
        };
        if let Err(error) = &connected {
            tracing::debug!(%error, "PostgreSQL cannot be reached");
        }
        connected
    }

    /// Until the connection ends, or nobody can ask any more.
    async fn serve(&mut self, link: Link, first: Option<Job>) {
        let Link {
            session,
            mut connection,
        } = link;
        let mut answers = FuturesUnordered::new();
        answers.extend(first.map(|job| job.run(&session)));
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            tokio::select! {
                biased;
                why = until_lost(&mut connection) => {
                    if let Some(why) = why {
                        tracing::warn!(%why, "the connection to PostgreSQL was lost");
                    }
                    break;
                }
                Some(()) = answers.next() => {
                    if session.is_useless() {
                        break;
                    }
                    self.failures = 0;
                    deadline = Instant::now() + PATIENCE;
                }
                job = self.queue.recv(), if answers.len() < IN_FLIGHT_MAX => {
                    let Some(job) = job else {
                        drop(answers);
                        drop(session);
                        // The server ends the session without it as well.
                        let _ = timeout(GOODBYE, connection).await;
                        return;
                    };
                    if answers.is_empty() {
                        deadline = Instant::now() + PATIENCE;
                    }
                    answers.push(job.run(&session));
                }
                () = sleep_until(deadline), if !answers.is_empty() => {
                    tracing::warn!("PostgreSQL does not answer; connecting anew");
                    break;
                }
            }
        }
        // With the connection gone, every call that still waits is told at once.
        drop(connection);
        while answers.next().await.is_some() {}
    }
}

/// Until the connection ends, or the server warns. It only does when it answers a commit although a synchronous standby has
/// not got it, for somebody cancelled the wait: that is no outcome to tell, and without the connection it is unknown.
async fn until_lost(connection: &mut Pin<Box<Connection<Socket, Encrypted>>>) -> Option<String> {
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notice(notice))) if notice.code() == &SqlState::WARNING => {
                return Some(notice.to_string());
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Some(with_causes(&error)),
            None => return None,
        }
    }
}
