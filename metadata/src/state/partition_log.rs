//! One partition: watermarks, the extents since the last checkpoint, its producers. And `commit_object`, which decides
//! batch by batch what becomes part of a partition.

use std::collections::{HashMap, VecDeque};

use super::{Batch, Producer, Producers, State};
use crate::command::{CommitBlock, CommitObject, Outcome, Placed, Rejected, Verdict};
use crate::effect::{Appended, Effect, ProducerBatch};
use crate::types::{
    Bounds, Content, Extent, ExtentFlags, Lsn, Offset, ProducerId, Stored, Timestamp,
    TopicPartition,
};

/// The order of one partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PartitionLog {
    log_start: Offset,
    high_watermark: Offset,
    /// Where the present leader epoch began; 0 unless an older store was accepted.
    epoch_start: Offset,
    /// Extents not in index rows yet, in order; the last one ends at the high watermark.
    recent: VecDeque<Extent>,
    producers: Producers,
    /// The row this was loaded from holds everything up to here.
    as_of: Lsn,
}

impl PartitionLog {
    pub(crate) fn restore(bounds: Bounds, as_of: Lsn) -> Self {
        Self {
            log_start: bounds.log_start,
            high_watermark: bounds.high_watermark,
            epoch_start: bounds.epoch_start,
            as_of,
            ..Self::default()
        }
    }

    pub(crate) fn restore_producer(&mut self, id: ProducerId, producer: Producer) {
        self.producers.restore(id, producer);
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            log_start: self.log_start,
            last_stable: self.high_watermark,
            high_watermark: self.high_watermark,
            epoch_start: self.epoch_start,
        }
    }

    pub(crate) fn as_of(&self) -> Lsn {
        self.as_of
    }

    /// Extents in memory; everything before the first one's base offset lies in index rows.
    pub(crate) fn recent(&self) -> &VecDeque<Extent> {
        &self.recent
    }

    /// Where the extents in memory begin.
    pub(crate) fn recent_start(&self) -> Offset {
        self.recent
            .front()
            .map_or(self.high_watermark, |first| first.base_offset)
    }

    pub(crate) fn producers(&self) -> &Producers {
        &self.producers
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

    /// Extents for which there is room in memory.
    #[cfg(test)]
    pub(crate) fn recent_capacity(&self) -> usize {
        self.recent.capacity()
    }

    /// The largest id of the producers that had to make room, if any had.
    pub(super) fn append(&mut self, now: Timestamp, appended: &Appended) -> Option<ProducerId> {
        self.high_watermark = appended.extent.end_offset();
        self.recent.push_back(appended.extent);
        for batch in &appended.producers {
            self.producers.fold(now, batch);
        }
        self.producers.make_room()
    }

    pub(super) fn begin_epoch(&mut self, start: Offset) {
        self.epoch_start = start;
    }

    pub(super) fn forget_producers(&mut self, before: Timestamp) -> Option<ProducerId> {
        self.producers.forget(before)
    }
}

/// A run of accepted batches of one block, growing.
struct Run {
    extent: Extent,
    stored: Stored,
    producers: Vec<ProducerBatch>,
}

impl State {
    pub(super) fn commit_object(
        &mut self,
        lsn: Lsn,
        now: Timestamp,
        commit: &CommitObject,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        if let Err(rejected) = self.check_object(commit) {
            return Outcome::Rejected(rejected);
        }
        let first_effect = effects.len();
        let mut verdicts = Vec::with_capacity(commit.blocks.len());
        let mut references = 0_u32;
        for block in &commit.blocks {
            for appended in self.decide_block(commit, block, &mut verdicts) {
                references = references.saturating_add(1);
                let effect = Effect::Appended(appended);
                self.fold(lsn, now, &effect);
                effects.push(effect);
            }
        }
        let committed = Effect::ObjectCommitted {
            object: commit.object,
            size: commit.size,
            references,
        };
        self.fold(lsn, now, &committed);
        effects.insert(first_effect, committed);
        Outcome::Committed(verdicts)
    }

    fn check_object(&self, commit: &CommitObject) -> Result<(), Rejected> {
        let named = commit.object.epoch();
        if named < self.counters.naming_floor() {
            return Err(Rejected::ObjectTooOld);
        }
        // It would never be too old if it were not committed now.
        if named > self.counters.naming {
            return Err(Rejected::InvalidCommand);
        }
        if self.objects.get(commit.object).is_some() {
            return Err(Rejected::ObjectCommitted);
        }
        let consistent = commit.blocks.iter().all(|block| {
            let raw = block.batches.iter().try_fold(0_u32, |sum, batch| {
                let counted = (1..=i32::MAX.unsigned_abs()).contains(&batch.record_count);
                (counted && batch.producer.is_none_or(|claimed| claimed.is_possible()))
                    .then(|| sum.checked_add(batch.raw_length))
                    .flatten()
            });
            raw == Some(block.range.raw_length) && !block.batches.is_empty()
        });
        if consistent {
            Ok(())
        } else {
            Err(Rejected::InvalidCommand)
        }
    }

