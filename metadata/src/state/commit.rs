//! What becomes of an object: each batch is judged on the state after those before it, and remembered at once.

use super::State;
use super::producers::{Batch, Rules};
use crate::command::{CommitBatch, CommitBlock, CommitObject, Outcome, Rejected};
use crate::effect::{Asked, Block, Committed, Effect, Judged, Judgement};
use crate::types::{Lsn, Offset, Timestamp, TopicPartition};

/// No batch begins at a later offset: whoever counts from there on would get past the largest number.
const OFFSET_MAX: i64 = 1 << 62;

impl State {
    /// `asked` is whose command it is; the effect says so itself then.
    pub(super) fn commit_object(
        &mut self,
        lsn: Lsn,
        now: Timestamp,
        commit: &CommitObject,
        asked: Option<Asked>,
    ) -> Result<(Outcome, Effect), Rejected> {
        self.check_object(commit)?;
        let batches = commit.blocks.iter().map(|block| block.batches.len()).sum();
        let mut committed = Committed {
            object: commit.object,
            size: commit.size,
            asked,
            blocks: Vec::with_capacity(commit.blocks.len()),
            batches: Vec::with_capacity(batches),
        };
        for block in &commit.blocks {
            let first = committed.batches.len();
            let decided = self.decide_block(now, block, &mut committed.batches);
            let judged = &committed.batches[first..];
            self.partitions
                .fold_block(lsn, commit.object, &decided, judged);
            committed.blocks.push(decided);
        }
        let outcome = committed.outcome();
        self.objects.fold_committed(now, &committed);
        if let Some(asked) = asked {
            self.sessions.fold_answered(lsn, asked, || outcome.clone());
        }
        Ok((outcome, Effect::Committed(committed)))
    }

    /// The same, when it is replayed.
    pub(super) fn fold_committed(&mut self, lsn: Lsn, now: Timestamp, committed: &Committed) {
        for (block, batches) in committed.blocks() {
            if self.partitions.get(block.partition).is_none() {
                continue;
            }
            let mut next = block.base_offset;
            for judged in batches {
                if let Some(batch) = remembered(judged, next) {
                    self.producers.fold(lsn, now, block.partition, &batch);
                }
                next.0 += i64::from(judged.record_count());
            }
            self.partitions
                .fold_block(lsn, committed.object, block, batches);
        }
        self.objects.fold_committed(now, committed);
        if let Some(asked) = committed.asked {
            self.sessions
                .fold_answered(lsn, asked, || committed.outcome());
        }
    }

    fn check_object(&self, commit: &CommitObject) -> Result<(), Rejected> {
        let named = commit.object.epoch();
        if named < self.cluster.naming_floor() {
            return Err(Rejected::ObjectTooOld);
        }
        // It would never be too old if it were not committed now.
        if named > self.cluster.naming {
            return Err(Rejected::InvalidCommand);
        }
        if self.objects.get(commit.object).is_some() {
            return Err(Rejected::ObjectCommitted);
        }
        if commit.blocks.iter().all(is_consistent) {
            Ok(())
        } else {
            Err(Rejected::InvalidCommand)
        }
    }

    /// Judges a block's batches in order.
    fn decide_block(
        &mut self,
        now: Timestamp,
        block: &CommitBlock,
        judged: &mut Vec<Judged>,
    ) -> Block {
        let partition = TopicPartition {
            topic: block.topic,
            partition: block.partition,
        };
        let mut decided = Block {
            partition,
            range: block.range,
            batches: block.batches.len(),
            base_offset: Offset(0),
            log_start: Offset(0),
        };
        let topic = self.topics.get(block.topic).ok_or(Rejected::UnknownTopic);
        let found = topic.and_then(|topic| {
            let log = self.partitions.get(partition);
            Ok((topic, log.ok_or(Rejected::UnknownPartition)?))
        });
        let (topic, log) = match found {
            Ok(found) => found,
            Err(rejected) => {
                let refused = |batch: &CommitBatch| Judged {
                    raw_length: batch.raw_length,
                    judgement: Judgement::Refused(rejected),
                };
                judged.extend(block.batches.iter().map(refused));
                return decided;
            }
        };
        let bounds = log.bounds();
        (decided.base_offset, decided.log_start) = (bounds.high_watermark, bounds.log_start);
        let rules = Rules {
            ids_end: self.cluster.next_producer,
            strict_from: topic
                .first_producer
                .0
                .max(self.cluster.expired_producer_end),
            bytes_max: self.limits.producer_bytes,
            older_accepted: self.cluster.older_accepted,
        };
        let mut next = bounds.high_watermark;
        for batch in &block.batches {
            let judgement = self.decide_batch(now, partition, batch, next, &rules);
            let batch = Judged {
                raw_length: batch.raw_length,
                judgement,
            };
            next.0 += i64::from(batch.record_count());
            judged.push(batch);
        }
        decided
    }

    fn decide_batch(
        &mut self,
        now: Timestamp,
        partition: TopicPartition,
        batch: &CommitBatch,
        base_offset: Offset,
        rules: &Rules,
    ) -> Judgement {
        if batch.withheld {
            return Judgement::Refused(Rejected::Withheld);
        }
        if base_offset.0 > OFFSET_MAX {
            return Judgement::Refused(Rejected::InvalidCommand);
        }
        let Some(claimed) = batch.producer else {
            return Judgement::Accepted {
                record_count: batch.record_count,
                max_timestamp: batch.max_timestamp,
                flags: batch.flags,
                producer: None,
                is_new: false,
            };
        };
        let batch = Batch {
            claimed,
            record_count: batch.record_count,
            max_timestamp: batch.max_timestamp,
            flags: batch.flags,
            base_offset,
        };
        self.producers.decide(now, partition, &batch, rules)
    }
}

/// An accepted batch of an idempotent producer.
fn remembered(judged: &Judged, base_offset: Offset) -> Option<Batch> {
    match judged.judgement {
        Judgement::Accepted {
            record_count,
            max_timestamp,
            flags,
            producer: Some(claimed),
            ..
        } => Some(Batch {
            claimed,
            record_count,
            max_timestamp,
            flags,
            base_offset,
        }),
        _ => None,
    }
}

/// A block's batches are its bytes, and no number is one that no batch has.
fn is_consistent(block: &CommitBlock) -> bool {
    let raw = block.batches.iter().try_fold(0_u32, |sum, batch| {
        let counted = (1..=i32::MAX.unsigned_abs()).contains(&batch.record_count);
        (counted && batch.producer.is_none_or(|claimed| claimed.is_possible()))
            .then(|| sum.checked_add(batch.raw_length))
            .flatten()
    });
    raw == Some(block.range.raw_length) && !block.batches.is_empty()
}
