//! A view over a record batch of format 2: what its 61-byte header says, its checksum, and the few bytes that a broker may
//! change. Layout: base offset 0..8, batch length 8..12, leader epoch 12..16, magic 16, CRC 17..21, attributes 21..23,
//! last offset delta 23..27, base timestamp 27..35, max timestamp 35..43, producer id 43..51, producer epoch 51..53,
//! base sequence 53..57, record count 57..61, then the records. The CRC covers everything from the attributes on.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use crc_fast::CrcAlgorithm;

use crate::compression::{Codec, CompressionError, compress_behind};

/// Bytes before the records.
pub const HEADER_BYTES: usize = 61;
/// Bytes that the CRC does not cover and a broker patches: base offset, length, leader epoch.
pub const PREFIX_BYTES: usize = 16;

/// Bytes before those that the batch length counts.
const LENGTH_END: usize = 12;
/// The batch length of one without records.
const EMPTY_LENGTH: i32 = 49;
const CRC_START: usize = 17;
const ATTRIBUTES_START: usize = 21;
const MAX_TIMESTAMP_START: usize = 35;
const BASE_OFFSET_BYTES: usize = 8;
const CODEC: i16 = 7;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

/// What is wrong with a record batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than it says, or than a batch has.
    #[error("the record batch is cut short")]
    Truncated,
    /// A format before 2, or one to come.
    #[error("record format {0} is not spoken here")]
    Magic(i8),
    /// A codec that Kafka does not define.
    #[error("the record batch has an unknown compression codec")]
    UnknownCodec,
    /// It does not unpack, or into more than allowed.
    #[error("the record batch does not unpack: {0}")]
    Compression(#[from] CompressionError),
    /// The records contradict the header or themselves.
    #[error("the records contradict the batch's header: {0}")]
    Records(&'static str),
    /// Looking into it takes more than whoever looks is allowed.
    #[error("the record batch unpacks into too much")]
    TooMuch,
    /// Whoever looked into it was told to stop.
    #[error("nobody waits for it any more")]
    Unwanted,
}

/// The header's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; a producer's batches say 0.
    pub base_offset: i64,
    /// Bytes of the whole batch, header included; not necessarily all there.
    pub size: usize,
    /// Epoch of the leader that appended it.
    pub leader_epoch: i32,
    /// The format, 2.
    pub magic: i8,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Bits 0-2 codec, 3 log append time, 4 transactional, 5 control, 6 delete horizon.
    pub attributes: i16,
    /// Offset of the last record less that of the first.
    pub last_offset_delta: i32,
    /// Timestamp of the first record, in milliseconds.
    pub base_timestamp: i64,
    /// Largest timestamp of the records.
    pub max_timestamp: i64,
    /// The idempotent producer, or -1.
    pub producer_id: i64,
    /// Its epoch, or -1.
    pub producer_epoch: i16,
    /// The first record's sequence, or -1.
    pub base_sequence: i32,
    /// Records in the batch; after log compaction fewer than its offsets.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads a header. Whether the rest of the batch is there is for the caller to see by `size`.
    ///
    /// # Errors
    /// When there are fewer than 61 bytes, the length is impossible, or the format is not 2.
    pub fn read(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut header = bytes.get(..HEADER_BYTES).ok_or(BatchError::Truncated)?;
        let base_offset = header.get_i64();
        let length = usize::try_from(header.get_i32()).map_err(|_| BatchError::Truncated)?;
        let size = length.saturating_add(LENGTH_END);
        if size < HEADER_BYTES {
            return Err(BatchError::Truncated);
        }
        let leader_epoch = header.get_i32();
        let magic = header.get_i8();
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        Ok(Self {
            base_offset,
            size,
            leader_epoch,
            magic,
            crc: header.get_u32(),
            attributes: header.get_i16(),
            last_offset_delta: header.get_i32(),
            base_timestamp: header.get_i64(),
            max_timestamp: header.get_i64(),
            producer_id: header.get_i64(),
            producer_epoch: header.get_i16(),
            base_sequence: header.get_i32(),
            record_count: header.get_i32(),
        })
    }

    /// How the records are packed; `None` for codecs Kafka does not define.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        Codec::from_bits(self.attributes)
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether it holds a marker, which only brokers write.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether `max_timestamp` is when the broker appended it, for all records.
    #[must_use]
    pub fn has_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// Whether `base_timestamp` is when log compaction may drop its tombstones.
    #[must_use]
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON != 0
    }
}

/// Whether the bytes of a whole batch match their checksum.
#[must_use]
pub fn crc_matches(batch: &[u8], header: &BatchHeader) -> bool {
    batch
        .get(ATTRIBUTES_START..header.size)
        .is_some_and(|covered| crc(covered) == header.crc)
}

/// CRC-32C.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    u32::try_from(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes)).unwrap_or(0)
}

