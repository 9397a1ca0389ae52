//! Idempotence: what each partition remembers of its producers.
//!
//! One that is remembered is never forgotten before its time, whoever else comes: a window that is gone lets a repetition
//! be appended again. So there is a bound on how much the cluster remembers, and what is refused past it is a *new*
//! producer, which comes again later. No client must be able to fill that room for all others with ids it makes up: what
//! a producer takes is on the account of the network that first sent for it (its share), and a share may have as much as
//! it leaves free. Alone it may have half of the room; whoever comes next still finds half of the rest. The share comes
//! with each batch and not with the id, for any client may send any id, and the room is taken by (partition, id).

mod by_id;
mod refused;
mod window;

use std::collections::BTreeMap;

use super::hash::IdMap;
use super::limits::PRODUCER_BYTES;
use super::table::{Dirty, Page, Table, Wrote, decode_row};
use super::tally::{Mark, Tally};
use crate::codec::{Decoder, Unreadable};
use crate::command::{BatchProducer, Rejected};
use crate::effect::{Judgement, ProducersEffect};
use crate::error::Error;
use crate::keys::Key;
use crate::types::{
    BatchFlags, Lsn, Offset, PartitionIndex, ProducerEpoch, ProducerId, Share, Timestamp, TopicId,
    TopicPartition,
};
use by_id::ById;
use refused::Refused;
pub(crate) use window::{Producer, Remembered, Window};

/// The producers of all partitions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    partitions: IdMap<TopicPartition, OfPartition>,
    /// Partitions with producers whose rows differ: those of one lie side by side, and are written so.
    dirty: Dirty<TopicPartition>,
    /// The producer to go on from, of the partition that is written now.
    next: Option<(TopicPartition, ProducerId)>,
    /// Rows to be cleared, unless their producer came again.
    gone: Dirty<(TopicPartition, ProducerId)>,
    /// Which rows they are, of those that are in the store.
    gone_rows: IdMap<(TopicPartition, ProducerId), Mark>,
    /// How many there are.
    count: u64,
    /// Of them, by share.
    shares: IdMap<Share, u64>,
    /// Those for whom there was no room lately.
    refused: Refused,
}

/// Those of one partition.
#[derive(Clone, Debug)]
struct OfPartition {
    by_id: ById,
    /// It is listed as one to be written.
    dirty: bool,
}

/// Of the whole cluster, what a partition's batches are judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Ids from here on were never handed out.
    pub(super) ids_end: i64,
    /// A producer from here on that the partition does not know has never been.
    pub(super) strict_from: i64,
    /// Bytes that all may take.
    pub(super) bytes_max: u64,
    /// Of one that was not heard of since, the last batches may be lost.
    pub(super) older_accepted: Timestamp,
}

/// A batch to be judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) claimed: BatchProducer,
    pub(super) record_count: u32,
    pub(super) max_timestamp: Timestamp,
    pub(super) flags: BatchFlags,
    /// Where it lies if it is accepted.
    pub(super) base_offset: Offset,
}

impl Batch {
    fn remembered(&self) -> Remembered {
        Remembered {
            base_sequence: self.claimed.base_sequence,
            record_count: self.record_count,
            base_offset: self.base_offset,
        }
    }

    fn accepted(&self, is_new: bool) -> Judgement {
        let share = match is_new {
            true => self.claimed.share,
            // It is on the account of whoever came first.
            false => Share::default(),
        };
        Judgement::Accepted {
            record_count: self.record_count,
            max_timestamp: self.max_timestamp,
            flags: self.flags,
            producer: Some(BatchProducer {
                share,
                ..self.claimed
            }),
            is_new,
        }
    }
}

impl Producers {
    /// How many windows are remembered.
    pub(crate) fn len(&self) -> u64 {
        self.count
    }

    /// What they count for.
    pub(crate) fn bytes(&self) -> u64 {
        self.count * PRODUCER_BYTES
    }

