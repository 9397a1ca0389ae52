//! State to rows and back. A checkpoint goes in small transactions between drains; each row says as of which drain it
//! is, and a replay skips what a row already holds. Last the checkpoint row moves, and the sequencer clears the log before it.

mod load;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use load::load;

use std::collections::HashMap;

use bytes::Bytes;
use futures::future::try_join_all;

use crate::codec::Encoder;
use crate::effect::encode_bucket;
use crate::error::Error;
use crate::index::Tail;
use crate::keys::Key;
use crate::kv::{Kv, Transaction, Write};
use crate::state::State;
use crate::types::{Lsn, ObjectKey, TopicId, TopicPartition};
use write::{read_tail, write_object, write_partition, write_session, write_topic};

const VERSION: u8 = 1;
/// A step stops adding rows at about so many bytes; stores limit transactions.
const STEP_BYTES: usize = 128 * 1024;
/// Extents indexed in one step.
const STEP_EXTENTS: usize = 4096;
/// Partitions of deleted topics whose rows one step clears: stores limit the time of a transaction.
const STEP_CLEARED: i32 = 4096;
/// Index rows read side by side: one after the other they would take a round trip to the store each.
const READ_AT_ONCE: usize = 256;
/// Partitions whose index rows are read before a step; about as many as fit in one.
const READ_AHEAD: usize = 512;

/// A checkpoint under way.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    /// Everything up to here is in rows when it is done.
    at: Lsn,
    pending: Vec<Item>,
    objects: Vec<ObjectKey>,
    /// Index rows to which the next partitions append. Only checkpoints write index rows, so they stay as they are.
    tails: HashMap<TopicPartition, Tail>,
    done: bool,
    steps: Steps,
}

/// How much one step takes, so that drains have their turn in between: the defaults, but in tests and simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Of rows, in bytes, about.
    pub bytes: usize,
    /// Extents of one partition, at least 1.
    pub extents: usize,
    /// Partitions of deleted topics whose rows are cleared, at least 1.
    pub cleared: i32,
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            bytes: STEP_BYTES,
            extents: STEP_EXTENTS,
            cleared: STEP_CLEARED,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Item {
    /// A session, and the sequence and part of the outcome to be written next.
    Session(u64, (u64, u16)),
    Object(ObjectKey),
    Partition(TopicPartition),
    /// A topic, and the first of its partitions whose rows are still to be cleared if it is deleted.
    Topic(TopicId, i32),
}

impl Checkpoint {
    pub(crate) fn begin(state: &State) -> Self {
        // Taken from the back: topics first, for a partition's row needs its topic's.
        let objects: Vec<_> = state.objects.iter().map(|(key, _)| *key).collect();
        let mut pending: Vec<_> = state
            .dirty
            .sessions
            .iter()
            .map(|id| Item::Session(*id, (0, 0)))
            .collect();
        pending.extend(objects.iter().map(|key| Item::Object(*key)));
        pending.extend(
            state
                .dirty
                .partitions
                .iter()
                .map(|partition| Item::Partition(*partition)),
        );
        pending.extend(
            state
                .dirty
                .topics
                .iter()
                .map(|topic| Item::Topic(*topic, 0)),
        );
        Self {
            at: state.lsn,
            pending,
            objects,
            tails: HashMap::new(),
            done: false,
            steps: Steps::default(),
        }
    }

    pub(crate) fn in_steps_of(self, steps: Steps) -> Self {
        Self { steps, ..self }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Up to here the log may be cleared once it is done.
    pub(crate) fn at(&self) -> Lsn {
        self.at
    }

    /// Reads some of what the next steps need. False: there is nothing to be read, and it is time for a step.
    pub(crate) async fn read_ahead(&mut self, kv: &dyn Kv, state: &State) -> Result<bool, Error> {
        let soon = self.pending.iter().rev().take(READ_AHEAD);
        let partitions = soon.map_while(|item| match item {
            Item::Partition(partition) => Some(*partition),
            _ => None,
        });
        let unread = partitions.filter(|partition| !self.tails.contains_key(partition));
        let reads = unread.take(READ_AT_ONCE).map(|partition| async move {
            let tail = read_tail(kv, state, partition).await?;
            Ok::<_, Error>((partition, tail))
        });
        let read = try_join_all(reads).await?;
        let any = !read.is_empty();
        self.tails.extend(read);
        Ok(any)
    }

    /// The next transaction's writes; the caller fences and commits them. State that they hold is marked so, which is
    /// why a failed commit must load the state anew.
    pub(crate) async fn step(
        &mut self,
        kv: &dyn Kv,
        state: &mut State,
    ) -> Result<Transaction, Error> {
        let mut writes = Transaction::default();
        let (mut bytes, mut counted) = (0, 0);
        let mut clearing = self.steps.cleared;
        let mut more = true;
        while more && bytes < self.steps.bytes && clearing > 0 {
            let Some(item) = self.pending.pop() else {
                self.finish(state, &mut writes);
                return Ok(writes);
            };
            let unfinished = match item {
                Item::Session(id, next) => {
                    write_session(state, id, next, &mut writes).map(|next| Item::Session(id, next))
                }
                Item::Object(key) => {
                    write_object(state, key, &mut writes);
                    None
                }
                Item::Topic(topic, first) => {
                    let next = write_topic(state, topic, first, &mut clearing, &mut writes);
                    next.map(|next| Item::Topic(topic, next))
                }
                Item::Partition(partition) => {
                    let Some(tail) = self.tails.remove(&partition) else {
                        self.pending.push(item);
                        self.read_ahead(kv, state).await?;
                        continue;
                    };
                    let extents_max = self.steps.extents;
                    let whole = write_partition(state, partition, tail, extents_max, &mut writes)?;
                    // The rest appends to a row of this transaction, which can be read once it is committed.
                    more = whole;
                    (!whole).then_some(item)
                }
            };
            self.pending.extend(unfinished);
            bytes += writes.writes[counted..]
                .iter()
                .map(Write::bytes)
                .sum::<usize>();
            counted = writes.writes.len();
        }
        // What the rows hold moved the counters as well, and a replay over these rows would not do it again.
        let row = encode_row(state, state.dirty.since);
        writes.set(Key::Checkpoint.encode(), row);
        Ok(writes)
    }

    fn finish(&mut self, state: &mut State, writes: &mut Transaction) {
        state.objects.checkpointed(self.objects.drain(..));
        state.dirty.since = self.at;
        writes.set(Key::Checkpoint.encode(), encode_row(state, self.at));
        self.done = true;
    }
}

/// The checkpoint row: counters and bucket may be newer than the lsn, for folding them again changes nothing.
pub(crate) fn encode_row(state: &State, at: Lsn) -> Bytes {
    let mut row = Encoder::versioned(VERSION);
    row.u64(at.0);
    row.i64(state.counters.next_producer);
    row.i64(state.counters.expired_producer_end);
    row.u64(state.counters.next_session);
    encode_bucket(state.counters.bucket, &mut row);
    row.i64(state.counters.now.0);
    row.u32(state.counters.naming.0);
    row.i64(state.counters.naming_since.0);
    state.counters.cluster.encode(&mut row);
    row.into_bytes()
}
