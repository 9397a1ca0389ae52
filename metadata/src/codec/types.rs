//! The nouns as bytes.

use super::{Decoder, Encoder, Unreadable, Wire};
use crate::types::{
    BlockCodec, BlockRange, BucketId, Content, EPOCHS_MAX, EpochStart, Epochs, Extent, ExtentFlags,
    HistoryId, Lost, LostRange, Lsn, Marker, NamingEpoch, ObjectKey, Offset, PartitionIndex,
    ProducerEpoch, ProducerId, Sequence, Share, Stored, Timestamp, TopicId, TopicPartition,
};

wire_fields!(TopicId { 0 });
wire_fields!(PartitionIndex { 0 });
wire_fields!(TopicPartition { topic, partition });
wire_fields!(Offset { 0 });
wire_fields!(Timestamp { 0 });
wire_fields!(ProducerId { 0 });
wire_fields!(ProducerEpoch { 0 });
wire_fields!(Sequence { 0 });
wire_fields!(ObjectKey { 0 });
wire_fields!(Lsn { 0 });
wire_fields!(Share { 0 });
wire_fields!(HistoryId { 0 });
wire_fields!(BucketId { 0 });
wire_fields!(NamingEpoch { 0 });
wire_fields!(Marker {
    producer,
    epoch,
    committed
});
wire_fields!(Stored {
    object,
    block,
    raw_start,
    raw_length
});
wire_fields!(Extent {
    base_offset,
    offset_span,
    record_count,
    max_timestamp,
    flags,
    content
});
wire_fields!(BlockRange {
    position,
    stored_length,
    raw_length,
    codec,
    checksum
});

wire_fields!(EpochStart { epoch, start });
wire_fields!(LostRange {
    partition,
    from,
    until
});

impl Wire for Lost {
    fn put(&self, row: &mut Encoder) {
        row.u64(self.ranges().len() as u64);
        self.ranges().iter().for_each(|range| range.put(row));
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        Self::new(row.list(LostRange::take)?).ok_or(Unreadable)
    }
}

impl Wire for Epochs {
    fn put(&self, row: &mut Encoder) {
        let starts = self.starts();
        row.u64(starts.len() as u64);
        starts.iter().for_each(|start| start.put(row));
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        let count = row.count()?;
        let mut epochs = Self::default();
        if count > EPOCHS_MAX {
            return Err(Unreadable);
        }
        for _ in 0..count {
            let EpochStart { epoch, start } = Wire::take(row)?;
            epochs.begin(epoch, start);
        }
        // Each rises above the one before.
        match epochs.starts().len() == count {
            true => Ok(epochs),
            false => Err(Unreadable),
        }
    }
}

impl Wire for BlockCodec {
    fn put(&self, row: &mut Encoder) {
        row.u8(match self {
            Self::Raw => 0,
            Self::Zstd => 1,
        });
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        match row.u8()? {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Zstd),
            _ => Err(Unreadable),
        }
    }
}

impl Wire for ExtentFlags {
    fn put(&self, row: &mut Encoder) {
        let Self {
            offsets_in_bytes,
            transactional,
            control,
        } = *self;
        row.u8(u8::from(offsets_in_bytes) | u8::from(transactional) << 1 | u8::from(control) << 2);
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        match row.u8()? {
            bits @ 0..=7 => Ok(Self {
                offsets_in_bytes: bits & 1 != 0,
                transactional: bits & 2 != 0,
                control: bits & 4 != 0,
            }),
            _ => Err(Unreadable),
        }
    }
}

impl Wire for Content {
    fn put(&self, row: &mut Encoder) {
        match self {
            Self::Stored(stored) => {
                row.u8(1);
                stored.put(row);
            }
            Self::Marker(marker) => {
                row.u8(2);
                marker.put(row);
            }
            Self::Compacted => row.u8(3),
            Self::Lost => row.u8(4),
        }
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(match row.u8()? {
            1 => Self::Stored(Stored::take(row)?),
            2 => Self::Marker(Marker::take(row)?),
            3 => Self::Compacted,
            4 => Self::Lost,
            _ => return Err(Unreadable),
        })
    }
}
