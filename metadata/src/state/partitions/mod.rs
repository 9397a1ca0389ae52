//! Partitions: watermarks, what they hold, and the extents since the last checkpoint. Which there are is the topics' to
//! say; one without a row is as by default.

mod leaving;
mod pages;

use std::collections::{BTreeMap, VecDeque};

use pages::Pages;

use super::hash::IdMap;
use super::table::{Dirty, Page, Table, Wrote, decode_row};
use super::tally::{Mark, Tally};
use crate::codec::{Decoder, Unreadable};
use crate::effect::{Block, Judged, PartitionEffect, extents};
use crate::error::Error;
use crate::index::{self, Place};
use crate::keys::Key;
use crate::types::{
    Bounds, Epochs, Extent, Lsn, ObjectKey, Offset, PartitionIndex, TopicId, TopicPartition,
};

/// The partitions of all topics that are not deleted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Partitions {
    by_topic: IdMap<TopicId, Pages>,
    dirty: Dirty<TopicPartition>,
    /// Those of deleted topics, until their extents lie in index rows.
    leaving: BTreeMap<TopicPartition, PartitionLog>,
}

/// The order of one partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PartitionLog {
    known: Known,
    /// Extents not in index rows yet, in order; the last one ends at the high watermark.
    recent: VecDeque<Extent>,
    /// The row this was loaded from holds everything up to here.
    as_of: Lsn,
    /// Its row.
    stored: Mark,
    dirty: bool,
}

wire_struct! {
    /// What its row holds.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    struct Known {
        log_start: Offset,
        high_watermark: Offset,
        /// Where leader epochs began. Only where an older store was accepted there are any, so they take little room.
        epochs: Option<Box<Epochs>>,
        held: Held,
        /// Of the index in which older extents lie.
        generation: u32,
    }
}

wire_struct! {
    /// What was ever appended to a partition.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Held {
        /// Bytes of blocks in the bucket.
        pub(crate) stored_bytes: u64,
        /// Bytes of record batches, unpacked.
        pub(crate) raw_bytes: u64,
        pub(crate) records: u64,
    }
}

impl PartitionLog {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            log_start: self.known.log_start,
            last_stable: self.known.high_watermark,
            high_watermark: self.known.high_watermark,
            epochs: self.known.epochs.as_deref().copied().unwrap_or_default(),
        }
    }

    fn is_known(&self) -> bool {
        self.known != Known::default()
    }

    #[cfg(test)]
    pub(crate) fn as_of(&self) -> Lsn {
        self.as_of
    }

    /// Extents in memory; everything before the first one's base offset lies in index rows.
    pub(crate) fn recent(&self) -> &VecDeque<Extent> {
        &self.recent
    }

    /// Where the extents lie that memory does not have.
    pub(crate) fn index_of(&self, partition: TopicPartition) -> Place {
        Place {
            partition,
            generation: self.known.generation,
        }
    }

    /// Where the extents in memory begin.
    pub(crate) fn recent_start(&self) -> Offset {
        self.recent
            .front()
            .map_or(self.known.high_watermark, |first| first.base_offset)
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> Held {
        self.known.held
    }

    /// Drops the extents before `offset`: index rows hold them now.
    pub(crate) fn indexed_until(&mut self, offset: Offset) {
        while self
            .recent
            .front()
            .is_some_and(|first| first.base_offset < offset)
        {
            self.recent.pop_front();
        }
        if self.recent.is_empty() {
            // Most partitions are quiet most of the time, and what a burst took is not theirs to keep.
            self.recent = VecDeque::new();
        }
    }

    /// Moves extents to index rows, behind the tail that was read. False: there are more, for the next page.
    fn write_extents(&mut self, partition: TopicPartition, page: &mut Page) -> Result<bool, Error> {
        let place = self.index_of(partition);
        let tail = page.tails.remove(&place).flatten();
        let some = self.recent.iter().take(page.steps.extents);
        let extents: Vec<Extent> = some.copied().collect();
        let whole = extents.len() == self.recent.len();
        planted!(let whole = "partition-done-before-its-extents" => whole || !extents.is_empty());
        if let Some(last) = extents.last() {
            let rest = self.recent.get(extents.len());
            let end = rest.map_or(self.known.high_watermark, |next| next.base_offset);
            index::check(partition, &extents, end)?;
            let indexed = extents.as_slice();
            planted!(let indexed = "checkpoint-drops-the-last-extent" => &indexed[..indexed.len() - 1]);
            let log_start = self.known.log_start;
            let appended = index::append(place, log_start, tail.clone(), indexed, &mut page.writes);
            let tail = appended.unwrap_or_else(|why| {
                page.harmed.push((partition, self.recent_start(), why));
                index::append_beside(place, tail, indexed, &mut page.writes)
            });
            self.indexed_until(last.end_offset());
            if !whole {
                page.tails.insert(place, tail);
            }
        }
        Ok(whole)
    }

    /// Extents for which there is room in memory.
    #[cfg(test)]
    pub(crate) fn recent_capacity(&self) -> usize {
        self.recent.capacity()
    }
}

impl Partitions {
    pub(crate) fn get(&self, partition: TopicPartition) -> Option<&PartitionLog> {
        let logs = self.by_topic.get(&partition.topic)?;
        logs.get(partition.partition.0)
    }

    fn get_mut(&mut self, partition: TopicPartition) -> Option<&mut PartitionLog> {
        let logs = self.by_topic.get_mut(&partition.topic)?;
        logs.get_mut(partition.partition.0)
    }

