//! First batches that found no room, so that what their producers sent behind them is told the same. A producer has
//! several batches under way: were room to come between two of them, the later one would pass for the next one of a
//! producer that was forgotten, and the earlier one, sent again, would be out of order for ever.
//!
//! In memory alone, for a replay folds what was decided. Another process that takes over begins with none: what was under
//! way is decided long before it can.

use super::super::hash::IdMap;
use crate::command::BatchProducer;
use crate::types::{ProducerEpoch, ProducerId, Sequence, Timestamp, TopicPartition};

/// A producer that was refused, and was not heard of for so long, has given up: clients try again within seconds.
/// Forgotten in up to twice the time.
const KEPT_MS: i64 = 60_000;
/// Half of those that are remembered; past that the oldest half is forgotten. So many are not refused while what one has
/// under way arrives.
const HALF_MAX: usize = 32 * 1024;

type Marks = IdMap<(TopicPartition, ProducerId), Mark>;

#[derive(Clone, Debug, Default)]
pub(super) struct Refused {
    young: Marks,
    old: Marks,
    /// Since when the young ones are.
    begun: Timestamp,
}

/// The batch that was refused first.
#[derive(Clone, Copy, Debug)]
struct Mark {
    epoch: ProducerEpoch,
    sequence: Sequence,
}

impl Refused {
    /// A producer's first batch in a partition was refused.
    pub(super) fn remember(
        &mut self,
        now: Timestamp,
        partition: TopicPartition,
        claimed: &BatchProducer,
    ) {
        self.age(now);
        let mark = Mark {
            epoch: claimed.epoch,
            sequence: claimed.base_sequence,
        };
        self.young.insert((partition, claimed.id), mark);
    }

    /// Whether a batch comes behind one that was refused, and is refused therefore.
    pub(super) fn is_behind(
        &mut self,
        now: Timestamp,
        partition: TopicPartition,
        claimed: &BatchProducer,
    ) -> bool {
        if self.young.is_empty() && self.old.is_empty() {
            return false;
        }
        self.age(now);
        let key = (partition, claimed.id);
        let known = self.young.get(&key).or_else(|| self.old.get(&key));
        match known.copied() {
            Some(mark) if mark.comes_before(claimed) => {
                self.young.insert(key, mark);
                true
            }
            _ => false,
        }
    }

    fn age(&mut self, now: Timestamp) {
        let age = now.0.saturating_sub(self.begun.0);
        if age >= KEPT_MS || self.young.len() >= HALF_MAX {
            self.old = std::mem::take(&mut self.young);
            self.begun = now;
        }
        if age >= 2 * KEPT_MS {
            self.old.clear();
        }
    }
}

impl Mark {
    fn comes_before(&self, claimed: &BatchProducer) -> bool {
        claimed.epoch == self.epoch && claimed.base_sequence.is_after(self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{PartitionIndex, Share, TopicId};

    const PARTITION: TopicPartition = TopicPartition {
        topic: TopicId(7),
        partition: PartitionIndex(0),
    };

    fn claimed(id: i64, epoch: i16, sequence: i32) -> BatchProducer {
        BatchProducer {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(sequence),
            share: Share(0),
        }
    }

    fn is_behind(refused: &mut Refused, now: i64, claimed: BatchProducer) -> bool {
        refused.is_behind(Timestamp(now), PARTITION, &claimed)
    }

    #[test]
    fn what_comes_behind_a_refused_batch_is_told_from_everything_else() {
        let mut refused = Refused::default();
        let first = claimed(1, 2, 50);
        refused.remember(Timestamp(1_000), PARTITION, &first);
        assert!(is_behind(&mut refused, 1_000, claimed(1, 2, 51)));
        for other in [
            first,
            claimed(1, 2, 49),
            claimed(1, 3, 51),
            claimed(2, 2, 51),
        ] {
            assert!(!is_behind(&mut refused, 1_000, other), "{other:?}");
        }
        let elsewhere = TopicPartition {
            partition: PartitionIndex(1),
            ..PARTITION
        };
        assert!(!refused.is_behind(Timestamp(1_000), elsewhere, &claimed(1, 2, 51)));
    }

    #[test]
    fn one_that_goes_on_trying_is_remembered_and_one_that_gave_up_is_not() {
        let mut refused = Refused::default();
        refused.remember(Timestamp(1_000), PARTITION, &claimed(1, 0, 0));
        refused.remember(Timestamp(1_000), PARTITION, &claimed(2, 0, 0));
        let mut now = 1_000;
        for _ in 0..10 {
            now += KEPT_MS - 1;
            assert!(is_behind(&mut refused, now, claimed(1, 0, 1)), "{now}");
        }
        assert!(!is_behind(&mut refused, now, claimed(2, 0, 1)));
        now += 2 * KEPT_MS;
        assert!(!is_behind(&mut refused, now, claimed(1, 0, 1)));
        assert!(refused.young.is_empty() && refused.old.is_empty());
    }

    #[test]
    fn it_is_bounded_and_the_newest_stay() {
        let mut refused = Refused::default();
        for id in 0..200_000 {
            refused.remember(Timestamp(1_000), PARTITION, &claimed(id, 0, 0));
            assert!(refused.young.len() + refused.old.len() <= 2 * HALF_MAX);
        }
        let newest = 200_000 - i64::try_from(HALF_MAX).unwrap();
        for id in newest..200_000 {
            assert!(is_behind(&mut refused, 1_000, claimed(id, 0, 1)), "{id}");
        }
    }
}