    /// Those of one partition, by id.
    #[cfg(test)]
    pub(crate) fn of(&self, partition: TopicPartition) -> Vec<(ProducerId, Producer)> {
        let of = self.partitions.get(&partition);
        of.into_iter()
            .flat_map(|of| of.by_id.iter())
            .map(|(id, producer)| (id, producer.clone()))
            .collect()
    }

    /// Every partition that remembers any.
    #[cfg(test)]
    pub(crate) fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        self.partitions.keys().copied()
    }

    /// Judges a batch and, if it is accepted, remembers it at once: the next one must see it.
    pub(super) fn decide(
        &mut self,
        now: Timestamp,
        partition: TopicPartition,
        batch: &Batch,
        rules: &Rules,
    ) -> Judgement {
        let id = batch.claimed.id;
        let known = self.partitions.get_mut(&partition);
        let known = known.and_then(|of| Some((of.by_id.get_mut(id)?, &mut of.dirty)));
        planted!(let known = "live-producers-evicted" => known.filter(|_| id.0 + 4_000 > rules.ids_end));
        if let Some((known, listed)) = known {
            let mut judged = known.judge(&batch.claimed, batch.record_count, true);
            if judged == Err(Rejected::OutOfOrderSequence)
                && known.last_seen <= rules.older_accepted
                && known.is_behind(&batch.claimed)
            {
                // What it sent in between was lost with the newer store.
                judged = Ok(None);
            }
            return match judged {
                Ok(None) => {
                    known.fold(now, batch.claimed.epoch, batch.remembered());
                    known.dirty = true;
                    if !std::mem::replace(listed, true) {
                        self.dirty.mark(partition);
                    }
                    batch.accepted(false)
                }
                Ok(Some(original)) => Judgement::Duplicate(original),
                Err(rejected) => Judgement::Refused(rejected),
            };
        }
        if let Err(rejected) = self.check_new(now, partition, batch, rules) {
            return Judgement::Refused(rejected);
        }
        self.begin_producer(now, partition, batch);
        batch.accepted(true)
    }

    fn check_new(
        &mut self,
        now: Timestamp,
        partition: TopicPartition,
        batch: &Batch,
        rules: &Rules,
    ) -> Result<(), Rejected> {
        let id = batch.claimed.id.0;
        if id >= rules.ids_end {
            return Err(Rejected::UnknownProducerId);
        }
        // Before its sequence is looked at, so that what follows a batch that found no room is told the same, also where
        // there is room by now.
        if self.refused.is_behind(now, partition, &batch.claimed) {
            return Err(Rejected::TooManyProducers);
        }
        let free = rules.bytes_max.saturating_sub(self.bytes());
        let taken = self.shares.get(&batch.claimed.share).copied().unwrap_or(0);
        if free < PRODUCER_BYTES || taken * PRODUCER_BYTES >= free {
            self.refused.remember(now, partition, &batch.claimed);
            return Err(Rejected::TooManyProducers);
        }
        let strict = id >= rules.strict_from;
        let judged = Producer::default().judge(&batch.claimed, batch.record_count, strict);
        judged.map(|_| ())
    }

    fn begin_producer(&mut self, now: Timestamp, partition: TopicPartition, batch: &Batch) {
        let mut producer = Producer {
            share: batch.claimed.share,
            dirty: true,
            ..Producer::default()
        };
        producer.fold(now, batch.claimed.epoch, batch.remembered());
        let listed = self.insert(partition, batch.claimed.id, producer);
        if !std::mem::replace(listed, true) {
            self.dirty.mark(partition);
        }
    }

    /// Whether its partition is listed as one to be written.
    fn insert(
        &mut self,
        partition: TopicPartition,
        id: ProducerId,
        mut producer: Producer,
    ) -> &mut bool {
        if let Some(row) = self.gone_rows.remove(&(partition, id)) {
            producer.stored = row;
        }
        self.count += 1;
        *self.shares.entry(producer.share).or_default() += 1;
        let none = || OfPartition {
            by_id: ById::Few(Vec::new()),
            dirty: false,
        };
        let of = self.partitions.entry(partition).or_insert_with(none);
        of.by_id.insert(id, producer);
        &mut of.dirty
    }

    /// A batch that was accepted.
    pub(super) fn fold(
        &mut self,
        lsn: Lsn,
        now: Timestamp,
        partition: TopicPartition,
        batch: &Batch,
    ) {
        let id = batch.claimed.id;
        let known = self.partitions.get_mut(&partition);
        let known = known.and_then(|of| Some((of.by_id.get_mut(id)?, &mut of.dirty)));
        let Some((known, listed)) = known else {
            return self.begin_producer(now, partition, batch);
        };
        if known.as_of < lsn {
            known.fold(now, batch.claimed.epoch, batch.remembered());
            known.dirty = true;
            if !std::mem::replace(listed, true) {
                self.dirty.mark(partition);
            }
        }
    }

    pub(super) fn fold_effect(
        &mut self,
        lsn: Lsn,
        partition: TopicPartition,
        what: &ProducersEffect,
    ) {
        match what {
            ProducersEffect::Forgotten(ids) => {
                for id in ids {
                    self.forget(lsn, partition, *id);
                }
            }
        }
    }

    fn forget(&mut self, lsn: Lsn, partition: TopicPartition, id: ProducerId) {
        let Some(of) = self.partitions.get_mut(&partition) else {
            return;
        };
        // One that came again later, and whose row says so.
        if of.by_id.get(id).is_some_and(|known| known.as_of >= lsn) {
            return;
        }
        if let Some(gone) = of.by_id.remove(id) {
            if of.by_id.is_empty() {
                self.partitions.remove(&partition);
            }
            self.uncount(gone.share);
            self.left(partition, id, gone.stored);
        }
    }

    fn uncount(&mut self, share: Share) {
        self.count -= 1;
        if let Some(taken) = self.shares.get_mut(&share) {
            *taken -= 1;
            if *taken == 0 {
                self.shares.remove(&share);
            }
        }
    }

    /// A row was left behind, as of a topic that is gone: the next checkpoint clears it.
    pub(super) fn left(&mut self, partition: TopicPartition, id: ProducerId, stored: Mark) {
        self.gone.mark((partition, id));
        if stored.is_row() {
            self.gone_rows.insert((partition, id), stored);
        }
    }

    /// Rows that are in the store.
    pub(super) fn rows(&self) -> Tally {
        let all = self.partitions.values().flat_map(|of| of.by_id.iter());
        let all = all.map(|(_, known)| known.stored);
        all.chain(self.gone_rows.values().copied()).collect()
    }

    /// The topic is gone, with so many partitions. Rows are cleared one by one: a range may have more of them than a
    /// store clears at once.
    pub(super) fn drop_topic(&mut self, topic: TopicId, partitions: i32) {
        let all = (0..partitions).map(|index| TopicPartition {
            topic,
            partition: PartitionIndex(index),
        });
        // Whichever are fewer: a topic may have a million partitions, and no producer in any.
        let wanted: Vec<TopicPartition> = match self.partitions.len() < all.len() {
            true => {
                let known = self.partitions.keys().copied();
                known.filter(|known| known.topic == topic).collect()
            }
            false => all.collect(),
        };
        for partition in wanted {
            let Some(gone) = self.partitions.remove(&partition) else {
                continue;
            };
            for (id, producer) in gone.by_id.iter() {
                self.uncount(producer.share);
                self.left(partition, id, producer.stored);
            }
        }
    }

    /// Who was silent since `before`, by partition; no more than so many of them.
    pub(super) fn silent(
        &self,
        before: Timestamp,
        max: usize,
    ) -> BTreeMap<TopicPartition, Vec<ProducerId>> {
        let (mut silent, mut left) = (BTreeMap::new(), max);
        for (partition, of) in &self.partitions {
            let ids = of
                .by_id
                .iter()
                .filter(|(_, known)| known.last_seen < before);
            let ids: Vec<_> = ids.map(|(id, _)| id).take(left).collect();
            left -= ids.len();
            if !ids.is_empty() {
                silent.insert(*partition, ids);
            }
            if left == 0 {
                break;
            }
        }
        silent
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let all = || self.partitions.values().flat_map(|of| of.by_id.iter());
        assert_eq!(self.count, all().count() as u64);
        let mut shares: IdMap<Share, u64> = IdMap::default();
        all().for_each(|(_, known)| *shares.entry(known.share).or_default() += 1);
        assert_eq!(self.shares, shares);
        assert!(self.partitions.values().all(|of| !of.by_id.is_empty()));
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.dirty.is_empty() && self.gone.is_empty()
    }
}

