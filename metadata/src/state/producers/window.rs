//! What a partition knows of one producer: its epoch and last five batches, by which duplicates, gaps and fenced producers
//! are told (KIP-98; Kafka's ProducerStateManager).

use std::ops::Deref;

use crate::codec::{Decoder, Encoder, Unreadable, Wire};
use crate::command::{BatchProducer, Rejected};
use crate::state::tally::Mark;
use crate::types::{Lsn, Offset, ProducerEpoch, Sequence, Share, Timestamp};

/// Kafka's clients have at most five requests in flight when they are idempotent.
const BATCHES_KEPT: usize = 5;

/// What a partition knows of a producer. The default knows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) epoch: ProducerEpoch,
    pub(crate) batches: Window,
    pub(crate) last_seen: Timestamp,
    /// On whose account it is remembered.
    pub(crate) share: Share,
    /// The row this was loaded from holds everything up to here.
    pub(super) as_of: Lsn,
    /// Its row.
    pub(super) stored: Mark,
    pub(super) dirty: bool,
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

impl Remembered {
    pub(crate) fn next_sequence(&self) -> Sequence {
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
    pub(crate) fn judge(
        &self,
        claimed: &BatchProducer,
        record_count: u32,
        strict: bool,
    ) -> Result<Option<Offset>, Rejected> {
        let BatchProducer {
            epoch,
            base_sequence,
            ..
        } = *claimed;
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
            known.base_sequence == base_sequence && known.record_count == record_count
        };
        if let Some(original) = self.batches.iter().rev().find(same) {
            return Ok(Some(original.base_offset));
        }
        if last.next_sequence() == base_sequence {
            return Ok(None);
        }
        Err(Rejected::OutOfOrderSequence)
    }

    /// Whether a batch is of a later time than all that is known here, with others in between.
    pub(crate) fn is_behind(&self, claimed: &BatchProducer) -> bool {
        let next = self.batches.last().map(Remembered::next_sequence);
        let ahead = |next: Sequence| claimed.base_sequence.0.wrapping_sub(next.0) & i32::MAX;
        // Sequences wrap; what is under way is far less than half of them.
        claimed.epoch > self.epoch
            || (claimed.epoch == self.epoch && next.is_none_or(|next| ahead(next) < i32::MAX / 2))
    }

    pub(crate) fn fold(&mut self, now: Timestamp, epoch: ProducerEpoch, batch: Remembered) {
        let next = self.batches.last().map(Remembered::next_sequence);
        if epoch != self.epoch || next.is_some_and(|next| next != batch.base_sequence) {
            self.batches = Window::default();
            self.epoch = epoch;
        }
        planted!("window-of-one", self.batches = Window::default());
        self.batches.push(batch);
        self.last_seen = now;
    }
}

wire_fields!(Remembered {
    base_sequence,
    record_count,
    base_offset
});

impl Wire for Window {
    fn put(&self, row: &mut Encoder) {
        row.u8(self.count);
        self.iter().for_each(|batch| batch.put(row));
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        let mut window = Self::default();
        let count = usize::from(row.u8()?);
        if count > BATCHES_KEPT {
            return Err(Unreadable);
        }
        for _ in 0..count {
            window.push(Remembered::take(row)?);
        }
        Ok(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ProducerId;

    /// What it claims, and how many records it has.
    type Batch = (BatchProducer, u32);

    fn batch(epoch: i16, sequence: i32, record_count: u32) -> Batch {
        let claimed = BatchProducer {
            id: ProducerId(1),
            epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(sequence),
            share: Share(0),
        };
        (claimed, record_count)
    }

    fn judge(producer: &Producer, batch: &Batch, strict: bool) -> Result<Option<Offset>, Rejected> {
        producer.judge(&batch.0, batch.1, strict)
    }

    fn accept(producer: &mut Producer, batch: &Batch, base_offset: i64) {
        assert_eq!(judge(producer, batch, true), Ok(None), "{batch:?}");
        let accepted = Remembered {
            base_sequence: batch.0.base_sequence,
            record_count: batch.1,
            base_offset: Offset(base_offset),
        };
        producer.fold(Timestamp(0), batch.0.epoch, accepted);
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
            let again = judge(&producer, &batch(0, index * 10, 10), true);
            assert_eq!(again, Ok(Some(Offset(i64::from(index) * 100))));
        }
        for (sequence, count) in [(0, 10), (10, 10), (60, 9), (61, 10), (80, 10)] {
            let judged = judge(&producer, &batch(0, sequence, count), true);
            assert_eq!(judged, Err(Rejected::OutOfOrderSequence), "{sequence}");
        }
    }

    #[test]
    fn an_epoch_fences_older_ones_and_begins_at_zero() {
        let mut producer = Producer::default();
        accept(&mut producer, &batch(3, 0, 5), 0);
        assert_eq!(
            judge(&producer, &batch(2, 5, 1), true),
            Err(Rejected::InvalidProducerEpoch)
        );
        assert_eq!(
            judge(&producer, &batch(4, 5, 1), true),
            Err(Rejected::OutOfOrderSequence)
        );
        accept(&mut producer, &batch(4, 0, 1), 5);
        assert_eq!(
            judge(&producer, &batch(3, 5, 1), true),
            Err(Rejected::InvalidProducerEpoch)
        );
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut producer = Producer::default();
        let start = batch(0, i32::MAX - 4, 5);
        assert_eq!(judge(&producer, &start, false), Ok(None));
        let first = Remembered {
            base_sequence: Sequence(i32::MAX - 4),
            record_count: 5,
            base_offset: Offset(0),
        };
        producer.fold(Timestamp(0), ProducerEpoch(0), first);
        accept(&mut producer, &batch(0, 0, 3), 5);
        accept(&mut producer, &batch(0, 3, 3), 8);
    }

    #[test]
    fn an_unknown_producer_may_begin_anywhere_only_if_it_may_have_been_forgotten() {
        let producer = Producer::default();
        assert_eq!(judge(&producer, &batch(0, 7, 1), false), Ok(None));
        assert_eq!(
            judge(&producer, &batch(0, 7, 1), true),
            Err(Rejected::OutOfOrderSequence)
        );
    }
}
