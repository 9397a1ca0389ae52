//! The log in the store: how much of it is not in rows yet, which holds commits back when checkpoints fall behind, and what
//! of it a finished checkpoint may clear, a stretch at a time, for stores limit what a transaction clears.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Options;
use crate::error::Error;
use crate::keys::Key;
use crate::kv::{Direction, Kv, Transaction};
use crate::types::Lsn;

/// A stretch ends with the drain that fills it. A drain clears one.
const STRETCH_ROWS: usize = 8;
const STRETCH_BYTES: u64 = 64 * 1024;
/// So much is cleared at once while no drains come; one more drain fits into what a transaction may clear.
const CLEARED_ROWS: usize = 4_000;
const CLEARED_BYTES: u64 = 16 * 1024 * 1024;
/// Rows cleared at once of what another process wrote, whose stretches are not known.
const OLD_ROWS: usize = 256;
/// For each byte of log that drains write so many bytes of rows are owed, for as long as a checkpoint is under way: commits
/// wait for little besides their own transaction, and a checkpoint ends long before its log is full.
const ROWS_TO_LOG: usize = 2;
/// However little a drain writes, so much goes with it.
const ROW_BYTES_MIN: usize = 2 * 1024;
/// A drain that has to catch up, after a slow transaction, takes no more rows with it than for so many times the log of
/// the usual one. What it does not take is owed, and this part of it goes with each of the next ones.
const ROWS_TO_USUAL_LOG: usize = 4;
const OWED_PARTS: u64 = 32;
/// How fast the usual drain follows those that come.
const USUAL_PARTS: usize = 8;
/// Nobody is held up by a step of its own that begins so long after the last drain.
const CALM: Duration = Duration::from_millis(100);
/// Drains go on while no more is owed than this part of the room that is left.
const ROOM_PARTS: u64 = 64;
/// However little they write, a step is due after so long.
const STEP_INTERVAL: Duration = Duration::from_millis(50);
/// After a take-over a checkpoint begins soon, for nobody knows how often that happens.
const SOON: Duration = Duration::from_secs(1);

/// What was appended and not cleared.
#[derive(Debug)]
pub(super) struct Log {
    /// Bytes since the last checkpoint began.
    bytes: u64,
    /// Those that may come while a checkpoint is under way.
    bytes_max: u64,
    /// Of those that may lie before it as well.
    all_max: u64,
    /// Bytes at which a checkpoint begins before it is due.
    full: u64,
    due: Instant,
    interval: Duration,
    /// Bytes of rows that should have been written by now.
    owed: u64,
    /// When some last were.
    stepped: Instant,
    /// Bytes of log of the usual drain.
    usual: usize,
    /// When something was last appended.
    appended: Option<Instant>,
    /// Everything up to here is in rows, and still to be cleared.
    clearing: Option<Lsn>,
    /// Oldest first.
    stretches: VecDeque<Stretch>,
    open: Stretch,
    /// What was written before this process loaded the store ends before this; none once it is cleared.
    old: Option<Lsn>,
}

/// Some neighbouring drains.
#[derive(Clone, Copy, Debug, Default)]
struct Stretch {
    end: Lsn,
    rows: usize,
    bytes: u64,
}

impl Log {
    /// Of a store that was just loaded, up to `lsn`, with so many bytes that are not in rows.
    pub(super) fn loaded(lsn: Lsn, replayed: u64, options: &Options) -> Self {
        // The half of it may lie before the checkpoint under way, the other half comes meanwhile.
        let bytes_max = options.log_bytes_max / 2;
        Self {
            // As far as is known there is something to write.
            bytes: replayed.max(1),
            bytes_max,
            all_max: options.log_bytes_max,
            full: options.checkpoint_log_bytes.min(bytes_max),
            due: Instant::now() + options.checkpoint_interval.min(SOON),
            interval: options.checkpoint_interval,
            owed: 0,
            stepped: Instant::now(),
            usual: 0,
            appended: None,
            clearing: None,
            stretches: VecDeque::new(),
            open: Stretch::default(),
            old: Some(Lsn(lsn.0 + 1)),
        }
    }

    pub(super) fn appended(&mut self, lsn: Lsn, rows: usize, log_bytes: usize) {
        let bytes = log_bytes as u64;
        self.bytes += bytes;
        self.owed += (ROWS_TO_LOG * log_bytes) as u64;
        self.usual = self.usual - self.usual / USUAL_PARTS + log_bytes / USUAL_PARTS;
        self.appended = Some(Instant::now());
        self.open = Stretch {
            end: lsn,
            rows: self.open.rows + rows,
            bytes: self.open.bytes + bytes,
        };
        if self.open.rows >= STRETCH_ROWS || self.open.bytes >= STRETCH_BYTES {
            self.stretches.push_back(std::mem::take(&mut self.open));
        }
    }

