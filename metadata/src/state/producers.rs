//! Idempotence: per partition and producer the epoch and the last five batches, by which duplicates, gaps and fenced
//! producers are told (KIP-98; Kafka's ProducerStateManager).

use std::ops::Deref;

use crate::command::{BatchProducer, Rejected};
use crate::effect::ProducerBatch;
use crate::types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// Kafka's clients have at most five requests in flight when they are idempotent.
const BATCHES_KEPT: usize = 5;

/// Producers a partition remembers: their rows must fit in one transaction of a checkpoint.
pub(super) const PRODUCERS_MAX: usize = 5_000;

/// The producers of one partition, by id. Most partitions have none or few, and there are many partitions: a map's node
/// has room for eleven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers(Vec<(ProducerId, Producer)>);

/// Up to so many there is no room for more than there are.
const FEW: usize = 4;

/// What a partition knows of a producer. The default knows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) epoch: ProducerEpoch,
    pub(crate) batches: Window,
    pub(crate) last_seen: Timestamp,
}

/// The last batches, newest last. They lie in the producer itself: deciding looks at one producer after the other, and most
/// are not in the processor's cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// Those past `count` are as by default.
    kept: [Remembered; BATCHES_KEPT],
    count: u8,
}

impl Deref for Window {
    type Target = [Remembered];

    fn deref(&self) -> &[Remembered] {
        &self.kept[..self.count.into()]
    }
}

impl Window {
    /// The oldest makes room.
    fn push(&mut self, batch: Remembered) {
        if self.len() == BATCHES_KEPT {
            self.kept.rotate_left(1);
        } else {
            self.count += 1;
        }
        self.kept[usize::from(self.count) - 1] = batch;
    }
}

/// A batch of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) base_sequence: Sequence,
    pub(crate) record_count: u32,
    pub(crate) base_offset: Offset,
}

/// A batch to be judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) claimed: BatchProducer,
    pub(crate) record_count: u32,
}

impl Remembered {
    pub(super) fn next_sequence(&self) -> Sequence {
        advance(self.base_sequence, self.record_count)
    }
}

/// Sequence numbers wrap from `i32::MAX` to 0.
fn advance(sequence: Sequence, count: u32) -> Sequence {
    let next = (i64::from(sequence.0) + i64::from(count)) % (i64::from(i32::MAX) + 1);
    Sequence(i32::try_from(next).unwrap_or(0))
}

impl Producer {
    /// `Ok(None)`: next in order. `Ok(Some(offset))`: a duplicate of the batch there. `strict`: a producer not known here
    /// has never been, so its first batch must be its first; else retention may have forgotten it and any will do.
    pub(crate) fn judge(&self, batch: &Batch, strict: bool) -> Result<Option<Offset>, Rejected> {
        let BatchProducer {
            epoch,
            base_sequence,
            ..
        } = batch.claimed;
        planted!("duplicate-check-off", return Ok(None));
        let Some(last) = self.batches.last() else {
            return match base_sequence {
                Sequence(0) => Ok(None),
                _ if strict => Err(Rejected::OutOfOrderSequence),
                _ => Ok(None),
            };
        };
        planted!("epoch-ignored", {
            if epoch < self.epoch {
                return Ok(None);
            }
        });
        if epoch < self.epoch {
            return Err(Rejected::InvalidProducerEpoch);
        }
        if epoch > self.epoch {
            return match base_sequence {
                Sequence(0) => Ok(None),
                _ => Err(Rejected::OutOfOrderSequence),
            };
        }
        let same = |known: &&Remembered| {
            known.base_sequence == base_sequence && known.record_count == batch.record_count
        };
        if let Some(original) = self.batches.iter().rev().find(same) {
            return Ok(Some(original.base_offset));
        }
        if last.next_sequence() == base_sequence {
            return Ok(None);
        }
        Err(Rejected::OutOfOrderSequence)
    }

    pub(crate) fn fold(&mut self, now: Timestamp, batch: &ProducerBatch) {
        if batch.epoch != self.epoch {
            self.batches = Window::default();
            self.epoch = batch.epoch;
        }
        planted!("window-of-one", self.batches = Window::default());
        self.batches.push(Remembered {
            base_sequence: batch.base_sequence,
            record_count: batch.record_count,
            base_offset: batch.base_offset,
        });
        self.last_seen = now;
    }
}

