//! What must not overtake a segment that failed. An idempotent producer has several batches under way; when one is refused
//! for want of a bucket, those behind it, sent before the producer could hear of it, must not be committed: the refused one
//! may have been committed under an earlier request whose answer was lost, and would leave the window in which repetitions
//! are known. Kafka's brokers cannot store n + 1 and fail at a repetition of n, so clients do not expect it. Owned by
//! `flusher`. Pure.

use std::collections::HashMap;
use std::time::Duration;

use metadata::{BatchProducer, CommitObject, ProducerId, TopicPartition};
use tokio::time::Instant;

use super::buffer::SealedBlock;

/// A producer repeats what failed before it goes on. One that does not do so in this time goes on elsewhere, or with another
/// epoch; and what it sent before it heard has come, also what waited for room in an outage: by then clients hang up.
const REPEATED_WITHIN: Duration = Duration::from_secs(60);
/// While more failures are known than that, they are remembered for a shorter time.
const REPEATED_SOON: Duration = Duration::from_secs(5);
const FAILURES_MAX: usize = 64 * 1024;

/// The last batch that failed of each producer in each partition, until it comes again. Bounded by what was under way within
/// some seconds, and [`FAILURES_MAX`].
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
    at: Instant,
    /// The segment that was open then.
    open: u64,
}

impl Failures {
    /// One more segment waits for its turn.
    pub(super) fn sealed(&mut self) {
        self.sealed += 1;
    }

    /// The segment whose turn it is, or one before it, is refused whole.
    pub(super) fn failed(&mut self, blocks: &[SealedBlock], now: Instant) {
        for block in blocks {
            for batch in block.facts.iter().filter_map(|batch| batch.producer) {
                self.remember(block.partition, batch, now);
            }
        }
    }

    /// The next segment's turn has come.
    pub(super) fn next_turn(&mut self, now: Instant) {
        self.turn += 1;
        let within = match self.last.len() {
            ..=FAILURES_MAX => REPEATED_WITHIN,
            _ => REPEATED_SOON,
        };
        self.last.retain(|_, failure| {
            let lately = now.saturating_duration_since(failure.at) < within;
            failure.open >= self.turn || lately
        });
    }

    /// Marks what must not be committed in the segment whose turn it is.
    pub(super) fn withhold(&mut self, commit: &mut CommitObject, now: Instant) {
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
                let Some(failure) = self.last.get(&(partition, claimed.id)) else {
                    continue;
                };
                if failure.comes_before(claimed) {
                    batch.withheld = true;
                    // It fails too.
                    self.remember(partition, claimed, now);
                } else if failure.is_repeated_by(claimed) {
                    // It heard of the failure: all that comes now was sent since.
                    self.last.remove(&(partition, claimed.id));
                }
            }
        }
    }

    fn remember(&mut self, partition: TopicPartition, batch: BatchProducer, at: Instant) {
        let open = self.sealed + 1;
        let failure = Failure { batch, at, open };
        self.last.insert((partition, batch.id), failure);
    }
}

impl Failure {
    fn comes_before(&self, claimed: BatchProducer) -> bool {
        self.batch.epoch == claimed.epoch
            && claimed.base_sequence.is_after(self.batch.base_sequence)
    }

    /// By this batch, or by one before it, or its producer has begun anew.
    fn is_repeated_by(&self, claimed: BatchProducer) -> bool {
        claimed.epoch >= self.batch.epoch && !self.comes_before(claimed)
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
        let now = Instant::now();
        failures.next_turn(now);
        let mut commit = commit(partition, batches);
        failures.withhold(&mut commit, now);
        let batches = commit.blocks.remove(0).batches;
        batches.iter().map(|batch| batch.withheld).collect()
    }

    /// The first of so many sealed segments fails with that batch in it.
    fn failing(sealed: u64, batch: BatchProducer) -> Failures {
        let mut failures = Failures::default();
        (0..sealed).for_each(|_| failures.sealed());
        failures.next_turn(Instant::now());
        failures.remember(PARTITION, batch, Instant::now());
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
        assert_eq!(withheld(&mut failures, PARTITION, &again), [false; 3]);
    }

    /// As in an outage, when requests wait for room: what a producer sent before it heard comes in whatever segment.
    #[tokio::test(start_paused = true)]
    async fn what_stood_in_line_is_withheld_in_later_segments_too_until_the_failed_batch_comes_again()
     {
        let mut failures = failing(2, batch(1, 0, 0));
        for _ in 0..5 {
            failures.sealed();
            tokio::time::advance(Duration::from_secs(5)).await;
            assert_eq!(withheld(&mut failures, PARTITION, &[]), [false]);
        }
        failures.sealed();
        let behind = [batch(1, 0, 1), batch(1, 0, 2)];
        assert_eq!(
            withheld(&mut failures, PARTITION, &behind),
            [true, true, false]
        );
        failures.sealed();
        let again = [batch(1, 0, 0), batch(1, 0, 1), batch(1, 0, 2)];
        assert_eq!(withheld(&mut failures, PARTITION, &again), [false; 4]);
        assert!(failures.last.is_empty());
    }

    /// A producer that repeated it at another agent and comes back is not kept out.
    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_again_is_forgotten_in_time() {
        let mut failures = failing(1, batch(1, 0, 0));
        tokio::time::advance(REPEATED_WITHIN).await;
        failures.sealed();
        assert_eq!(withheld(&mut failures, PARTITION, &[]), [false]);
        failures.sealed();
        assert_eq!(
            withheld(&mut failures, PARTITION, &[batch(1, 0, 5)]),
            [false, false]
        );
        assert!(failures.last.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn more_failures_than_are_remembered_are_remembered_for_a_shorter_time() {
        let mut failures = failing(1, batch(0, 0, 0));
        for id in 0..=i64::try_from(FAILURES_MAX).unwrap() {
            failures.remember(PARTITION, batch(id, 0, 0), Instant::now());
        }
        failures.sealed();
        assert_eq!(
            withheld(&mut failures, PARTITION, &[batch(7, 0, 1)]),
            [true, false]
        );
        failures.sealed();
        tokio::time::advance(REPEATED_SOON).await;
        assert_eq!(
            withheld(&mut failures, PARTITION, &[batch(8, 0, 1)]),
            [false, false]
        );
        assert_eq!(failures.last.len(), 1, "what failed since");
    }

    #[test]
    fn sequences_wrap() {
        let mut failures = failing(1, batch(1, 0, i32::MAX));
        failures.sealed();
        assert_eq!(
            withheld(&mut failures, PARTITION, &[batch(1, 0, 0)]),
            [true, false]
        );
    }
}