    /// Judges a block's batches in order; accepted neighbours join in one extent.
    fn decide_block(
        &self,
        commit: &CommitObject,
        block: &CommitBlock,
        verdicts: &mut Vec<Verdict>,
    ) -> Vec<Appended> {
        let partition = TopicPartition {
            topic: block.topic,
            partition: block.partition,
        };
        let known = self.topics.get(block.topic).ok_or(Rejected::UnknownTopic);
        let log = known.and_then(|topic| {
            let log = self
                .topics
                .log(partition)
                .ok_or(Rejected::UnknownPartition)?;
            Ok((topic, log))
        });
        let (topic, log) = match log {
            Ok(found) => found,
            Err(rejected) => {
                verdicts.extend(block.batches.iter().map(|_| Err(rejected)));
                return Vec::new();
            }
        };
        let first_producer = topic.first_producer.0;
        let strict_from = first_producer.max(self.counters.expired_producer_end);
        let mut next = log.high_watermark;
        let mut raw_start = 0;
        let (alone, nobody) = (block.batches.len() == 1, Producer::default());
        // Producers as they are after the batches of this block judged so far.
        let mut producers: HashMap<ProducerId, Producer> = HashMap::new();
        let (mut runs, mut run): (Vec<Run>, Option<Run>) = (Vec::new(), None);
        for batch in &block.batches {
            let verdict = match batch.producer {
                _ if batch.withheld => Err(Rejected::Withheld),
                None => Ok(None),
                Some(claimed) => {
                    let known = log.producers.get(claimed.id).unwrap_or(&nobody);
                    // A batch alone, as most are, is followed by none that must see it.
                    let producer = match alone {
                        true => known,
                        false => producers.entry(claimed.id).or_insert_with(|| known.clone()),
                    };
                    let batch = Batch {
                        claimed,
                        record_count: batch.record_count,
                    };
                    producer.judge(&batch, claimed.id.0 >= strict_from)
                }
            };
            let placed = |base_offset, duplicate| Placed {
                base_offset,
                log_start_offset: log.log_start,
                duplicate,
            };
            verdicts.push(match verdict {
                Ok(None) => Ok(placed(next, false)),
                Ok(Some(original)) => Ok(placed(original, true)),
                Err(rejected) => Err(rejected),
            });
            if verdict != Ok(None) {
                runs.extend(run.take());
                raw_start += batch.raw_length;
                continue;
            }
            let current = run.get_or_insert_with(|| Run {
                extent: Extent {
                    base_offset: next,
                    offset_span: 0,
                    record_count: 0,
                    max_timestamp: Timestamp(i64::MIN),
                    flags: ExtentFlags::default(),
                    content: Content::Compacted,
                },
                stored: Stored {
                    object: commit.object,
                    block: block.range,
                    raw_start,
                    raw_length: 0,
                },
                producers: Vec::new(),
            });
            current.extent.offset_span += batch.record_count;
            current.extent.record_count += batch.record_count;
            current.stored.raw_length += batch.raw_length;
            current.extent.max_timestamp = current.extent.max_timestamp.max(batch.max_timestamp);
            if let Some(claimed) = batch.producer {
                let accepted = ProducerBatch {
                    id: claimed.id,
                    epoch: claimed.epoch,
                    base_sequence: claimed.base_sequence,
                    record_count: batch.record_count,
                    base_offset: next,
                };
                current.producers.push(accepted);
                if let Some(producer) = producers.get_mut(&claimed.id) {
                    producer.fold(Timestamp(0), &accepted);
                }
            }
            next = Offset(next.0 + i64::from(batch.record_count));
            raw_start += batch.raw_length;
            if current.extent.offset_span > RUN_RECORDS_MAX {
                runs.extend(run.take());
            }
        }
        runs.extend(run);
        let appended = |run: Run| Appended {
            partition,
            extent: Extent {
                content: Content::Stored(run.stored),
                ..run.extent
            },
            producers: run.producers,
        };
        runs.into_iter().map(appended).collect()
    }
}

/// A run is closed past so many records, so that their number fits; with one batch of `i32::MAX` more it still does.
const RUN_RECORDS_MAX: u32 = i32::MAX.unsigned_abs();
