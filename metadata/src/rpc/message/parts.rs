//! What many messages have in them.

use crate::codec::{Decoder, Encoder, Unreadable, Wire};
use crate::types::{Bounds, Epochs, Extent, Offset, PartitionIndex, Scope, TopicPartition};

pub(super) fn encode_option<T: ?Sized>(
    value: Option<&T>,
    frame: &mut Encoder,
    encode: impl FnOnce(&T, &mut Encoder),
) {
    frame.u8(u8::from(value.is_some()));
    if let Some(value) = value {
        encode(value, frame);
    }
}

pub(super) fn decode_option<T>(
    frame: &mut Decoder,
    decode: impl FnOnce(&mut Decoder) -> Result<T, Unreadable>,
) -> Result<Option<T>, Unreadable> {
    Ok(match decode_flag(frame)? {
        true => Some(decode(frame)?),
        false => None,
    })
}

pub(super) fn decode_flag(frame: &mut Decoder) -> Result<bool, Unreadable> {
    match frame.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Unreadable),
    }
}

/// A list of no more than so many things: in memory they take several times what they do in a frame.
pub(super) fn decode_list<T>(
    frame: &mut Decoder,
    max: usize,
    decode: impl FnMut(&mut Decoder) -> Result<T, Unreadable>,
) -> Result<Vec<T>, Unreadable> {
    let mut ahead = frame.clone();
    match ahead.count()? <= max {
        true => frame.list(decode),
        false => Err(Unreadable),
    }
}

pub(super) fn encode_scope(scope: Scope, frame: &mut Encoder) {
    frame.u8(u8::from(scope == Scope::All));
}

pub(super) fn decode_scope(frame: &mut Decoder) -> Result<Scope, Unreadable> {
    Ok(match decode_flag(frame)? {
        true => Scope::All,
        false => Scope::Change,
    })
}

pub(super) fn encode_extents(extents: &[Extent], frame: &mut Encoder) {
    frame.u64(extents.len() as u64);
    extents.iter().for_each(|extent| extent.put(frame));
}

pub(super) fn decode_extents(frame: &mut Decoder, max: usize) -> Result<Vec<Extent>, Unreadable> {
    decode_list(frame, max, Extent::take)
}

pub(super) fn encode_bounds(bounds: Bounds, frame: &mut Encoder) {
    frame.i64(bounds.log_start.0);
    frame.i64(bounds.last_stable.0);
    frame.i64(bounds.high_watermark.0);
    bounds.epochs.put(frame);
}

pub(super) fn decode_bounds(frame: &mut Decoder) -> Result<Bounds, Unreadable> {
    Ok(Bounds {
        log_start: Offset(frame.i64()?),
        last_stable: Offset(frame.i64()?),
        high_watermark: Offset(frame.i64()?),
        epochs: Epochs::take(frame)?,
    })
}

pub(super) fn encode_partitions(partitions: &[TopicPartition], frame: &mut Encoder) {
    frame.u64(partitions.len() as u64);
    partitions
        .iter()
        .for_each(|partition| encode_partition(*partition, frame));
}

pub(super) fn encode_partition(partition: TopicPartition, frame: &mut Encoder) {
    frame.topic(partition.topic);
    frame.i64(partition.partition.0.into());
}

pub(super) fn decode_partition(frame: &mut Decoder) -> Result<TopicPartition, Unreadable> {
    Ok(TopicPartition {
        topic: frame.topic()?,
        partition: PartitionIndex(frame.i32()?),
    })
}
