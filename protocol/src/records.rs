//! The records inside a batch taken apart, for clients and tests; brokers only [`walk`](crate::walk) over them. Keys and
//! values are slices of the batch, or of what it unpacks into.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::compression::{Codec, compress, decompress};
use crate::record_batch::{BatchError, BatchHeader, HEADER_BYTES, seal};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Record {
    /// Its offset less the batch's base offset.
    pub offset_delta: i32,
    /// Its timestamp less the batch's base timestamp, in milliseconds.
    pub timestamp_delta: i64,
    /// `None` is null.
    pub key: Option<Bytes>,
    /// `None` is null, a tombstone in compacted topics.
    pub value: Option<Bytes>,
    /// In order; names may repeat.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// How a batch is to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// How the records are packed.
    pub codec: Codec,
    /// Offset of the first record.
    pub base_offset: i64,
    /// Timestamp of the first record, in milliseconds.
    pub base_timestamp: i64,
    /// The idempotent producer, or -1.
    pub producer_id: i64,
    /// Its epoch, or -1.
    pub producer_epoch: i16,
    /// The first record's sequence, or -1.
    pub base_sequence: i32,
    /// Attributes besides the codec.
    pub attributes: i16,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            codec: Codec::None,
            base_offset: 0,
            base_timestamp: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            attributes: 0,
        }
    }
}

/// Reads records one by one; ends at the first error.
#[derive(Debug)]
pub struct RecordIter {
    rest: Bytes,
    left: i32,
    headers_max: usize,
}

/// What one header takes in memory; on the wire it can be as little as two bytes.
const HEADER_IN_MEMORY: usize = size_of::<(Bytes, Option<Bytes>)>();

/// The records of a whole batch, unpacked into at most `bytes_max` bytes. A record whose headers would take more than
/// `bytes_max` once read is an error of the iterator's.
///
/// # Errors
/// When the batch is cut short, does not unpack, or unpacks into more.
pub fn records(batch: &Bytes, bytes_max: usize) -> Result<RecordIter, BatchError> {
    let (header, rest) = unpack(batch, bytes_max)?;
    Ok(RecordIter {
        rest,
        left: header.record_count,
        headers_max: bytes_max / HEADER_IN_MEMORY,
    })
}

/// The header of a whole batch and its records' bytes.
fn unpack(batch: &Bytes, bytes_max: usize) -> Result<(BatchHeader, Bytes), BatchError> {
    let header = BatchHeader::read(batch)?;
    if header.size > batch.len() {
        return Err(BatchError::Truncated);
    }
    let codec = header.codec().ok_or(BatchError::UnknownCodec)?;
    let packed = batch.slice(HEADER_BYTES..header.size);
    Ok((header, decompress(codec, &packed, bytes_max)?))
}

impl Iterator for RecordIter {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left = self.left.saturating_sub(1);
        let record = read_record(&mut self.rest, self.headers_max);
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

fn read_record(rest: &mut Bytes, headers_max: usize) -> Result<Record, BatchError> {
    let length = varint(rest)?;
    let mut record = take(rest, length)?.ok_or(BatchError::Records("a record without a length"))?;
    let record = &mut record;
    record.try_get_i8().map_err(|_| BatchError::Truncated)?;
    let timestamp_delta = varlong(record)?;
    let offset_delta = varint(record)?;
    let key_length = varint(record)?;
    let key = take(record, key_length)?;
    let value_length = varint(record)?;
    let value = take(record, value_length)?;
    let count = varint(record)?;
    let count =
        usize::try_from(count).map_err(|_| BatchError::Records("a negative number of headers"))?;
    if count > headers_max {
        return Err(BatchError::Records("a record has too many headers"));
    }
    // Not reserved by the count: each header has at least two bytes, or reading it fails.
    let mut headers = Vec::new();
    for _ in 0..count {
        let name_length = varint(record)?;
        let name =
            take(record, name_length)?.ok_or(BatchError::Records("a header without a name"))?;
        let value_length = varint(record)?;
        headers.push((name, take(record, value_length)?));
    }
    if !record.is_empty() {
        return Err(BatchError::Records("a record is longer than what is in it"));
    }
    Ok(Record {
        offset_delta,
        timestamp_delta,
        key,
        value,
        headers,
    })
}

/// So many bytes; `None` for -1.
fn take(from: &mut Bytes, length: i32) -> Result<Option<Bytes>, BatchError> {
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| BatchError::Records("a negative length"))?;
    if length > from.len() {
        return Err(BatchError::Truncated);
    }
    Ok(Some(from.split_to(length)))
}

fn varint(from: &mut impl Buf) -> Result<i32, BatchError> {
    i32::try_from(varlong(from)?).map_err(|_| BatchError::Records("a varint is too large"))
}

/// Zigzag, base 128, little-endian.
fn varlong(from: &mut impl Buf) -> Result<i64, BatchError> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = from.try_get_u8().map_err(|_| BatchError::Truncated)?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits.checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok((value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg());
        }
    }
    Err(BatchError::Records("a varint runs on"))
}

