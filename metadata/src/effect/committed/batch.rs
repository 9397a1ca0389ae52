//! A batch in the log, and what became of it.

use super::wire::Before;
use super::{Judged, Judgement};
use crate::codec::{Decoder, Encoder, Unreadable, Wire};
use crate::command::BatchProducer;
use crate::types::{BatchFlags, ProducerEpoch, ProducerId, Sequence, Share, Timestamp};

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

pub(super) fn put_batch(batch: &Judged, before: &mut Before, row: &mut Encoder) {
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

pub(super) fn take_batch(before: &mut Before, row: &mut Decoder) -> Result<Judged, Unreadable> {
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
