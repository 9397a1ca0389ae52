//! What became of an object's batches, in as few bytes as it takes: most of the log is this. Topics are named once a
//! record, partitions and times as distances, positions only where blocks do not follow each other, and extents, verdicts
//! and reference counts not at all, for they follow from the rest.

use std::collections::HashMap;

use crate::codec::{Decoder, Encoder, Unreadable, Wire};
use crate::command::{BatchProducer, Outcome, Placed, Rejected, Verdict};
use crate::types::{
    BatchFlags, BlockCodec, BlockRange, Content, Extent, ObjectKey, Offset, PartitionIndex,
    ProducerEpoch, ProducerId, Sequence, Share, Stored, Timestamp, TopicId, TopicPartition,
};

/// A run is closed past so many records, so that their number fits; with one batch of `i32::MAX` more it still does.
const RUN_RECORDS_MAX: u32 = i32::MAX.unsigned_abs();

/// An object with its blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) object: ObjectKey,
    /// Bytes stored.
    pub(crate) size: u64,
    /// Whose command it was; `None` if nobody can ask again.
    pub(crate) asked: Option<Asked>,
    pub(crate) blocks: Vec<Block>,
    /// Those of the first block, then those of the second, and so on.
    pub(crate) batches: Vec<Judged>,
}

wire_struct! {
    /// A command's place in its session, which has seen all outcomes up to `seen`, exclusive.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Asked {
        pub(crate) session: u64,
        pub(crate) sequence: u64,
        pub(crate) seen: u64,
    }
}

/// A block of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) partition: TopicPartition,
    pub(crate) range: BlockRange,
    /// How many of the record's batches are the block's.
    pub(crate) batches: usize,
    /// The partition's high watermark before the block, from which accepted batches are numbered.
    pub(crate) base_offset: Offset,
    /// The partition's log start then.
    pub(crate) log_start: Offset,
}

/// A batch and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Bytes of the batch.
    pub(crate) raw_length: u32,
    pub(crate) judgement: Judgement,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It has the offsets after those accepted before it.
    Accepted {
        record_count: u32,
        max_timestamp: Timestamp,
        flags: BatchFlags,
        producer: Option<BatchProducer>,
        /// The partition did not know the producer, whose state counts towards its share from now on.
        is_new: bool,
    },
    /// It repeats the one at that offset.
    Duplicate(Offset),
    Refused(Rejected),
}

impl Judged {
    /// Offsets it takes.
    pub(crate) fn record_count(&self) -> u32 {
        match self.judgement {
            Judgement::Accepted { record_count, .. } => record_count,
            Judgement::Duplicate(_) | Judgement::Refused(_) => 0,
        }
    }

    /// What readers must know of it, if they read it.
    fn flags(&self) -> Option<BatchFlags> {
        match self.judgement {
            Judgement::Accepted { flags, .. } => Some(flags),
            Judgement::Duplicate(_) | Judgement::Refused(_) => None,
        }
    }
}

impl Committed {
    /// Blocks with their batches.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (&Block, &[Judged])> {
        let mut rest = self.batches.as_slice();
        self.blocks.iter().map(move |block| {
            let (batches, after) = rest.split_at(block.batches.min(rest.len()));
            rest = after;
            (block, batches)
        })
    }

    /// What joined partitions.
    pub(crate) fn extents(&self) -> impl Iterator<Item = (TopicPartition, Extent)> {
        self.blocks().flat_map(|(block, batches)| {
            let extents = extents(self.object, block, batches);
            extents.map(|extent| (block.partition, extent))
        })
    }

    /// What the agent is told: a verdict for each batch.
    pub(crate) fn outcome(&self) -> Outcome {
        let mut verdicts = Vec::with_capacity(self.batches.len());
        for (block, batches) in self.blocks() {
            let mut next = block.base_offset;
            for batch in batches {
                verdicts.push(verdict(block, next, batch));
                next.0 += i64::from(batch.record_count());
            }
        }
        Outcome::Committed(verdicts)
    }
}