/// What replaces a batch's first 16 bytes when it is read.
#[must_use]
pub fn prefix(header: &BatchHeader, base_offset: i64, leader_epoch: i32) -> [u8; PREFIX_BYTES] {
    let length = i32::try_from(header.size.saturating_sub(LENGTH_END)).unwrap_or(i32::MAX);
    let mut prefix = [0; PREFIX_BYTES];
    let fields = [
        &base_offset.to_be_bytes()[..],
        &length.to_be_bytes(),
        &leader_epoch.to_be_bytes(),
    ];
    for (to, from) in prefix.iter_mut().zip(fields.into_iter().flatten()) {
        *to = *from;
    }
    prefix
}

/// A batch without records that takes so many offsets, at least one: clients that read it go on behind them. Kafka's log
/// compaction leaves such batches, too. Where they are more than 2^31, it takes as many, and the next one the rest.
#[must_use]
pub fn without_records(base_offset: i64, offsets: i64, leader_epoch: i32) -> Bytes {
    let last_offset_delta = i32::try_from(offsets.saturating_sub(1)).unwrap_or(i32::MAX);
    let mut batch = BytesMut::with_capacity(HEADER_BYTES);
    batch.put_i64(base_offset);
    batch.put_i32(EMPTY_LENGTH);
    batch.put_i32(leader_epoch);
    batch.put_i8(2);
    batch.put_u32(0);
    batch.put_i16(0);
    batch.put_i32(last_offset_delta);
    // No timestamps, producer, epoch nor sequence.
    batch.put_i64(-1);
    batch.put_i64(-1);
    batch.put_i64(-1);
    batch.put_i16(-1);
    batch.put_i32(-1);
    batch.put_i32(0);
    seal(&mut batch);
    batch.freeze()
}

/// The batch as a topic with `message.timestamp.type=LogAppendTime` keeps it: bit 3 set, the time of its arrival as its
/// largest timestamp, and a new checksum. What is not a whole batch is returned as it is; bytes after it stay as they are.
#[must_use]
pub fn stamp_log_append_time(batch: &Bytes, now_ms: i64) -> Bytes {
    restamp(batch, LOG_APPEND_TIME, now_ms)
}

/// The batch with another largest timestamp and a new checksum, for producers that say none or a wrong one.
#[must_use]
pub fn correct_max_timestamp(batch: &Bytes, max_timestamp: i64) -> Bytes {
    restamp(batch, 0, max_timestamp)
}

fn restamp(batch: &Bytes, attributes: i16, max_timestamp: i64) -> Bytes {
    let Ok(header) = BatchHeader::read(batch) else {
        return batch.clone();
    };
    let mut stamped = BytesMut::from(batch.as_ref());
    let Some(whole) = stamped.get_mut(..header.size) else {
        return batch.clone();
    };
    let attributes = header.attributes | attributes;
    put(whole, ATTRIBUTES_START, &attributes.to_be_bytes());
    put(whole, MAX_TIMESTAMP_START, &max_timestamp.to_be_bytes());
    seal(whole);
    stamped.freeze()
}

/// The batch with the same records, given as they are when unpacked, packed by `codec` at `level`, and a new checksum.
/// `wanted` is asked every now and then: false ends the work.
///
/// # Errors
/// When the header does not read, when it is not wanted any more, or when the codec fails, which none does on bytes in memory.
pub fn repack(
    batch: &[u8],
    records: &[u8],
    (codec, level): (Codec, i32),
    wanted: &dyn Fn() -> bool,
) -> Result<Bytes, BatchError> {
    let header = BatchHeader::read(batch)?;
    // Packed in place: a copy more of what may be large is not held.
    let mut repacked = Vec::from(batch.get(..HEADER_BYTES).ok_or(BatchError::Truncated)?);
    let packed = compress_behind(&mut repacked, codec, level, records, wanted);
    if !wanted() {
        return Err(BatchError::Unwanted);
    }
    packed.map_err(|error| CompressionError::Invalid(codec.name(), error.to_string()))?;
    // It is charged for by its length, for as long as it waits.
    repacked.shrink_to_fit();
    let length = i32::try_from(repacked.len().saturating_sub(LENGTH_END));
    let length = length.map_err(|_| BatchError::TooMuch)?;
    let attributes = header.attributes & !CODEC | codec.bits();
    put(&mut repacked, BASE_OFFSET_BYTES, &length.to_be_bytes());
    put(&mut repacked, ATTRIBUTES_START, &attributes.to_be_bytes());
    seal(&mut repacked);
    Ok(repacked.into())
}

/// Writes the checksum of what follows it.
pub(crate) fn seal(batch: &mut [u8]) {
    let crc = batch.get(ATTRIBUTES_START..).map_or(0, crc);
    put(batch, CRC_START, &crc.to_be_bytes());
}