wire_struct! {
    struct Row {
        as_of: Lsn,
        share: Share,
        epoch: ProducerEpoch,
        last_seen: Timestamp,
        batches: Window,
    }
}

impl Producer {
    /// It is as its row then.
    fn write(&mut self, partition: TopicPartition, id: ProducerId, page: &mut Page) {
        self.dirty = false;
        let row = Row {
            as_of: page.lsn,
            share: self.share,
            epoch: self.epoch,
            last_seen: self.last_seen,
            batches: self.batches.clone(),
        };
        page.set(Key::Producer(partition, id), &row, &mut self.stored);
    }
}

impl Producers {
    /// False: there are more.
    fn write_gone(&mut self, page: &mut Page) -> bool {
        while let Some((partition, id)) = self.gone.first() {
            if page.is_full() {
                return false;
            }
            let known = self.partitions.get_mut(&partition);
            match known.and_then(|of| of.by_id.get_mut(id)) {
                // It came again, and its row may be of before.
                Some(known) => known.write(partition, id, page),
                None => {
                    let row = self.gone_rows.remove(&(partition, id));
                    page.clear(Key::Producer(partition, id), row.unwrap_or_default());
                }
            }
            self.gone.pop();
        }
        if self.gone_rows.is_empty() {
            self.gone_rows = IdMap::default();
        }
        true
    }

