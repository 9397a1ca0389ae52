//! State to rows and back. A checkpoint goes in small transactions between drains; each row says as of which drain it
//! is, and a replay skips what a row already holds. Last the checkpoint row moves, and the sequencer clears the log
//! before it. Which rows there are, and what is in them, is the tables' own: here they only get their turn.

mod load;

#[cfg(test)]
mod tests;

pub(crate) use load::{bucket, cluster, load};

use std::fmt;
use std::future::{Future, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use crate::error::Error;
use crate::index::{Place, Tail, read_tail};
use crate::keys::Key;
use crate::kv::{Kv, Transaction};
use crate::said::Said;
use crate::state::table::{Page, Table, Tails, Wrote, encode_row};
use crate::state::{State, TABLES};
use crate::types::{Lsn, Offset, TopicPartition};

pub use crate::state::table::Steps;

/// How far index rows are read before the step that needs them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead {
    /// Partitions of which they are known before a step.
    partitions: usize,
    /// Of them, so many are read side by side: one after the other they would take a round trip to the store each.
    at_once: usize,
}

impl Ahead {
    /// While nobody else needs the store: about as many as fit in a step.
    pub(crate) const FAR: Self = Self {
        partitions: 512,
        at_once: 256,
    };
    /// While drains come, and rows are behind what they write.
    pub(crate) const BEHIND: Self = Self {
        partitions: 256,
        at_once: 64,
    };
    /// While drains come, which a store may have to do after all reads that came before.
    pub(crate) const NEAR: Self = Self {
        partitions: 32,
        at_once: 8,
    };
}

/// Of partitions whose index rows are damaged.
static HARMED: Said<()> = Said::seldom(16);

/// Reads that failed are tried again after pauses that double from one to the other: one row may be out of reach for hours.
const READ_PAUSE_MIN: Duration = Duration::from_millis(100);
const READ_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Fewer in a row are a whim of the store, and not told.
const READS_FAILED_UNTOLD: u32 = 3;
/// What is read for so long is not waited for by anybody else.
const STUCK: Duration = Duration::from_secs(5);

/// What came of reading index rows: those of each partition that could be read, and why others could not.
#[derive(Default)]
struct Read {
    tails: Vec<(Place, Tail)>,
    failed: Option<(Place, Error)>,
}

type Reading = Pin<Box<dyn Future<Output = Read> + Send>>;