fn put(batch: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = batch.get_mut(at..at.saturating_add(field.len())) {
        place.copy_from_slice(field);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::records::{BatchOptions, Record, build_batch, records};

    fn batch() -> Bytes {
        let record = |delta: i32| Record {
            offset_delta: delta,
            timestamp_delta: delta.into(),
            value: Some(Bytes::from_static(b"value")),
            ..Record::default()
        };
        let options = BatchOptions {
            base_timestamp: 1000,
            ..BatchOptions::default()
        };
        build_batch(&[record(0), record(1), record(2)], options)
    }

    #[test]
    fn a_header_reads_what_was_built() {
        let batch = batch();
        let header = BatchHeader::read(&batch).unwrap();
        assert_eq!(header.size, batch.len());
        assert_eq!((header.record_count, header.last_offset_delta), (3, 2));
        assert_eq!((header.base_timestamp, header.max_timestamp), (1000, 1002));
        assert_eq!(
            (
                header.producer_id,
                header.producer_epoch,
                header.base_sequence
            ),
            (-1, -1, -1)
        );
        assert!(crc_matches(&batch, &header));
    }

    #[test]
    fn a_batch_without_records_is_whole_and_takes_offsets() {
        let empty = without_records(7, 3, 5);
        let header = BatchHeader::read(&empty).unwrap();
        assert!(crc_matches(&empty, &header) && header.size == empty.len());
        let takes = (header.base_offset, header.last_offset_delta);
        assert_eq!((takes, header.record_count), ((7, 2), 0));
        assert_eq!((header.leader_epoch, header.producer_id), (5, -1));
        let most = BatchHeader::read(&without_records(0, i64::MAX, 0)).unwrap();
        assert_eq!(most.last_offset_delta, i32::MAX);
    }

    #[test]
    fn any_changed_byte_after_the_checksum_is_noticed() {
        let batch = batch();
        for position in ATTRIBUTES_START..batch.len() {
            let mut changed = batch.to_vec();
            changed[position] ^= 0x10;
            let header = BatchHeader::read(&changed).unwrap();
            assert!(!crc_matches(&changed, &header), "{position}");
        }
    }

    #[test]
    fn packing_again_ends_soon_where_nobody_wants_it() {
        let contents = vec![7; 8 << 20];
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let asked = Cell::new(0);
            let wanted = || {
                asked.set(asked.get() + 1);
                asked.get() <= 3
            };
            let packed = repack(&batch(), &contents, (codec, 1), &wanted);
            assert_eq!(packed, Err(BatchError::Unwanted), "{codec:?}");
            assert!(asked.get() <= 5, "{codec:?} went on");
        }
    }

    #[test]
    fn the_prefix_is_outside_the_checksum() {
        let batch = batch();
        let header = BatchHeader::read(&batch).unwrap();
        let mut moved = batch.to_vec();
        moved[..PREFIX_BYTES].copy_from_slice(&prefix(&header, 1 << 40, 7));
        let read = BatchHeader::read(&moved).unwrap();
        assert_eq!(
            (read.base_offset, read.leader_epoch, read.size),
            (1 << 40, 7, batch.len())
        );
        assert!(crc_matches(&moved, &read));
    }

    #[test]
    fn a_stamped_batch_says_so_and_keeps_its_records() {
        let batch = batch();
        let stamped = stamp_log_append_time(&batch, 123_456);
        let header = BatchHeader::read(&stamped).unwrap();
        assert!(header.has_log_append_time());
        assert_eq!(
            (header.base_timestamp, header.max_timestamp),
            (1000, 123_456)
        );
        assert!(crc_matches(&stamped, &header));
        let contents = |batch: &Bytes| records(batch, 1 << 20).unwrap().collect::<Vec<_>>();
        assert_eq!(contents(&stamped), contents(&batch));
    }

    #[test]
    fn a_stamp_seals_its_batch_alone() {
        let batch = batch();
        let followed = Bytes::from([batch.as_ref(), b"more"].concat());
        let stamped = stamp_log_append_time(&followed, 5);
        assert_eq!(
            stamped.slice(..batch.len()),
            stamp_log_append_time(&batch, 5)
        );
        assert_eq!(stamped.slice(batch.len()..), "more");
        let cut = batch.slice(..batch.len() - 1);
        assert_eq!(stamp_log_append_time(&cut, 5), cut);
    }

    #[test]
    fn what_is_not_a_batch_is_refused() {
        let batch = batch();
        for length in 0..HEADER_BYTES {
            assert_eq!(
                BatchHeader::read(&batch[..length]),
                Err(BatchError::Truncated)
            );
        }
        let with = |at: usize, bytes: &[u8]| {
            let mut changed = batch.to_vec();
            changed[at..at + bytes.len()].copy_from_slice(bytes);
            BatchHeader::read(&changed)
        };
        assert_eq!(with(8, &(-1_i32).to_be_bytes()), Err(BatchError::Truncated));
        assert_eq!(with(8, &48_i32.to_be_bytes()), Err(BatchError::Truncated));
        assert_eq!(with(16, &[1]), Err(BatchError::Magic(1)));
        assert_eq!(
            with(8, &i32::MAX.to_be_bytes()).unwrap().size,
            0x7fff_ffff + 12
        );
    }
}