    /// False: there are more.
    fn write_partition(&mut self, partition: TopicPartition, page: &mut Page) -> bool {
        // Of another one if a checkpoint was given up and the next one has more to write.
        let next = self.next.take().filter(|(of, _)| *of == partition);
        let Some(of) = self.partitions.get_mut(&partition) else {
            return true;
        };
        if next.is_none() {
            // Who changes from now on may be behind the one that is written next.
            of.dirty = false;
        }
        let first = next.map_or(ProducerId(i64::MIN), |(_, id)| id);
        for (id, known) in of.by_id.since_mut(first) {
            if !known.dirty {
                continue;
            }
            if page.is_full() {
                self.next = Some((partition, id));
                return false;
            }
            known.write(partition, id, page);
        }
        true
    }
}

impl Table for Producers {
    fn begin(&mut self) {
        self.gone.begin();
        self.dirty.begin();
    }

    fn write(&mut self, page: &mut Page) -> Result<Wrote, Error> {
        planted!("producers-not-checkpointed", return Ok(Wrote::All));
        if !self.write_gone(page) {
            return Ok(Wrote::Full);
        }
        while let Some(partition) = self.dirty.first() {
            if page.is_full() || !self.write_partition(partition, page) {
                return Ok(Wrote::Full);
            }
            self.dirty.pop();
        }
        Ok(Wrote::All)
    }

    fn load(&mut self, key: Key, row: Decoder, stored: Mark) -> Result<(), Unreadable> {
        let Key::Producer(partition, id) = key else {
            return Err(Unreadable);
        };
        let row: Row = decode_row(row)?;
        let producer = Producer {
            epoch: row.epoch,
            batches: row.batches,
            last_seen: row.last_seen,
            share: row.share,
            as_of: row.as_of,
            stored,
            dirty: false,
        };
        self.insert(partition, id, producer);
        Ok(())
    }
}