/// A checkpoint under way.
pub(crate) struct Checkpoint {
    /// Everything up to here is in rows when it is done.
    at: Lsn,
    /// The table whose turn it is.
    table: usize,
    tails: Tails,
    /// Index rows that are on their way.
    reading: Option<Reading>,
    /// Since when nothing came of it.
    reading_since: Option<Instant>,
    /// One after the other, and the last of them.
    reads_failed: u32,
    failed: Option<(Place, Error)>,
    done: bool,
    steps: Steps,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("at", &self.at)
            .field("table", &self.table)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl Checkpoint {
    pub(crate) fn begin(state: &mut State) -> Self {
        state.tables().into_iter().for_each(|table| table.begin());
        Self {
            at: state.lsn,
            table: 0,
            tails: Tails::new(),
            reading: None,
            reading_since: None,
            reads_failed: 0,
            failed: None,
            done: false,
            steps: Steps::default(),
        }
    }

    /// With other bounds, so that it can stop between any two rows.
    pub(crate) fn in_steps_of(self, steps: Steps) -> Self {
        Self { steps, ..self }
    }

    /// The bounds of steps from now on.
    pub(crate) fn bound(&mut self, steps: Steps) {
        self.steps = steps;
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Up to here the log may be cleared once it is done.
    pub(crate) fn at(&self) -> Lsn {
        self.at
    }

    /// Begins to read what the next steps need. Everything that was written before must be durable. False: there is
    /// nothing to be read, and it is time for a step.
    pub(crate) fn begin_reading(&mut self, kv: &Arc<dyn Kv>, state: &State, ahead: Ahead) -> bool {
        let wanted = self.wanted(state, ahead);
        if self.reading.is_none() && !wanted.is_empty() {
            let (kv, pause) = (Arc::clone(kv), self.read_pause());
            self.reading_since.get_or_insert_with(Instant::now);
            self.reading = Some(Box::pin(async move {
                if !pause.is_zero() {
                    sleep(pause).await;
                }
                read(kv.as_ref(), wanted).await
            }));
        }
        self.reading.is_some()
    }

    fn read_pause(&self) -> Duration {
        match self.reads_failed {
            0 => Duration::ZERO,
            failed => READ_PAUSE_MAX.min(READ_PAUSE_MIN * (1 << (failed - 1).min(10))),
        }
    }

    /// Whether something is being read that is not here yet.
    pub(crate) fn is_reading(&mut self) -> bool {
        // What is here is taken.
        let here = self.finish_reading().now_or_never();
        here.is_none()
    }

    /// When nobody is to wait any longer for what is being read.
    pub(crate) fn stuck_at(&self) -> Option<Instant> {
        self.reading_since.map(|since| since + STUCK)
    }

    /// Why nothing can be read, if it was tried often enough.
    pub(crate) fn unread(&self) -> Option<Error> {
        let (place, error) = self.failed.as_ref()?;
        let (partition, topic) = (place.partition.partition.0, place.partition.topic);
        (self.reads_failed > READS_FAILED_UNTOLD).then(|| {
            Error::unavailable(format!(
                "the index rows of partition {partition} of topic {topic} cannot be read now ({error})"
            ))
        })
    }

    /// Until what is being read is here. May be given up and asked for again.
    pub(crate) async fn finish_reading(&mut self) {
        let Some(reading) = &mut self.reading else {
            return;
        };
        let Read { tails, failed } = reading.await;
        self.reading = None;
        self.tails.extend(tails);
        self.failed = failed;
        if self.failed.is_none() {
            (self.reads_failed, self.reading_since) = (0, None);
            return;
        }
        // Only the checkpoint needs it: what commits write goes on, and it is read again.
        self.reads_failed = self.reads_failed.saturating_add(1);
        if let Some(why) = self.unread()
            && self.reads_failed.is_power_of_two()
        {
            tracing::warn!(%why, "the log grows up to its bound, and then commits are refused until they can be read");
        }
    }

    /// Goes on reading while something else is waited for, which nothing that is read holds up.
    pub(crate) async fn beside<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        if let Some(reading) = &mut self.reading {
            let read = tokio::select! {
                biased;
                done = &mut other => return done,
                read = reading => read,
            };
            self.reading = Some(Box::pin(ready(read)));
        }
        other.await
    }

    /// What the next steps need and is not here, in the order in which they need it.
    fn wanted(&self, state: &State, ahead: Ahead) -> Vec<(Place, Offset)> {
        let soon = state.partitions.soon(ahead.partitions);
        let unread = soon.filter(|(place, _)| !self.tails.contains_key(place));
        unread.take(ahead.at_once).collect()
    }

    /// Reads some of what the next steps need. False: there is nothing to be read.
    pub(crate) async fn read_ahead(&mut self, kv: &dyn Kv, state: &State) -> Result<bool, Error> {
        let Read { tails, failed } = read(kv, self.wanted(state, Ahead::FAR)).await;
        let any = !tails.is_empty();
        self.tails.extend(tails);
        failed.map_or(Ok(any), |(_, error)| Err(error))
    }

    /// The next transaction's writes; the caller fences and commits them. State that they hold is marked so, which is
    /// why a failed commit must load the state anew.
    pub(crate) async fn step(
        &mut self,
        kv: &dyn Kv,
        state: &mut State,
    ) -> Result<Transaction, Error> {
        let mut transaction = Transaction::default();
        while !self.write(state, &mut transaction)? {
            self.read_ahead(kv, state).await?;
            transaction = Transaction::default();
        }
        Ok(transaction)
    }

    /// The same behind what a transaction has already, with what is read. False: nothing, before more is read.
    pub(crate) fn write(
        &mut self,
        state: &mut State,
        transaction: &mut Transaction,
    ) -> Result<bool, Error> {
        let mut page = Page::new(state.lsn, self.steps, &mut self.tails);
        page.writes = std::mem::take(transaction);
        page.tallies = state.cluster.tallies();
        let mut page = page.counted();
        let before = page.writes.writes.len();
        match write_tables(state, &mut self.table, &mut page)? {
            Wrote::NeedsTail if page.writes.writes.len() == before => {
                *transaction = page.writes;
                return Ok(false);
            }
            _ => {}
        }
        // With each transaction, for it says which rows of others there are.
        state.cluster.counted(page.tallies);
        state.cluster.write(&mut page)?;
        *transaction = page.writes;
        page.harmed.into_iter().for_each(tell);
        if self.table == TABLES {
            for table in state.tables() {
                table.finish(self.at);
            }
            transaction.set(Key::Checkpoint.encode(), checkpoint_row(self.at));
            self.done = true;
        }
        Ok(true)
    }
}

/// What topics that are gone leave comes first in each transaction: their marks may come in the same one.
fn write_tables(state: &mut State, table: &mut usize, page: &mut Page) -> Result<Wrote, Error> {
    let mut wrote = state.partitions.write_leaving(&mut state.topics, page)?;
    while wrote == Wrote::All
        && let Some(turn) = state.tables().into_iter().nth(*table)
    {
        wrote = turn.write(page)?;
        *table += usize::from(wrote == Wrote::All);
    }
    Ok(wrote)
}

/// Once for each damage, for the next rows join those that were written beside it.
fn tell((partition, start, why): (TopicPartition, Offset, Error)) {
    if let Some(unsaid) = HARMED.admit(()) {
        tracing::error!(
            topic_id = %partition.topic,
            partition = partition.partition.0,
            before = start.0,
            %why,
            unsaid,
            "damage: index rows of a partition are lost or cannot be read, and records before that offset may not be found: \
             bring them back with a copy of the store, or give up those that readers name with penstock metadata mark-lost"
        );
    }
}

async fn read(kv: &dyn Kv, wanted: Vec<(Place, Offset)>) -> Read {
    let reads = wanted.into_iter().map(|(place, start)| async move {
        let tail = read_tail(kv, place, start).await;
        (place, tail)
    });
    let mut all = Read::default();
    for (place, tail) in join_all(reads).await {
        match tail {
            Ok(tail) => all.tails.push((place, tail)),
            Err(error) if all.failed.is_none() => all.failed = Some((place, error)),
            Err(_) => {}
        }
    }
    all
}

/// The checkpoint row: up to there everything is in rows.
pub(crate) fn checkpoint_row(at: Lsn) -> Bytes {
    encode_row(&Key::Checkpoint.encode(), &at)
}
