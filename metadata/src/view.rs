//! What an agent knows of a partition that somebody reads: its bounds and newest extents, kept fresh by the sequencer.
//! Tail reads are answered from here without asking anybody.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::types::{Bounds, Extent, Offset};

/// Extents a view keeps at the most; fewer where there are many views.
pub(crate) const VIEW_EXTENTS_MAX: usize = 1024;
/// Extents in one answer, whatever number of bytes is asked for: who wants more asks again from behind them.
pub(crate) const LOCATED_MAX: usize = 4096;
/// A view that has extents has room for so many.
const ROOM_MIN: usize = 4;

/// One partition as of the last drain that touched it.
#[derive(Debug)]
pub struct View {
    known: Mutex<Known>,
    changed: Notify,
    /// Somebody asked for it since it was last looked whether anybody does.
    wanted: AtomicBool,
}

#[derive(Debug)]
struct Known {
    bounds: Bounds,
    /// Neighbours, the last of which ends at the high watermark.
    extents: VecDeque<Extent>,
    deleted: bool,
}

/// What a view says of an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The extents from the one holding the offset on; none at the high watermark.
    Extents {
        bounds: Bounds,
        extents: Vec<Extent>,
    },
    /// Before what the view keeps: ask `Metadata::locate`.
    Earlier(Bounds),
    /// Past the view's high watermark: wait, or ask `Metadata::locate`.
    Past(Bounds),
}

impl View {
    pub(crate) fn new(bounds: Bounds, recent: &VecDeque<Extent>) -> Self {
        let extents = newest(recent, VIEW_EXTENTS_MAX).collect();
        let known = Known {
            bounds,
            extents,
            deleted: false,
        };
        Self {
            known: Mutex::new(known),
            changed: Notify::new(),
            wanted: AtomicBool::new(true),
        }
    }

    /// The partition's bounds.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.known.lock().bounds
    }

    /// Whether the topic is gone; the view never changes again then.
    #[must_use]
    pub fn deleted(&self) -> bool {
        self.known.lock().deleted
    }

    /// The extents from `offset` on, until they hold `raw_bytes_max` bytes of batches (at least one extent).
    #[must_use]
    pub fn look(&self, offset: Offset, raw_bytes_max: u64) -> Look {
        let known = self.known.lock();
        let bounds = known.bounds;
        if offset > bounds.high_watermark {
            return Look::Past(bounds);
        }
        let start = known
            .extents
            .front()
            .map_or(bounds.high_watermark, |first| first.base_offset);
        if offset < start || offset < bounds.log_start {
            return Look::Earlier(bounds);
        }
        let first = known
            .extents
            .partition_point(|extent| extent.end_offset() <= offset);
        let extents = enough(known.extents.range(first..), raw_bytes_max);
        Look::Extents { bounds, extents }
    }

    /// Resolves at the next change after this call. Call it before looking, so that no change falls between.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// New extents are durable; wakes whoever waits for them. `max` are kept.
    pub(crate) fn append(&self, bounds: Bounds, extents: impl Iterator<Item = Extent>, max: usize) {
        let mut known = self.known.lock();
        let end = known
            .extents
            .back()
            .map_or(known.bounds.high_watermark, Extent::end_offset);
        for extent in extents.filter(|extent| extent.base_offset >= end) {
            known.push(extent, max);
        }
        let end = known.extents.back().map(Extent::end_offset);
        if end.is_some_and(|end| end != bounds.high_watermark) {
            // Index rows have what is missing.
            known.extents.clear();
        }
        known.bounds = bounds;
        drop(known);
        self.changed.notify_waiters();
    }

    /// Keeps the newest extents, `max` of them, and room for no more.
    pub(crate) fn keep(&self, max: usize) {
        let mut known = self.known.lock();
        let surplus = known.extents.len().saturating_sub(max);
        known.extents.drain(..surplus);
        known.extents.shrink_to(max);
    }

    /// Somebody asks for it.
    pub(crate) fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked for it since this was last called.
    pub(crate) fn was_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.known.lock().deleted = true;
        self.changed.notify_waiters();
    }
}

impl Known {
    /// Makes room before, so that it never grows beyond what it keeps.
    fn push(&mut self, extent: Extent, max: usize) {
        let last = self.extents.back();
        if last.is_some_and(|last| last.end_offset() != extent.base_offset) {
            self.extents.clear();
        }
        while self.extents.len() >= max.max(1) {
            self.extents.pop_front();
        }
        let count = self.extents.len();
        if count == self.extents.capacity() {
            let more = count.max(ROOM_MIN).min(max.saturating_sub(count));
            self.extents.reserve_exact(more);
        }
        self.extents.push_back(extent);
    }
}

#[cfg(test)]
impl View {
    /// How many extents it has room for.
    pub(crate) fn room(&self) -> usize {
        self.known.lock().extents.capacity()
    }
}

/// So many of a partition's extents, as a view begins with.
pub(crate) fn newest(recent: &VecDeque<Extent>, max: usize) -> impl Iterator<Item = Extent> {
    let skip = recent.len().saturating_sub(max.min(VIEW_EXTENTS_MAX));
    recent.iter().skip(skip).copied()
}

/// Extents until they hold enough bytes, or are [`LOCATED_MAX`]; at least one, if there is one.
pub(crate) fn enough<'a>(
    extents: impl Iterator<Item = &'a Extent>,
    raw_bytes_max: u64,
) -> Vec<Extent> {
    let (mut found, mut bytes) = (Vec::new(), 0_u64);
    for extent in extents {
        if !found.is_empty() && (bytes >= raw_bytes_max || found.len() == LOCATED_MAX) {
            break;
        }
        bytes = bytes.saturating_add(extent.raw_length().into());
        found.push(*extent);
    }
    found
}