fn verdict(block: &Block, next: Offset, batch: &Judged) -> Verdict {
    let (base_offset, duplicate) = match batch.judgement {
        Judgement::Accepted { .. } => (next, false),
        Judgement::Duplicate(original) => (original, true),
        Judgement::Refused(rejected) => return Err(rejected),
    };
    Ok(Placed {
        base_offset,
        log_start_offset: block.log_start,
        duplicate,
    })
}

/// The extents of one block: accepted neighbours join in one, if readers must know the same of them.
pub(crate) fn extents<'a>(
    object: ObjectKey,
    block: &'a Block,
    batches: &'a [Judged],
) -> impl Iterator<Item = Extent> + 'a {
    let (mut next, mut raw_start) = (block.base_offset, 0_u32);
    let mut batches = batches.iter().peekable();
    std::iter::from_fn(move || {
        // Dead bytes between two runs.
        while let Some(dead) = batches.next_if(|batch| batch.record_count() == 0) {
            raw_start = raw_start.saturating_add(dead.raw_length);
        }
        let flags = batches.peek()?.flags();
        let (mut span, mut raw_length, mut latest) = (0_u32, 0_u32, Timestamp(i64::MIN));
        while span <= RUN_RECORDS_MAX
            && let Some(batch) =
                batches.next_if(|batch| batch.record_count() > 0 && batch.flags() == flags)
        {
            span = span.saturating_add(batch.record_count());
            raw_length = raw_length.saturating_add(batch.raw_length);
            if let Judgement::Accepted { max_timestamp, .. } = batch.judgement {
                latest = latest.max(max_timestamp);
            }
        }
        let extent = Extent {
            base_offset: next,
            offset_span: span,
            record_count: span,
            max_timestamp: latest,
            flags: flags.unwrap_or_default().into(),
            content: Content::Stored(Stored {
                object,
                block: block.range,
                raw_start,
                raw_length,
            }),
        };
        next.0 += i64::from(span);
        raw_start = raw_start.saturating_add(raw_length);
        Some(extent)
    })
}

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

/// What a batch's first byte says of the rest.
mod batch_flags {
    pub(super) const ACCEPTED: u8 = 0;
    pub(super) const DUPLICATE: u8 = 1;
    pub(super) const REFUSED: u8 = 2;
    /// Of the three above.
    pub(super) const JUDGEMENT: u8 = 3;
    /// An idempotent producer follows.
    pub(super) const PRODUCER: u8 = 4;
    /// Its share follows.
    pub(super) const NEW: u8 = 8;
    /// Its epoch is not 0 and follows.
    pub(super) const EPOCH: u8 = 16;
    pub(super) const TRANSACTIONAL: u8 = 32;
    pub(super) const CONTROL: u8 = 64;
    pub(super) const ALL: u8 = 127;
}

