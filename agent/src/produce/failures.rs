//! What must not overtake a segment that failed. An idempotent producer has several batches under way; when one is refused
//! for want of a bucket, those behind it, sent before the producer could hear of it, must not be committed: the refused one
//! may have been committed under an earlier request whose answer was lost, and would leave the window in which repetitions
//! are known. Kafka's brokers cannot store n + 1 and fail at a repetition of n, so clients do not expect it. Owned by
//! `flusher`. Pure.

use std::collections::HashMap;

use metadata::{BatchProducer, CommitObject, ProducerId, TopicPartition};

use super::buffer::SealedBlock;

/// Batches whose producers have not heard yet that they failed. Bounded by what is under way: entries go with the last
/// segment that was open when their batch failed.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Segments sealed so far.
    sealed: u64,
    /// Segments whose turn to be committed has come.
    turn: u64,
    last: HashMap<(TopicPartition, ProducerId), Failure>,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    batch: BatchProducer,
    /// Later segments were filled after the answer.
    until: u64,
}

impl Failures {
    /// One more segment waits for its turn.
    pub(super) fn sealed(&mut self) {
        self.sealed += 1;
    }

    /// The segment whose turn it is, or one before it, is refused whole.
    pub(super) fn failed(&mut self, blocks: &[SealedBlock]) {
        for block in blocks {
            for batch in block.facts.iter().filter_map(|batch| batch.producer) {
                self.remember(block.partition, batch);
            }
        }
    }

    /// The next segment's turn has come.
    pub(super) fn next_turn(&mut self) {
        self.turn += 1;
        self.last.retain(|_, failure| failure.until >= self.turn);
    }

    /// Marks what must not be committed in the segment whose turn it is.
    pub(super) fn withhold(&mut self, commit: &mut CommitObject) {
        if self.last.is_empty() {
            return;
        }
        for block in &mut commit.blocks {
            let partition = TopicPartition {
                topic: block.topic,
                partition: block.partition,
            };
            for batch in &mut block.batches {
                let Some(claimed) = batch.producer else {
                    continue;
                };
                let failure = self.last.get(&(partition, claimed.id));
                if failure.is_some_and(|failure| failure.comes_before(claimed)) {
                    batch.withheld = true;
                    // It fails too; and those between the two are now sent again, so they may pass.
                    self.remember(partition, claimed);
                }
            }
        }
    }

    fn remember(&mut self, partition: TopicPartition, batch: BatchProducer) {
        // The open segment may already hold batches that are behind this one.
        let until = self.sealed + 1;
        let failure = Failure { batch, until };
        self.last.insert((partition, batch.id), failure);
    }
}

impl Failure {
    fn comes_before(&self, claimed: BatchProducer) -> bool {
        self.batch.epoch == claimed.epoch
            && claimed.base_sequence.is_after(self.batch.base_sequence)
    }
}

#[cfg(test)]
mod tests {
    use metadata::{
        BlockCodec, BlockRange, CommitBatch, CommitBlock, ObjectKey, PartitionIndex, ProducerEpoch,
        Sequence, Timestamp, TopicId,
    };

    use super::*;

    const PARTITION: TopicPartition = TopicPartition {
        topic: TopicId(7),
        partition: PartitionIndex(0),
    };

    fn batch(id: i64, epoch: i16, sequence: i32) -> BatchProducer {
        BatchProducer {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(sequence),
            share: metadata::Share(0),
        }
    }

    /// A segment of one block with those batches.
    fn commit(partition: TopicPartition, batches: &[BatchProducer]) -> CommitObject {
        let fact = |producer| CommitBatch {
            raw_length: 100,
            record_count: 1,
            max_timestamp: Timestamp(0),
            producer,
            flags: metadata::BatchFlags::default(),
            withheld: false,
        };
        let claimed = batches.iter().map(|batch| fact(Some(*batch)));
        let block = CommitBlock {
            topic: partition.topic,
            partition: partition.partition,
            range: BlockRange {
                position: 0,
                stored_length: 0,
                raw_length: 0,
                codec: BlockCodec::Raw,
                checksum: 0,
            },
            batches: claimed.chain([fact(None)]).collect(),
        };
        CommitObject {
            object: ObjectKey(1),
            size: 0,
            blocks: vec![block],
        }
    }

    /// What is withheld of the segment whose turn comes next.
    fn withheld(
        failures: &mut Failures,
        partition: TopicPartition,
        batches: &[BatchProducer],
    ) -> Vec<bool> {
        failures.next_turn();
        let mut commit = commit(partition, batches);
        failures.withhold(&mut commit);
        let batches = commit.blocks.remove(0).batches;
        batches.iter().map(|batch| batch.withheld).collect()
    }

    /// The first of so many sealed segments fails with that batch in it.
    fn failing(sealed: u64, batch: BatchProducer) -> Failures {
        let mut failures = Failures::default();
        (0..sealed).for_each(|_| failures.sealed());
        failures.next_turn();
        failures.remember(PARTITION, batch);
        failures
    }

    #[test]
    fn what_was_sent_behind_a_failed_batch_is_withheld_and_nothing_else() {
        let mut failures = failing(3, batch(1, 0, 10));
        let second = [
            batch(1, 0, 11),
            batch(1, 0, 12),
            batch(2, 0, 11),
            batch(1, 1, 0),
        ];
        assert_eq!(
            withheld(&mut failures, PARTITION, &second),
            [true, true, false, false, false]
        );
        let elsewhere = TopicPartition {
            partition: PartitionIndex(1),
            ..PARTITION
        };
        assert_eq!(
            withheld(&mut failures, elsewhere, &[batch(1, 0, 13)]),
            [false, false]
        );
    }

    #[test]
    fn what_is_sent_again_passes_although_what_it_followed_fails_later() {
        let mut failures = failing(2, batch(1, 0, 10));
        // Sent again already, while 11 still waits for its turn.
        failures.sealed();
        assert_eq!(
            withheld(&mut failures, PARTITION, &[batch(1, 0, 11)]),
            [true, false]
        );
        assert_eq!(
            withheld(&mut failures, PARTITION, &[batch(1, 0, 10)]),
            [false, false]
        );
        failures.sealed();
        let again = [batch(1, 0, 11), batch(1, 0, 12)];
        assert_eq!(
            withheld(&mut failures, PARTITION, &again),
            [false, true, false]
        );
    }

    #[test]
    fn a_segment_filled_after_the_answer_is_let_through() {
        let mut failures = failing(2, batch(1, 0, 10));
        assert_eq!(withheld(&mut failures, PARTITION, &[]), [false]);
        // Open when the first one failed.
        failures.sealed();
        failures.next_turn();
        failures.sealed();
        assert_eq!(
            withheld(&mut failures, PARTITION, &[batch(1, 0, 11)]),
            [false, false]
        );
        assert!(failures.last.is_empty());
    }

    #[test]
    fn sequences_wrap() {
        let mut failures = failing(1, batch(1, 0, i32::MAX));
        failures.sealed();
        assert_eq!(
            withheld(
                &mut failures,
                PARTITION,
                &[batch(1, 0, i32::MAX), batch(1, 0, 0)]
            ),
            [false, true, false]
        );
    }
}
