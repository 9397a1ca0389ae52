//! What an agent knows of a partition that somebody reads: its bounds and newest extents, kept fresh by the sequencer.
//! Tail reads are answered from here without asking anybody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::types::{Bounds, Extent, Offset, PartitionIndex, TopicId, TopicPartition};

/// Extents a view keeps.
pub(crate) const VIEW_EXTENTS_MAX: usize = 1024;
/// Extents in one answer, whatever number of bytes is asked for: who wants more asks again from behind them.
pub(crate) const LOCATED_MAX: usize = 4096;
/// Views kept while nobody holds them, and no more are asked for while somebody holds each of so many.
pub(crate) const VIEWS_MAX: usize = 64 * 1024;

/// One partition as of the last drain that touched it.
#[derive(Debug)]
pub struct View {
    known: Mutex<Known>,
    changed: Notify,
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

    /// New extents are durable; wakes whoever waits for them.
    pub(crate) fn append(&self, bounds: Bounds, extents: impl Iterator<Item = Extent>) {
        let mut known = self.known.lock();
        let end = known
            .extents
            .back()
            .map_or(known.bounds.high_watermark, Extent::end_offset);
        for extent in extents.filter(|extent| extent.base_offset >= end) {
            if known
                .extents
                .back()
                .is_some_and(|last| last.end_offset() != extent.base_offset)
            {
                known.extents.clear();
            }
            known.extents.push_back(extent);
        }
        while known.extents.len() > VIEW_EXTENTS_MAX {
            known.extents.pop_front();
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

    fn end(&self) {
        self.known.lock().deleted = true;
        self.changed.notify_waiters();
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

/// The views of one agent. Sorted, so that who waits is woken in an order that simulation can repeat.
#[derive(Debug, Default)]
pub(crate) struct Views(Mutex<BTreeMap<TopicPartition, Arc<View>>>);

impl Views {
    pub(crate) fn get(&self, partition: TopicPartition) -> Option<Arc<View>> {
        self.0.lock().get(&partition).cloned()
    }

    /// The view there is, or the one given. Room is made before, for what makes room is to be let go of elsewhere.
    pub(crate) fn insert(&self, partition: TopicPartition, view: View) -> Arc<View> {
        let mut views = self.0.lock();
        Arc::clone(views.entry(partition).or_insert_with(|| Arc::new(view)))
    }

    /// Forgets views that nobody holds, of those that may go, once there are many; which they were.
    pub(crate) fn make_room(
        &self,
        may_go: impl Fn(&TopicPartition) -> bool,
    ) -> Vec<TopicPartition> {
        let mut views = self.0.lock();
        if views.len() < VIEWS_MAX {
            return Vec::new();
        }
        let unheld = views.extract_if(.., |partition, view| {
            Arc::strong_count(view) == 1 && may_go(partition)
        });
        unheld.map(|(partition, _)| partition).collect()
    }

    /// Whether there are as many as are kept.
    pub(crate) fn are_full(&self) -> bool {
        self.0.lock().len() >= VIEWS_MAX
    }

    /// Ends the views whose partitions are gone.
    pub(crate) fn retain(&self, mut exists: impl FnMut(TopicPartition) -> bool) {
        self.0.lock().retain(|partition, view| {
            let keep = exists(*partition);
            if !keep {
                view.end();
            }
            keep
        });
    }

    /// Ends the views of a topic that is gone.
    pub(crate) fn end_topic(&self, topic: TopicId) {
        let partition = |index| TopicPartition {
            topic,
            partition: PartitionIndex(index),
        };
        let of_topic = partition(i32::MIN)..=partition(i32::MAX);
        let mut views = self.0.lock();
        let gone = views.extract_if(of_topic, |_, _| true);
        gone.for_each(|(_, view)| view.end());
    }

    /// The partitions that are viewed.
    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        self.0.lock().keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sequencer is to be told to let go of them.
    #[test]
    fn no_view_is_dropped_but_when_it_is_said() {
        let views = Views::default();
        let count = i32::try_from(VIEWS_MAX).unwrap();
        let partition = |index| TopicPartition {
            topic: TopicId(1),
            partition: PartitionIndex(index),
        };
        let insert = |index| {
            let view = View::new(Bounds::default(), &VecDeque::new());
            views.insert(partition(index), view)
        };
        let held = insert(0);
        (1..count).for_each(|index| drop(insert(index)));
        assert!(views.are_full());
        drop(insert(count));
        assert_eq!(views.partitions().len(), VIEWS_MAX + 1);
        let dropped = views.make_room(|_| true);
        assert_eq!(dropped.len(), VIEWS_MAX);
        assert_eq!(views.partitions(), [partition(0)]);
        drop(held);
    }
}
