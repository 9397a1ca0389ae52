//! What the tables of the state have in common: rows that a checkpoint writes a page at a time, and loads one by one.

use std::collections::HashMap;

use bytes::Bytes;

use super::tally::{Mark, Tallies, Tally};
use crate::codec::{Decoder, Encoder, Unreadable, Wire};
use crate::error::Error;
use crate::index::{Place, Tail};
use crate::keys::Key;
use crate::kv::Transaction;
use crate::types::{Lsn, Offset, TopicPartition};

/// The version of all state rows.
const VERSION: u8 = 1;

/// One concern's part of the state. Its rows are of kinds that no other table has.
pub(crate) trait Table {
    /// What changed until now is what the checkpoint that begins here writes.
    fn begin(&mut self);

    /// Writes rows as of now, until the page is full.
    fn write(&mut self, page: &mut Page) -> Result<Wrote, Error>;

    /// The checkpoint that began at that drain is durable.
    fn finish(&mut self, _at: Lsn) {}

    /// Takes a row back, which the store has as that mark says.
    fn load(&mut self, key: Key, row: Decoder, stored: Mark) -> Result<(), Unreadable>;

    /// That was the last row of what a checkpoint that began at that drain left.
    fn loaded(&mut self, _at: Lsn) {}
}

/// How far a table came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// All of its rows are written.
    All,
    /// There are more, for the next transaction.
    Full,
    /// The next one needs an index row that is not read yet.
    NeedsTail,
}

/// Index rows to which partitions append. Only checkpoints write there, so they stay as they are.
pub(crate) type Tails = HashMap<Place, Tail>;

/// Bounds of one transaction of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// It takes no more rows past so many bytes; stores limit transactions.
    pub bytes: usize,
    /// Extents of one partition that are indexed, at least 1.
    pub extents: usize,
    /// Rows that are cleared by ranges, at least 1: partitions of deleted topics, outcomes that were seen. Stores limit the
    /// time of a transaction, and some the rows that it clears.
    pub cleared: i32,
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            bytes: 128 * 1024,
            extents: 4096,
            cleared: 4096,
        }
    }
}

/// A transaction of a checkpoint, growing.
pub(crate) struct Page<'a> {
    /// Rows are written as of this drain.
    pub(crate) lsn: Lsn,
    pub(crate) steps: Steps,
    pub(crate) tails: &'a mut Tails,
    /// Partitions whose last index rows are damaged or lost, where extents went beside them from, and why.
    pub(crate) harmed: Vec<(TopicPartition, Offset, Error)>,
    pub(crate) writes: Transaction,
    /// The rows that the store has with this page.
    pub(crate) tallies: Tallies,
    counted: usize,
    bytes: usize,
    cleared: i32,
}

impl<'a> Page<'a> {
    pub(crate) fn new(lsn: Lsn, steps: Steps, tails: &'a mut Tails) -> Self {
        Self {
            lsn,
            steps,
            tails,
            harmed: Vec::new(),
            writes: Transaction::default(),
            tallies: Tallies::default(),
            counted: 0,
            bytes: 0,
            cleared: 0,
        }
    }

    /// What is in it until now does not count.
    pub(crate) fn counted(self) -> Self {
        let counted = self.writes.writes.len();
        Self { counted, ..self }
    }

    /// In place of the row that the store has as `stored` says, which then is as the store has the new one.
    pub(crate) fn set(&mut self, key: Key, row: &impl Wire, stored: &mut Mark) {
        let bytes = key.encode();
        let row = encode_row(&bytes, row);
        let before = std::mem::replace(stored, Mark::of(&bytes, &row));
        if let Some(tally) = self.tallies.of(key) {
            tally.remove_all(before.into());
            tally.add(*stored);
        }
        self.writes.set(bytes, row);
    }

    /// A row that nobody counts.
    pub(crate) fn set_uncounted(&mut self, key: Key, row: &impl Wire) {
        let key = key.encode();
        let row = encode_row(&key, row);
        self.writes.set(key, row);
    }

    pub(crate) fn clear(&mut self, key: Key, stored: Mark) {
        self.uncount(key, stored.into());
        self.writes.clear(key.encode());
    }

    /// Rows of a kind, of which those count until now.
    pub(crate) fn clear_range(&mut self, from: Key, to: Key, stored: Tally) {
        self.uncount(from, stored);
        self.writes.clear_range(from.encode(), to.encode());
    }

    fn uncount(&mut self, key: Key, stored: Tally) {
        if let Some(tally) = self.tallies.of(key) {
            tally.remove_all(stored);
        }
    }

    /// Whether no more rows should come.
    pub(crate) fn is_full(&mut self) -> bool {
        let new = self.writes.writes[self.counted..].iter();
        self.bytes += new.map(crate::kv::Write::bytes).sum::<usize>();
        self.counted = self.writes.writes.len();
        self.bytes >= self.steps.bytes || self.clearable() <= 0
    }

    /// Rows that may still be cleared by ranges.
    pub(crate) fn clearable(&self) -> i32 {
        self.steps.cleared.saturating_sub(self.cleared)
    }

    pub(crate) fn cleared(&mut self, rows: i32) {
        self.cleared = self.cleared.saturating_add(rows);
    }
}

/// The bytes of the state row under that key.
pub(crate) fn encode_row(key: &[u8], row: &impl Wire) -> Bytes {
    let mut bytes = Encoder::versioned(VERSION);
    row.put(&mut bytes);
    bytes.sealed(key)
}

/// The state row under that key, past its version and without its seal.
pub(crate) fn open_row(key: &[u8], row: Bytes) -> Result<Decoder, Unreadable> {
    Decoder::versioned(key, row, VERSION)
}

/// All of a row.
pub(crate) fn decode_row<T: Wire>(mut row: Decoder) -> Result<T, Unreadable> {
    let value = T::take(&mut row)?;
    row.end()?;
    Ok(value)
}

/// Keys of rows that differ from the store's. A row says itself whether it is listed, so that none is listed twice.
#[derive(Clone, Debug)]
pub(crate) struct Dirty<K> {
    /// For the next checkpoint.
    next: Vec<K>,
    /// Of the checkpoint under way, taken from the back.
    pending: Vec<K>,
}

impl<K> Default for Dirty<K> {
    fn default() -> Self {
        Self {
            next: Vec::new(),
            pending: Vec::new(),
        }
    }
}

impl<K: Copy> Dirty<K> {
    pub(crate) fn mark(&mut self, key: K) {
        self.next.push(key);
    }

    pub(crate) fn begin(&mut self) {
        if self.pending.is_empty() {
            // There may be hundreds of thousands, and drains wait.
            std::mem::swap(&mut self.pending, &mut self.next);
        } else {
            self.pending.append(&mut self.next);
        }
    }

    /// The one that is written next.
    pub(crate) fn first(&self) -> Option<K> {
        self.pending.last().copied()
    }

    /// The first is written.
    pub(crate) fn pop(&mut self) {
        self.pending.pop();
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
    }

    /// Those that are written next, in order.
    pub(crate) fn soon(&self, count: usize) -> impl Iterator<Item = K> {
        self.pending.iter().rev().take(count).copied()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_empty() && self.pending.is_empty()
    }
}
