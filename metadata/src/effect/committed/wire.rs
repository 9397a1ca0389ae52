//! An object's commit in as few bytes as it takes: most of the log is this. Topics are named once a record, partitions and
//! times as distances, and positions only where blocks do not follow each other.

use std::collections::HashMap;

use super::batch::{put_batch, take_batch};
use super::block::{put_block, take_block};
use super::{Committed, Judged};
use crate::codec::{Decoder, Encoder, Unreadable, Wire};
use crate::types::{PartitionIndex, TopicId};

/// What distances are counted from.
pub(super) struct Before {
    pub(super) topic: TopicId,
    pub(super) partition: PartitionIndex,
    pub(super) position: u32,
    pub(super) time: i64,
    pub(super) producer: i64,
}

impl Before {
    fn nothing() -> Self {
        Self {
            topic: TopicId(0),
            partition: PartitionIndex(-1),
            position: 0,
            time: 0,
            producer: 0,
        }
    }
}

impl Wire for Committed {
    fn put(&self, row: &mut Encoder) {
        self.object.put(row);
        self.size.put(row);
        self.asked.put(row);
        let mut topics: Vec<TopicId> = Vec::new();
        let mut places = HashMap::new();
        for block in &self.blocks {
            let topic = block.partition.topic;
            if topics.last() != Some(&topic) {
                places.entry(topic).or_insert_with(|| {
                    topics.push(topic);
                    topics.len() - 1
                });
            }
        }
        topics.put(row);
        row.u64(self.blocks.len() as u64);
        let mut before = Before::nothing();
        for (block, batches) in self.blocks() {
            put_block(block, batches, &places, &mut before, row);
            for batch in batches {
                put_batch(batch, &mut before, row);
            }
        }
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        let (object, size) = (Wire::take(row)?, Wire::take(row)?);
        let asked = Wire::take(row)?;
        let topics: Vec<TopicId> = Wire::take(row)?;
        let count = row.count()?;
        let mut before = Before::nothing();
        let (mut blocks, mut batches) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            let (mut block, raw_length) = take_block(&topics, &mut before, row)?;
            let first = batches.len();
            for _ in 0..block.batches {
                batches.push(take_batch(&mut before, row)?);
            }
            block.range.raw_length = match raw_length {
                Some(raw_length) => raw_length,
                None => raw_sum(&batches[first..]).ok_or(Unreadable)?,
            };
            blocks.push(block);
        }
        Ok(Self {
            object,
            size,
            asked,
            blocks,
            batches,
        })
    }
}

pub(super) fn raw_sum(batches: &[Judged]) -> Option<u32> {
    let mut lengths = batches.iter().map(|batch| batch.raw_length);
    lengths.try_fold(0_u32, u32::checked_add)
}
