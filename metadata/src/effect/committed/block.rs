//! A block of an object in the log.

use std::collections::HashMap;

use super::wire::{Before, raw_sum};
use super::{Block, Judged};
use crate::codec::{Decoder, Encoder, Unreadable, Wire};
use crate::types::{BlockCodec, BlockRange, Offset, PartitionIndex, TopicId, TopicPartition};

/// What a block's first byte says of the rest.
mod block_flags {
    /// Another topic than the block before has: its place in the record's list follows.
    pub(super) const TOPIC: u8 = 1;
    /// Not the partition after that of the block before: the distance follows.
    pub(super) const PARTITION: u8 = 2;
    /// Not where the block before ends: the position follows.
    pub(super) const POSITION: u8 = 4;
    /// The block is packed with zstd.
    pub(super) const ZSTD: u8 = 8;
    /// Not one batch: their number follows.
    pub(super) const BATCHES: u8 = 16;
    /// A log start that is not 0 follows.
    pub(super) const LOG_START: u8 = 32;
    /// Their raw lengths do not add up to the block's, which follows.
    pub(super) const RAW_LENGTH: u8 = 64;
    pub(super) const ALL: u8 = 127;
}

pub(super) fn put_block(
    block: &Block,
    batches: &[Judged],
    places: &HashMap<TopicId, usize>,
    before: &mut Before,
    row: &mut Encoder,
) {
    let TopicPartition { topic, partition } = block.partition;
    let range = &block.range;
    let same_topic = topic == before.topic;
    let follows = same_topic && Some(partition.0) == before.partition.0.checked_add(1);
    let whole = raw_sum(batches) == Some(range.raw_length);
    let mut flags = 0;
    let mut say = |flag: u8, is: bool| flags |= if is { flag } else { 0 };
    say(block_flags::TOPIC, !same_topic);
    say(block_flags::PARTITION, !follows);
    say(block_flags::POSITION, range.position != before.position);
    say(block_flags::ZSTD, range.codec == BlockCodec::Zstd);
    say(block_flags::BATCHES, batches.len() != 1);
    say(block_flags::LOG_START, block.log_start.0 != 0);
    say(block_flags::RAW_LENGTH, !whole);
    row.u8(flags);
    if !same_topic {
        row.u64(places.get(&topic).copied().unwrap_or(0) as u64);
    }
    if !follows {
        row.i64(i64::from(partition.0) - i64::from(before.partition.0));
    }
    if range.position != before.position {
        row.u32(range.position);
    }
    if batches.len() != 1 {
        row.u64(batches.len() as u64);
    }
    if block.log_start.0 != 0 {
        block.log_start.put(row);
    }
    if !whole {
        row.u32(range.raw_length);
    }
    row.u32(range.stored_length);
    row.fixed_u32(range.checksum);
    block.base_offset.put(row);
    (before.topic, before.partition) = (topic, partition);
    before.position = range.position.saturating_add(range.stored_length);
}

/// With the raw length where it does not follow from the batches.
pub(super) fn take_block(
    topics: &[TopicId],
    before: &mut Before,
    row: &mut Decoder,
) -> Result<(Block, Option<u32>), Unreadable> {
    let flags = row.u8()?;
    if flags & !block_flags::ALL != 0 {
        return Err(Unreadable);
    }
    let says = |flag| flags & flag != 0;
    let topic = match says(block_flags::TOPIC) {
        true => {
            let at = usize::try_from(row.u64()?).map_err(|_| Unreadable)?;
            *topics.get(at).ok_or(Unreadable)?
        }
        false => before.topic,
    };
    let distance = match says(block_flags::PARTITION) {
        true => row.i64()?,
        false => 1,
    };
    let partition = i64::from(before.partition.0).checked_add(distance);
    let partition = partition.and_then(|partition| i32::try_from(partition).ok());
    let partition = PartitionIndex(partition.ok_or(Unreadable)?);
    let position = match says(block_flags::POSITION) {
        true => row.u32()?,
        false => before.position,
    };
    let batches = match says(block_flags::BATCHES) {
        true => row.count()?,
        false => 1,
    };
    let log_start = match says(block_flags::LOG_START) {
        true => Offset::take(row)?,
        false => Offset(0),
    };
    let raw_length = match says(block_flags::RAW_LENGTH) {
        true => Some(row.u32()?),
        false => None,
    };
    let range = BlockRange {
        position,
        stored_length: row.u32()?,
        raw_length: 0,
        codec: match says(block_flags::ZSTD) {
            true => BlockCodec::Zstd,
            false => BlockCodec::Raw,
        },
        checksum: row.fixed_u32()?,
    };
    let block = Block {
        partition: TopicPartition { topic, partition },
        range,
        batches,
        base_offset: Offset::take(row)?,
        log_start,
    };
    (before.topic, before.partition) = (topic, partition);
    before.position = position.saturating_add(range.stored_length);
    Ok((block, raw_length))
}