/// What distances are counted from.
struct Before {
    topic: TopicId,
    partition: PartitionIndex,
    position: u32,
    time: i64,
    producer: i64,
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

fn raw_sum(batches: &[Judged]) -> Option<u32> {
    let mut lengths = batches.iter().map(|batch| batch.raw_length);
    lengths.try_fold(0_u32, u32::checked_add)
}

fn put_block(
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
fn take_block(
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

fn put_batch(batch: &Judged, before: &mut Before, row: &mut Encoder) {
    match &batch.judgement {
        Judgement::Accepted {
            record_count,
            max_timestamp,
            flags: says,
            producer,
            is_new,
        } => {
            let has_epoch = producer.is_some_and(|producer| producer.epoch.0 != 0);
            let mut flags = batch_flags::ACCEPTED;
            let mut say = |flag: u8, is: bool| flags |= if is { flag } else { 0 };
            say(batch_flags::TRANSACTIONAL, says.transactional);
            say(batch_flags::CONTROL, says.control);
            say(batch_flags::PRODUCER, producer.is_some());
            say(batch_flags::NEW, producer.is_some() && *is_new);
            say(batch_flags::EPOCH, has_epoch);
            row.u8(flags);
            row.u32(batch.raw_length);
            row.u32(*record_count);
            row.i64(max_timestamp.0.wrapping_sub(before.time));
            before.time = max_timestamp.0;
            if let Some(producer) = producer {
                row.i64(producer.id.0.wrapping_sub(before.producer));
                before.producer = producer.id.0;
                if *is_new {
                    producer.share.put(row);
                }
                if has_epoch {
                    producer.epoch.put(row);
                }
                row.u64(u64::from(producer.base_sequence.0.cast_unsigned()));
            }
        }
        Judgement::Duplicate(original) => {
            row.u8(batch_flags::DUPLICATE);
            row.u32(batch.raw_length);
            original.put(row);
        }
        Judgement::Refused(rejected) => {
            row.u8(batch_flags::REFUSED);
            row.u32(batch.raw_length);
            rejected.put(row);
        }
    }
}

fn take_batch(before: &mut Before, row: &mut Decoder) -> Result<Judged, Unreadable> {
    let flags = row.u8()?;
    let kind = flags & batch_flags::JUDGEMENT;
    let plain = flags == kind;
    let says = |flag| flags & flag != 0;
    let raw_length = row.u32()?;
    let judgement = match kind {
        batch_flags::ACCEPTED if flags & !batch_flags::ALL == 0 => {
            let record_count = row.u32()?;
            before.time = before.time.wrapping_add(row.i64()?);
            let (is_new, has_epoch) = (says(batch_flags::NEW), says(batch_flags::EPOCH));
            let producer = match says(batch_flags::PRODUCER) {
                true => Some(take_producer(is_new, has_epoch, before, row)?),
                false if is_new || has_epoch => return Err(Unreadable),
                false => None,
            };
            if record_count == 0 {
                return Err(Unreadable);
            }
            Judgement::Accepted {
                record_count,
                max_timestamp: Timestamp(before.time),
                flags: BatchFlags {
                    transactional: says(batch_flags::TRANSACTIONAL),
                    control: says(batch_flags::CONTROL),
                },
                producer,
                is_new,
            }
        }
        batch_flags::DUPLICATE if plain => Judgement::Duplicate(Wire::take(row)?),
        batch_flags::REFUSED if plain => Judgement::Refused(Wire::take(row)?),
        _ => return Err(Unreadable),
    };
    Ok(Judged {
        raw_length,
        judgement,
    })
}

fn take_producer(
    is_new: bool,
    has_epoch: bool,
    before: &mut Before,
    row: &mut Decoder,
) -> Result<BatchProducer, Unreadable> {
    before.producer = before.producer.wrapping_add(row.i64()?);
    let share = match is_new {
        true => Share::take(row)?,
        false => Share::default(),
    };
    let epoch = match has_epoch {
        true => ProducerEpoch::take(row)?,
        false => ProducerEpoch(0),
    };
    let base_sequence = Sequence(row.u32()?.cast_signed());
    Ok(BatchProducer {
        id: ProducerId(before.producer),
        epoch,
        base_sequence,
        share,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{Effect, LogBytes};
    use crate::types::Lsn;

    const PARTITIONS: i32 = 1_000;

    /// A segment of one batch for each partition, as producers with idempotence send them: each has its own.
    fn ordinary() -> Committed {
        let batch = |index: i32| Judged {
            raw_length: 700,
            judgement: Judgement::Accepted {
                record_count: 5,
                max_timestamp: Timestamp(1_790_000_000_000 + i64::from(index % 25)),
                flags: BatchFlags::default(),
                producer: Some(BatchProducer {
                    id: ProducerId(40_000 + i64::from(index * 37 % 1_000)),
                    epoch: ProducerEpoch(0),
                    base_sequence: Sequence(3_000_000 + index),
                    share: Share(0),
                }),
                is_new: false,
            },
        };
        let block = |index: i32| Block {
            partition: TopicPartition {
                topic: TopicId(u128::MAX / 3),
                partition: PartitionIndex(index),
            },
            range: BlockRange {
                position: 32 + 704 * index.unsigned_abs(),
                stored_length: 704,
                raw_length: 700,
                codec: BlockCodec::Raw,
                checksum: 0x9e37_79b9_u32.wrapping_mul(index.unsigned_abs()),
            },
            batches: 1,
            base_offset: Offset(200_000_000 + i64::from(index)),
            log_start: Offset(0),
        };
        let asked = Asked {
            session: 3_000,
            sequence: 5_000_000,
            seen: 4_999_998,
        };
        Committed {
            object: ObjectKey(u128::MAX / 5),
            size: 704_000,
            asked: Some(asked),
            blocks: (0..PARTITIONS).map(block).collect(),
            batches: (0..PARTITIONS).map(batch).collect(),
        }
    }

    #[test]
    fn batches_join_where_readers_must_know_the_same_of_them() {
        let batch = |count, transactional, control| Judged {
            raw_length: 10,
            judgement: Judgement::Accepted {
                record_count: count,
                max_timestamp: Timestamp(count.into()),
                flags: BatchFlags {
                    transactional,
                    control,
                },
                producer: None,
                is_new: false,
            },
        };
        let batches = [
            batch(1, false, false),
            batch(2, false, false),
            batch(3, true, false),
            batch(4, true, true),
            batch(5, true, true),
            batch(6, false, false),
        ];
        let block = ordinary().blocks[0];
        let found: Vec<_> = extents(ObjectKey(1), &block, &batches)
            .map(|extent| {
                let base = extent.base_offset.0 - block.base_offset.0;
                let at = extent.stored().unwrap().raw_start;
                let flags = (extent.flags.transactional, extent.flags.control);
                (base, extent.offset_span, at, flags)
            })
            .collect();
        let expected = [
            (0, 3, 0, (false, false)),
            (3, 3, 20, (true, false)),
            (6, 9, 30, (true, true)),
            (15, 6, 50, (false, false)),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_ordinary_entry_takes_few_bytes() {
        let mut log = LogBytes::new(Timestamp(1_790_000_000_123));
        log.push(&Effect::Committed(ordinary()));
        let bytes: usize = log
            .into_rows(Lsn(1), usize::MAX)
            .iter()
            .map(bytes::Bytes::len)
            .sum();
        let entries = usize::try_from(PARTITIONS).unwrap();
        let gigabytes = bytes * 40 * 86_400 / 1_000_000_000;
        println!(
            "{:.1} bytes an entry of a commit, its checksums and the session's outcome included (78 before it was packed); \
             a day of 1,000 partitions x 40 segments/s: {gigabytes} GB of log",
            bytes as f64 / entries as f64,
        );
        assert!(bytes <= 32 * entries, "{bytes}");
    }

    /// A segment of many topics takes no time that grows with their square: while a drain is encoded nothing else is done,
    /// and a holder that needs seconds for it is taken for gone.
    #[test]
    fn a_segment_of_as_many_topics_as_there_may_be_is_encoded_in_no_time() {
        let mut commit = ordinary();
        let (block, batch) = (commit.blocks[0], commit.batches[0]);
        let topics = 200_000_u32;
        let of_topic = |number: u32| {
            let topic = TopicId(u128::from(number.wrapping_mul(0x9e37_79b9)) << 64);
            let partition = TopicPartition {
                topic,
                ..block.partition
            };
            Block { partition, ..block }
        };
        commit.blocks = (0..topics).map(of_topic).collect();
        commit.batches = vec![batch; commit.blocks.len()];
        let begun = tokio::time::Instant::now();
        let mut log = LogBytes::new(Timestamp(1_790_000_000_123));
        log.push(&Effect::Committed(commit.clone()));
        let took = begun.elapsed();
        let bytes: Vec<u8> = log.into_rows(Lsn(1), usize::MAX).concat();
        let entry = crate::effect::decode_entry(Lsn(1), bytes.into()).unwrap();
        assert!(entry.effects == [Effect::Committed(commit)]);
        assert!(took < std::time::Duration::from_secs(20), "{took:?}");
    }
}
