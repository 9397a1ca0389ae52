//! Commands as bytes: those that agents may send. What the sequencer asks of itself has no encoding.

use super::parts::decode_list;
use super::{BATCHES_MAX, BLOCKS_MAX, TOPIC_BYTES_MAX};
use crate::codec::{Decoder, Encoder, Unreadable, Wire};
use crate::command::{
    BatchProducer, Command, CommitBatch, CommitBlock, CommitObject, CreatePartitions, CreateTopic,
};
use crate::types::{BatchFlags, BlockRange, PartitionIndex, Timestamp};

/// Sent for a command that is the sequencer's own; nobody can read it.
const NOT_AN_AGENTS: u8 = 0;

// What the byte of flags says of a batch.
const HAS_PRODUCER: u8 = 1;
const WITHHELD: u8 = 1 << 1;
const TRANSACTIONAL: u8 = 1 << 2;
const CONTROL: u8 = 1 << 3;

pub(super) fn encode_command(command: &Command, frame: &mut Encoder) {
    match command {
        Command::CommitObject(commit) => {
            frame.u8(1);
            frame.object(commit.object);
            frame.u64(commit.size);
            frame.u64(commit.blocks.len() as u64);
            commit
                .blocks
                .iter()
                .for_each(|block| encode_block(block, frame));
        }
        Command::CreateTopic(create) => {
            frame.u8(2);
            frame.text(&create.name);
            frame.topic(create.id);
            frame.i64(create.partitions.into());
            frame.i64(create.replication_factor.into());
            frame.texts(&create.configs);
        }
        Command::DeleteTopic(topic) => {
            frame.u8(3);
            frame.topic(*topic);
        }
        Command::CreatePartitions(create) => {
            frame.u8(4);
            frame.topic(create.topic);
            frame.i64(create.total.into());
        }
        Command::AllocateProducerIds { count } => {
            frame.u8(5);
            frame.u32(*count);
        }
        Command::BindBucket(bucket) => {
            frame.u8(6);
            bucket.put(frame);
        }
        Command::RaiseFeatureLevel(level) => {
            frame.u8(7);
            // Level 0 is none.
            frame.u32(level.unwrap_or(0));
        }
        Command::ReleaseHold => frame.u8(8),
        Command::MarkLost { topic, range } => {
            frame.u8(9);
            frame.topic(*topic);
            range.put(frame);
        }
        Command::OpenSession { .. }
        | Command::AcceptOlderStore { .. }
        | Command::KeepFeatureLevel(_)
        | Command::CloseSession(_)
        | Command::ExpireProducers { .. } => frame.u8(NOT_AN_AGENTS),
    }
}

pub(super) fn decode_command(frame: &mut Decoder) -> Result<Command, Unreadable> {
    Ok(match frame.u8()? {
        1 => Command::CommitObject(CommitObject {
            object: frame.object()?,
            size: frame.u64()?,
            blocks: decode_blocks(frame)?,
        }),
        2 => Command::CreateTopic(decode_create(frame)?),
        3 => Command::DeleteTopic(frame.topic()?),
        4 => Command::CreatePartitions(CreatePartitions {
            topic: frame.topic()?,
            total: frame.i32()?,
        }),
        5 => Command::AllocateProducerIds {
            count: frame.u32()?,
        },
        6 => Command::BindBucket(Wire::take(frame)?),
        7 => Command::RaiseFeatureLevel(Some(frame.u32()?).filter(|level| *level > 0)),
        8 => Command::ReleaseHold,
        9 => Command::MarkLost {
            topic: frame.topic()?,
            range: Wire::take(frame)?,
        },
        _ => return Err(Unreadable),
    })
}

fn decode_create(frame: &mut Decoder) -> Result<CreateTopic, Unreadable> {
    let create = CreateTopic {
        name: frame.text()?,
        id: frame.topic()?,
        partitions: frame.i32()?,
        replication_factor: frame.i16()?,
        configs: frame.texts()?,
    };
    let configs = create.configs.iter();
    let configs = configs.map(|(name, value)| name.len() + value.len());
    match create.name.len() + configs.sum::<usize>() {
        ..=TOPIC_BYTES_MAX => Ok(create),
        _ => Err(Unreadable),
    }
}

fn encode_block(block: &CommitBlock, frame: &mut Encoder) {
    frame.topic(block.topic);
    frame.i64(block.partition.0.into());
    block.range.put(frame);
    frame.u64(block.batches.len() as u64);
    for batch in &block.batches {
        frame.u32(batch.raw_length);
        frame.u32(batch.record_count);
        frame.i64(batch.max_timestamp.0);
        frame.u8(batch_flags(batch));
        if let Some(producer) = batch.producer {
            producer.put(frame);
        }
    }
}

fn batch_flags(batch: &CommitBatch) -> u8 {
    let flags = [
        (HAS_PRODUCER, batch.producer.is_some()),
        (WITHHELD, batch.withheld),
        (TRANSACTIONAL, batch.flags.transactional),
        (CONTROL, batch.flags.control),
    ];
    let set = flags.into_iter().filter(|(_, is)| *is);
    set.fold(0, |flags, (flag, _)| flags | flag)
}

fn decode_blocks(frame: &mut Decoder) -> Result<Vec<CommitBlock>, Unreadable> {
    let mut room = BATCHES_MAX;
    decode_list(frame, BLOCKS_MAX, |frame| {
        let block = decode_block(frame, room)?;
        room -= block.batches.len();
        Ok(block)
    })
}

fn decode_block(frame: &mut Decoder, batches_max: usize) -> Result<CommitBlock, Unreadable> {
    Ok(CommitBlock {
        topic: frame.topic()?,
        partition: PartitionIndex(frame.i32()?),
        range: BlockRange::take(frame)?,
        batches: decode_list(frame, batches_max, decode_batch)?,
    })
}

fn decode_batch(frame: &mut Decoder) -> Result<CommitBatch, Unreadable> {
    let (raw_length, record_count) = (frame.u32()?, frame.u32()?);
    let max_timestamp = Timestamp(frame.i64()?);
    let flags = frame.u8()?;
    if flags >= 1 << 4 {
        return Err(Unreadable);
    }
    let says = |flag| flags & flag != 0;
    let producer = match says(HAS_PRODUCER) {
        true => Some(BatchProducer::take(frame)?),
        false => None,
    };
    Ok(CommitBatch {
        raw_length,
        record_count,
        max_timestamp,
        producer,
        flags: BatchFlags {
            transactional: says(TRANSACTIONAL),
            control: says(CONTROL),
        },
        withheld: says(WITHHELD),
    })
}