impl Producers {
    fn find(&self, id: ProducerId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id)
    }

    pub(crate) fn get(&self, id: ProducerId) -> Option<&Producer> {
        let found = self.find(id).ok()?;
        self.0.get(found).map(|(_, producer)| producer)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&ProducerId, &Producer)> {
        self.0.iter().map(|(id, producer)| (id, producer))
    }

    fn values(&self) -> impl Iterator<Item = &Producer> {
        self.0.iter().map(|(_, producer)| producer)
    }

    pub(crate) fn restore(&mut self, id: ProducerId, producer: Producer) {
        *self.entry(id) = producer;
    }

    pub(super) fn fold(&mut self, now: Timestamp, batch: &ProducerBatch) {
        self.entry(batch.id).fold(now, batch);
    }

    /// The one there is, or a new one.
    fn entry(&mut self, id: ProducerId) -> &mut Producer {
        let found = self.find(id).unwrap_or_else(|place| {
            if self.0.len() < FEW {
                self.0.reserve_exact(1);
            }
            self.0.insert(place, (id, Producer::default()));
            place
        });
        &mut self.0[found].1
    }

    /// Forgets those silent for longest where there are too many. The largest id among them, if any was.
    pub(super) fn make_room(&mut self) -> Option<ProducerId> {
        if self.0.len() <= PRODUCERS_MAX {
            return None;
        }
        let mut seen: Vec<_> = self.values().map(|producer| producer.last_seen).collect();
        seen.sort_unstable();
        // At least a tenth goes, so that this is rare; ties go together.
        let before = seen
            .get(PRODUCERS_MAX / 10)
            .map_or(Timestamp(0), |seen| Timestamp(seen.0.saturating_add(1)));
        self.forget(before)
    }

    pub(super) fn anybody_silent(&self, before: Timestamp) -> bool {
        self.values().any(|producer| producer.last_seen < before)
    }

    /// The largest id among those forgotten, if any was.
    pub(super) fn forget(&mut self, before: Timestamp) -> Option<ProducerId> {
        let silent = self
            .0
            .iter()
            .filter(|(_, producer)| producer.last_seen < before);
        let id_max = silent.map(|(id, _)| *id).max()?;
        self.0.retain(|(_, producer)| producer.last_seen >= before);
        self.0.shrink_to_fit();
        Some(id_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, sequence: i32, record_count: u32) -> Batch {
        let claimed = BatchProducer {
            id: ProducerId(1),
            epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(sequence),
        };
        Batch {
            claimed,
            record_count,
        }
    }

    fn accept(producer: &mut Producer, batch: &Batch, base_offset: i64) {
        assert_eq!(producer.judge(batch, true), Ok(None), "{batch:?}");
        let accepted = ProducerBatch {
            id: batch.claimed.id,
            epoch: batch.claimed.epoch,
            base_sequence: batch.claimed.base_sequence,
            record_count: batch.record_count,
            base_offset: Offset(base_offset),
        };
        producer.fold(Timestamp(0), &accepted);
    }

    #[test]
    fn the_last_five_batches_are_recognized_and_older_ones_refused() {
        let mut producer = Producer::default();
        for index in 0..7 {
            accept(
                &mut producer,
                &batch(0, index * 10, 10),
                i64::from(index) * 100,
            );
        }
        for index in 2..7 {
            let again = producer.judge(&batch(0, index * 10, 10), true);
            assert_eq!(again, Ok(Some(Offset(i64::from(index) * 100))));
        }
        for (sequence, count) in [(0, 10), (10, 10), (60, 9), (61, 10), (80, 10)] {
            let judged = producer.judge(&batch(0, sequence, count), true);
            assert_eq!(judged, Err(Rejected::OutOfOrderSequence), "{sequence}");
        }
    }

    #[test]
    fn an_epoch_fences_older_ones_and_begins_at_zero() {
        let mut producer = Producer::default();
        accept(&mut producer, &batch(3, 0, 5), 0);
        assert_eq!(
            producer.judge(&batch(2, 5, 1), true),
            Err(Rejected::InvalidProducerEpoch)
        );
        assert_eq!(
            producer.judge(&batch(4, 5, 1), true),
            Err(Rejected::OutOfOrderSequence)
        );
        accept(&mut producer, &batch(4, 0, 1), 5);
        assert_eq!(
            producer.judge(&batch(3, 5, 1), true),
            Err(Rejected::InvalidProducerEpoch)
        );
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut producer = Producer::default();
        let start = batch(0, i32::MAX - 4, 5);
        assert_eq!(producer.judge(&start, false), Ok(None));
        producer.fold(
            Timestamp(0),
            &ProducerBatch {
                id: ProducerId(1),
                epoch: ProducerEpoch(0),
                base_sequence: Sequence(i32::MAX - 4),
                record_count: 5,
                base_offset: Offset(0),
            },
        );
        accept(&mut producer, &batch(0, 0, 3), 5);
        accept(&mut producer, &batch(0, 3, 3), 8);
    }

    #[test]
    fn an_unknown_producer_may_begin_anywhere_only_if_it_may_have_been_forgotten() {
        let producer = Producer::default();
        assert_eq!(producer.judge(&batch(0, 7, 1), false), Ok(None));
        assert_eq!(
            producer.judge(&batch(0, 7, 1), true),
            Err(Rejected::OutOfOrderSequence)
        );
    }
}
