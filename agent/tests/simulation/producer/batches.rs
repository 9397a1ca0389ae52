//! What producers send: batches, and the bytes by which each value is known again.

use bytes::Bytes;
use protocol::compression::Codec;
use protocol::messages::produce::PartitionProduceData;
use protocol::records::{BatchOptions, Record, build_batch};
use tokio::time::Instant;

use crate::history::{BatchId, Place, Value, timestamp};

pub(super) struct Batch {
    pub(super) id: BatchId,
    pub(super) place: Place,
    pub(super) values: Vec<Value>,
    pub(super) base_sequence: i32,
    pub(super) attempts: u32,
    pub(super) first_sent: Option<Instant>,
    pub(super) not_before: Instant,
}

impl Batch {
    /// As its producer sends it.
    pub(super) fn encode(&self, identity: Option<(i64, i16)>) -> PartitionProduceData {
        let records: Vec<Record> = (0..)
            .zip(&self.values)
            .map(|(offset_delta, value)| Record {
                offset_delta,
                timestamp_delta: i64::from(offset_delta),
                value: Some(encode_value(*value)),
                ..Record::default()
            })
            .collect();
        let (producer_id, producer_epoch) = identity.unwrap_or((-1, -1));
        let options = BatchOptions {
            codec: if self.id.1.is_multiple_of(3) {
                Codec::Lz4
            } else {
                Codec::None
            },
            base_timestamp: timestamp(self.id, 0),
            producer_id,
            producer_epoch,
            base_sequence: identity.map_or(-1, |_| self.base_sequence),
            ..BatchOptions::default()
        };
        PartitionProduceData {
            index: self.place.1,
            records: Some(build_batch(&records, options).into()),
        }
    }
}

/// A value's bytes: who it is, and some more, now and then many.
fn encode_value(value: Value) -> Bytes {
    let more = match value.number % 7 {
        0 => 900,
        odd => odd as usize * 5,
    };
    let mut bytes = Vec::with_capacity(8 + more);
    bytes.extend(value.producer.to_be_bytes());
    bytes.extend(value.number.to_be_bytes());
    bytes.resize(8 + more, b'x');
    bytes.into()
}

pub(crate) fn decode_value(bytes: Option<&Bytes>) -> Option<Value> {
    let bytes = bytes?;
    let number = |range: std::ops::Range<usize>| {
        Some(u32::from_be_bytes(bytes.get(range)?.try_into().ok()?))
    };
    Some(Value {
        producer: number(0..4)?,
        number: number(4..8)?,
    })
}