    /// Those of a topic.
    pub(crate) fn of(
        &self,
        topic: TopicId,
    ) -> impl Iterator<Item = (TopicPartition, &PartitionLog)> {
        let logs = self.by_topic.get(&topic).into_iter().flat_map(Pages::iter);
        logs.map(move |(index, log)| {
            let partition = PartitionIndex(index);
            (TopicPartition { topic, partition }, log)
        })
    }

    /// Whether anything is known of one of a topic's: there may be rows then.
    pub(super) fn any_is_known(&self, topic: TopicId) -> bool {
        let mut made = self.by_topic.get(&topic).into_iter().flat_map(Pages::made);
        made.any(PartitionLog::is_known)
    }

    /// Rows of a topic's that are in the store.
    pub(super) fn rows_of(&self, topic: TopicId) -> Tally {
        let made = self.by_topic.get(&topic).into_iter().flat_map(Pages::made);
        made.map(|log| log.stored).collect()
    }

    /// All that are in the store.
    pub(super) fn rows(&self) -> Tally {
        let made = self.by_topic.values().flat_map(Pages::made);
        made.map(|log| log.stored).collect()
    }

    /// The topic has so many, or is gone (`None`).
    pub(super) fn resize(&mut self, topic: TopicId, total: Option<i32>) {
        match total {
            Some(total) => self.by_topic.entry(topic).or_default().grow(total),
            None => self.leave(topic),
        }
    }

    /// A block of an object joins its partition.
    pub(super) fn fold_block(
        &mut self,
        lsn: Lsn,
        object: ObjectKey,
        block: &Block,
        batches: &[Judged],
    ) {
        let Some(log) = self.get_mut(block.partition).filter(|log| log.as_of < lsn) else {
            return;
        };
        let before = log.known.high_watermark;
        for extent in extents(object, block, batches) {
            log.known.high_watermark = extent.end_offset();
            let held = &mut log.known.held;
            held.raw_bytes = held.raw_bytes.saturating_add(extent.raw_length().into());
            held.records = held.records.saturating_add(extent.record_count.into());
            log.recent.push_back(extent);
        }
        if log.known.high_watermark == before {
            return;
        }
        let stored = u64::from(block.range.stored_length);
        log.known.held.stored_bytes = log.known.held.stored_bytes.saturating_add(stored);
        if !std::mem::replace(&mut log.dirty, true) {
            self.dirty.mark(block.partition);
        }
    }

    pub(super) fn fold(&mut self, lsn: Lsn, partition: TopicPartition, what: &PartitionEffect) {
        let Some(log) = self.get_mut(partition).filter(|log| log.as_of < lsn) else {
            return;
        };
        let before = log.known.clone();
        match what {
            PartitionEffect::LogStartMoved { to } => {
                let known = &mut log.known;
                known.log_start = known.log_start.max(*to).min(known.high_watermark);
            }
            PartitionEffect::EpochBegan { epoch, start } => {
                let epochs = log.known.epochs.get_or_insert_default();
                epochs.begin(*epoch, *start);
            }
            PartitionEffect::IndexSwapped { generation } => {
                log.known.generation = log.known.generation.max(*generation);
            }
        }
        // One of which nothing is known gets no row.
        if log.known == before {
            return;
        }
        if !std::mem::replace(&mut log.dirty, true) {
            self.dirty.mark(partition);
        }
    }

    /// The indexes of partitions that are written next, with where the extents in memory join them.
    pub(crate) fn soon(&self, count: usize) -> impl Iterator<Item = (Place, Offset)> {
        let leaving = self.leaving.iter().take(count);
        let leaving = leaving.map(|(partition, log)| (*partition, log));
        let dirty = self.dirty.soon(count);
        let dirty = dirty.filter_map(|partition| Some((partition, self.get(partition)?)));
        let both = leaving.chain(dirty);
        both.map(|(partition, log)| (log.index_of(partition), log.recent_start()))
    }

    /// False: more of its extents go into the next page.
    fn write_partition(
        &mut self,
        partition: TopicPartition,
        page: &mut Page,
    ) -> Result<bool, Error> {
        // Else its topic was deleted, which clears its row.
        let Some(log) = self.get_mut(partition) else {
            return Ok(true);
        };
        let whole = log.write_extents(partition, page)?;
        if whole {
            log.dirty = false;
            let row = (page.lsn, log.known.clone());
            page.set(Key::Partition(partition), &row, &mut log.stored);
        }
        Ok(whole)
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.dirty.is_empty()
    }
}

impl Table for Partitions {
    fn begin(&mut self) {
        self.dirty.begin();
    }

    fn write(&mut self, page: &mut Page) -> Result<Wrote, Error> {
        while let Some(partition) = self.dirty.first() {
            if page.is_full() {
                return Ok(Wrote::Full);
            }
            let place = self.get(partition).map(|log| log.index_of(partition));
            if place.is_some_and(|place| !page.tails.contains_key(&place)) {
                return Ok(Wrote::NeedsTail);
            }
            // What is written here is the next tail, which is appended to only once this page is durable.
            if !self.write_partition(partition, page)? {
                return Ok(Wrote::Full);
            }
            self.dirty.pop();
        }
        Ok(Wrote::All)
    }

    fn load(&mut self, key: Key, row: Decoder, stored: Mark) -> Result<(), Unreadable> {
        let Key::Partition(partition) = key else {
            return Err(Unreadable);
        };
        let log = self.get_mut(partition).ok_or(Unreadable)?;
        (log.as_of, log.known) = decode_row(row)?;
        log.stored = stored;
        Ok(())
    }
}
