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

/// A stretch ends with the drain that fills it; one more drain fits into what a transaction may clear.
const STRETCH_ROWS: usize = 4_000;
const STRETCH_BYTES: u64 = 16 * 1024 * 1024;
/// Rows cleared at once of what another process wrote, whose stretches are not known.
const OLD_ROWS: usize = 1_000;
/// Between two steps of a checkpoint drains write this part of the room that is left.
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
    /// Bytes at which a checkpoint begins before it is due.
    full: u64,
    due: Instant,
    interval: Duration,
    /// Bytes and time since the last step of a checkpoint.
    since_step: u64,
    stepped: Instant,
    /// Everything up to here is in rows, and still to be cleared.
    clearing: Option<Lsn>,
    /// Where stretches end, oldest first.
    stretches: VecDeque<Lsn>,
    /// Of the stretch that is open.
    open_rows: usize,
    open_bytes: u64,
    /// What was written before this process loaded the store ends before this; none once it is cleared.
    old: Option<Lsn>,
}

impl Log {
    /// Of a store that was just loaded, up to `lsn`.
    pub(super) fn loaded(lsn: Lsn, options: &Options) -> Self {
        // The half of it may lie before the checkpoint under way, the other half comes meanwhile.
        let bytes_max = options.log_bytes_max / 2;
        Self {
            // As far as is known there is something to write.
            bytes: 1,
            bytes_max,
            full: options.checkpoint_log_bytes.min(bytes_max),
            due: Instant::now() + options.checkpoint_interval.min(SOON),
            interval: options.checkpoint_interval,
            since_step: 0,
            stepped: Instant::now(),
            clearing: None,
            stretches: VecDeque::new(),
            open_rows: 0,
            open_bytes: 0,
            old: Some(Lsn(lsn.0 + 1)),
        }
    }

    pub(super) fn appended(&mut self, lsn: Lsn, rows: usize, bytes: u64) {
        self.bytes += bytes;
        self.since_step += bytes;
        self.open_rows += rows;
        self.open_bytes += bytes;
        if self.open_rows >= STRETCH_ROWS || self.open_bytes >= STRETCH_BYTES {
            self.stretches.push_back(lsn);
            (self.open_rows, self.open_bytes) = (0, 0);
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
        self.bytes = 0;
        self.stepped();
    }

    pub(super) fn stepped(&mut self) {
        self.since_step = 0;
        self.stepped = Instant::now();
    }

    /// Whether the checkpoint under way must make a step before the next drain. The more of the room is taken, the less is
    /// written between two steps; where none is left drains wait for the end.
    pub(super) fn owes_step(&self) -> bool {
        let room = self.bytes_max.saturating_sub(self.bytes) / ROOM_PARTS;
        self.since_step > room || room == 0 || self.stepped.elapsed() >= STEP_INTERVAL
    }

    pub(super) fn checkpoint_done(&mut self, at: Lsn) {
        self.clearing = Some(at);
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
        let start = Key::Log(Lsn(0), 0).encode();
        if let Some(old) = self.old {
            let end = Key::Log(Lsn(old.0.min(at.0 + 1)), 0).encode();
            let rows = kv.range(&start, &end, OLD_ROWS, Direction::Forward).await?;
            if let Some((last, _)) = rows.last() {
                cleared.clear_range(start, [last.as_ref(), &[0]].concat().into());
                return Ok(cleared);
            }
            self.old = (at.0 + 1 < old.0).then_some(old);
        }
        let end = match self.stretches.front() {
            Some(end) if *end <= at => *end,
            _ => at,
        };
        if self.stretches.front() == Some(&end) {
            self.stretches.pop_front();
        }
        if end == at {
            self.clearing = None;
        }
        cleared.clear_range(start, Key::Log(Lsn(end.0 + 1), 0).encode());
        Ok(cleared)
    }
}