/// Builds a batch as a producer does. For the load test and for tests.
#[must_use]
pub fn build_batch(records: &[Record], options: BatchOptions) -> Bytes {
    let mut inner = BytesMut::new();
    for record in records {
        put_record(&mut inner, record);
    }
    let packed = compress(options.codec, &inner).unwrap_or_default();
    let count = i32::try_from(records.len()).unwrap_or(i32::MAX);
    let last_delta = records.last().map_or(0, |record| record.offset_delta);
    let longest = records
        .iter()
        .map(|record| record.timestamp_delta)
        .max()
        .unwrap_or(0);
    let length = HEADER_BYTES.saturating_sub(12).saturating_add(packed.len());
    let mut batch = BytesMut::with_capacity(HEADER_BYTES.saturating_add(packed.len()));
    batch.put_i64(options.base_offset);
    batch.put_i32(i32::try_from(length).unwrap_or(i32::MAX));
    batch.put_i32(-1);
    batch.put_i8(2);
    batch.put_u32(0);
    batch.put_i16(options.attributes | options.codec.bits());
    batch.put_i32(last_delta);
    batch.put_i64(options.base_timestamp);
    batch.put_i64(options.base_timestamp.saturating_add(longest));
    batch.put_i64(options.producer_id);
    batch.put_i16(options.producer_epoch);
    batch.put_i32(options.base_sequence);
    batch.put_i32(count);
    batch.put_slice(&packed);
    seal(&mut batch);
    batch.freeze()
}

fn put_record(to: &mut BytesMut, record: &Record) {
    let mut body = BytesMut::new();
    body.put_i8(0);
    put_varlong(&mut body, record.timestamp_delta);
    put_varlong(&mut body, record.offset_delta.into());
    put_bytes(&mut body, record.key.as_ref());
    put_bytes(&mut body, record.value.as_ref());
    put_length(&mut body, record.headers.len());
    for (name, value) in &record.headers {
        put_bytes(&mut body, Some(name));
        put_bytes(&mut body, value.as_ref());
    }
    put_length(to, body.len());
    to.put_slice(&body);
}

fn put_bytes(to: &mut BytesMut, bytes: Option<&Bytes>) {
    match bytes {
        None => put_varlong(to, -1),
        Some(bytes) => {
            put_length(to, bytes.len());
            to.put_slice(bytes);
        }
    }
}

fn put_length(to: &mut BytesMut, length: usize) {
    put_varlong(to, i64::try_from(length).unwrap_or(i64::MAX));
}

fn put_varlong(to: &mut BytesMut, value: i64) {
    let mut left = (value.wrapping_shl(1) ^ value.wrapping_shr(63)).cast_unsigned();
    loop {
        let [low, ..] = left.to_le_bytes();
        left >>= 7;
        if left == 0 {
            return to.put_u8(low & 0x7f);
        }
        to.put_u8(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_bytes() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
    }

    fn any_records() -> impl Strategy<Value = Vec<Record>> {
        let headers =
            proptest::collection::vec((any_bytes(), proptest::option::of(any_bytes())), 0..4);
        let record = (
            -1_000_000_i64..1_000_000,
            proptest::option::of(any_bytes()),
            proptest::option::of(any_bytes()),
            headers,
        );
        proptest::collection::vec(record, 1..50).prop_map(|records| {
            (0..)
                .zip(records)
                .map(
                    |(offset_delta, (timestamp_delta, key, value, headers))| Record {
                        offset_delta,
                        timestamp_delta,
                        key,
                        value,
                        headers,
                    },
                )
                .collect()
        })
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_went(records in any_records()) {
            for codec in Codec::ALL {
                let options = BatchOptions { codec, base_timestamp: 5_000_000, ..BatchOptions::default() };
                let batch = build_batch(&records, options);
                let read: Result<Vec<_>, _> = super::records(&batch, 1 << 20).unwrap().collect();
                prop_assert_eq!(read.unwrap(), records.clone());
                let header = BatchHeader::read(&batch).unwrap();
                prop_assert!(crate::record_batch::crc_matches(&batch, &header));
            }
        }

        #[test]
        fn damage_never_panics(records in any_records(), position: prop::sample::Index, flip in 1..=255_u8) {
            let mut damaged = build_batch(&records, BatchOptions::default()).to_vec();
            let position = position.index(damaged.len());
            damaged[position] ^= flip;
            let damaged = Bytes::from(damaged);
            if let Ok(read) = super::records(&damaged, 1 << 20) {
                read.for_each(drop);
            }
        }
    }

    #[test]
    fn headers_stay_within_the_limit() {
        let bytes_max = 100 * HEADER_IN_MEMORY;
        let with = |headers: usize| {
            let record = Record {
                headers: vec![(Bytes::new(), None); headers],
                timestamp_delta: 7,
                ..Record::default()
            };
            build_batch(&[record], BatchOptions::default())
        };
        let read = |headers| records(&with(headers), bytes_max).unwrap().next();
        assert_eq!(read(100).unwrap().unwrap().headers.len(), 100);
        assert_eq!(
            read(101).unwrap(),
            Err(BatchError::Records("a record has too many headers"))
        );
    }

    #[test]
    fn every_cut_is_an_error_and_every_flip_is_survived() {
        let record = |offset_delta| Record {
            offset_delta,
            key: Some(Bytes::from_static(b"key")),
            value: Some(vec![7; 50].into()),
            headers: vec![(Bytes::from_static(b"name"), None)],
            ..Record::default()
        };
        for codec in Codec::ALL {
            let options = BatchOptions {
                codec,
                ..BatchOptions::default()
            };
            let batch = build_batch(&[record(0), record(1)], options);
            for position in 0..batch.len() {
                let cut = records(&batch.slice(..position), 1 << 16);
                assert_eq!(cut.unwrap_err(), BatchError::Truncated, "{codec:?}");
                for bit in 0..8 {
                    let mut flipped = batch.to_vec();
                    flipped[position] ^= 1 << bit;
                    survive(&flipped.into());
                }
            }
        }
    }

    fn survive(batch: &Bytes) {
        if let Ok(read) = records(batch, 1 << 16) {
            read.for_each(drop);
        }
    }
}