    /// When a checkpoint is to begin; `None` if there is nothing to write.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.bytes > 0).then_some(self.due)
    }

    /// Whether one is to begin now, if none is under way.
    pub(super) fn is_due(&self) -> bool {
        self.bytes >= self.full || self.due().is_some_and(|due| due <= Instant::now())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub(super) fn checkpoint_begins(&mut self) {
        self.due = Instant::now() + self.interval;
        // More than the half lies before it where others took over before theirs were done.
        self.bytes_max = self
            .all_max
            .saturating_sub(self.bytes)
            .min(self.all_max / 2);
        self.bytes = 0;
        self.owed = 0;
        self.stepped();
    }

    /// A step is under way, or done.
    pub(super) fn stepped(&mut self) {
        self.stepped = Instant::now();
    }

    /// So many bytes of rows were written.
    pub(super) fn paid(&mut self, bytes: usize) {
        self.owed = self.owed.saturating_sub(bytes as u64);
        self.stepped();
    }

    /// All rows are written, and some of the log that they make superfluous is cleared.
    fn cleared(&mut self) {
        self.owed = 0;
        self.stepped();
    }

    /// When nobody is held up by a step any more, while there are drains; `None` if that is now.
    pub(super) fn calm_at(&self) -> Option<Instant> {
        let at = self.appended? + CALM;
        (at > Instant::now()).then_some(at)
    }

    /// Nobody comes any more.
    pub(super) fn calm_down(&mut self) {
        self.appended = None;
    }

    /// Bytes of rows that go with a drain of so many bytes of log: what is owed for it, and some of what is owed for others.
    /// Past the half of the room they become more, whatever that costs commits.
    pub(super) fn row_bytes(&self, log_bytes: usize, most: usize) -> usize {
        let taken = (self.bytes.saturating_mul(256) / self.bytes_max.max(1)).min(256);
        let pressed = usize::try_from(taken.saturating_sub(128)).unwrap_or(0);
        let late = usize::try_from(self.owed / OWED_PARTS).unwrap_or(usize::MAX);
        (ROWS_TO_LOG * log_bytes)
            .saturating_add(late)
            .min(ROWS_TO_USUAL_LOG * self.usual)
            .max(ROW_BYTES_MIN)
            .max(most / 128 * pressed)
            .min(most)
    }

    /// Whether the checkpoint under way must make a step before the next drain. The more of the room is taken, the less may
    /// be owed; where none is left drains wait for the end.
    pub(super) fn owes_step(&self) -> bool {
        let room = self.room();
        self.owed > room || self.is_full() || self.stepped.elapsed() >= STEP_INTERVAL
    }

    /// Whether a step may soon be due.
    pub(super) fn is_behind(&self) -> bool {
        self.owed > self.room() / 2
    }

    /// Whether drains must wait for the end of the checkpoint under way.
    pub(super) fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// For what may be owed.
    fn room(&self) -> u64 {
        self.bytes_max.saturating_sub(self.bytes) / ROOM_PARTS
    }

    pub(super) fn checkpoint_done(&mut self, at: Lsn) {
        self.clearing = Some(at);
        self.bytes_max = self.all_max / 2;
    }

    pub(super) fn is_clearing(&self) -> bool {
        self.clearing.is_some()
    }

    /// Clears the next stretch of what is in rows.
    pub(super) async fn clear(&mut self, kv: &dyn Kv) -> Result<Transaction, Error> {
        let mut cleared = Transaction::default();
        let Some(at) = self.clearing else {
            return Ok(cleared);
        };
        self.cleared();
        if let Some(old) = self.old {
            let start = Key::Log(Lsn(0), 0).encode();
            let end = Key::Log(Lsn(old.0.min(at.0 + 1)), 0).encode();
            let rows = kv.range(&start, &end, OLD_ROWS, Direction::Forward).await?;
            if let Some((last, _)) = rows.last() {
                cleared.clear_range(start, [last.as_ref(), &[0]].concat().into());
                return Ok(cleared);
            }
            self.old = (at.0 + 1 < old.0).then_some(old);
        }
        match self.calm_at() {
            None => self.clear_known(&mut cleared, CLEARED_ROWS, CLEARED_BYTES),
            Some(_) => self.clear_known(&mut cleared, 0, 0),
        };
        Ok(cleared)
    }

    /// The same with a drain's transaction, of what this process wrote. False: there is nothing of it.
    pub(super) fn clear_with(&mut self, transaction: &mut Transaction) -> bool {
        let cleared = self.old.is_none() && self.clear_known(transaction, 0, 0);
        if cleared {
            self.cleared();
        }
        cleared
    }

    /// At least one stretch, and no more past so many rows or bytes.
    fn clear_known(&mut self, transaction: &mut Transaction, rows: usize, bytes: u64) -> bool {
        let Some(at) = self.clearing else {
            return false;
        };
        let (mut rows_taken, mut bytes_taken) = (0, 0);
        // What is behind the last stretch is one as well.
        let end = loop {
            let known = self.stretches.pop_front_if(|next| next.end <= at);
            let Some(stretch) = known else {
                break at;
            };
            rows_taken += stretch.rows;
            bytes_taken += stretch.bytes;
            if stretch.end == at || rows_taken >= rows || bytes_taken >= bytes {
                break stretch.end;
            }
        };
        if end == at {
            self.clearing = None;
        }
        let start = Key::Log(Lsn(0), 0).encode();
        transaction.clear_range(start, Key::Log(Lsn(end.0 + 1), 0).encode());
        true
    }
}
