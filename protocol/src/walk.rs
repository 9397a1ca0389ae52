//! Records passed over in one go, none of them taken apart: whether they are what their batch says, and what they say of
//! themselves. Packed ones are unpacked a piece at a time.

use std::io::BufRead;
use std::ops::ControlFlow;

use crate::record_batch::{BatchError, BatchHeader, HEADER_BYTES};
use crate::unpack::{Allowance, Unpacked, Use, unpack};

/// What a record says, its contents aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its place in the batch, from 0.
    pub index: i32,
    /// Its offset less the batch's base offset: the same, unless log compaction left gaps, or the producer lies.
    pub offset_delta: i32,
    /// Its timestamp less the batch's base timestamp, in milliseconds.
    pub timestamp_delta: i64,
    /// Whether it has a key.
    pub has_key: bool,
}

impl Seen {
    /// Its timestamp in a batch of that header, in milliseconds.
    #[must_use]
    pub fn timestamp(&self, header: &BatchHeader) -> i64 {
        match header.has_log_append_time() {
            true => header.max_timestamp,
            false => header.base_timestamp.saturating_add(self.timestamp_delta),
        }
    }
}

/// Shows the records of a whole batch one after another, until `see` has seen enough or there are as many as the header
/// says. Then nothing may follow, and what was packed must have come to its end.
///
/// # Errors
/// When the batch is cut short, does not unpack, contradicts itself, or takes more than is allowed.
pub fn walk(
    batch: &[u8],
    header: &BatchHeader,
    allowance: &mut Allowance<'_>,
    see: impl FnMut(Seen) -> ControlFlow<()>,
) -> Result<(), BatchError> {
    open(batch, header, allowance, None, see).map(drop)
}

/// The same, and the records' bytes as they are when unpacked, of which there may be `kept_max`.
///
/// # Errors
/// As [`walk`].
pub fn walk_and_unpack(
    batch: &[u8],
    header: &BatchHeader,
    kept_max: usize,
    allowance: &mut Allowance<'_>,
    see: impl FnMut(Seen) -> ControlFlow<()>,
) -> Result<Vec<u8>, BatchError> {
    open(batch, header, allowance, Some(kept_max), see).map(Option::unwrap_or_default)
}

fn open(
    batch: &[u8],
    header: &BatchHeader,
    allowance: &mut Allowance<'_>,
    kept_max: Option<usize>,
    see: impl FnMut(Seen) -> ControlFlow<()>,
) -> Result<Option<Vec<u8>>, BatchError> {
    let codec = header.codec().ok_or(BatchError::UnknownCodec)?;
    let packed = batch.get(HEADER_BYTES..header.size);
    let packed = packed.ok_or(BatchError::Truncated)?;
    let count = header.record_count;
    unpack(codec, packed, allowance, kept_max, Walk { count, see })
}

struct Walk<F> {
    count: i32,
    see: F,
}

impl<F: FnMut(Seen) -> ControlFlow<()>> Use for Walk<F> {
    type Done = Option<Vec<u8>>;

    fn with<R: BufRead>(
        mut self,
        mut records: Unpacked<'_, '_, R>,
    ) -> Result<Option<Vec<u8>>, BatchError> {
        if self.count < 0 {
            return Err(BatchError::Records("a negative number of records"));
        }
        for index in 0..self.count {
            let seen = record(&mut records, index)?;
            if (self.see)(seen).is_break() {
                return Ok(records.into_kept());
            }
        }
        match records.next()? {
            [] => Ok(records.into_kept()),
            _ => Err(BatchError::Records("bytes follow the last record")),
        }
    }
}

fn record<R: BufRead>(from: &mut Unpacked<'_, '_, R>, index: i32) -> Result<Seen, BatchError> {
    let length = usize::try_from(varint(from)?)
        .map_err(|_| BatchError::Records("a record without a length"))?;
    if length > from.record_bytes_max() {
        return Err(BatchError::Records("a record unpacks into too much"));
    }
    let end = from.taken().saturating_add(length);
    byte(from)?;
    let timestamp_delta = varlong(from)?;
    let offset_delta = varint(from)?;
    let has_key = skip_bytes(from, end)?;
    skip_bytes(from, end)?;
    let headers = varint(from)?;
    if headers < 0 {
        return Err(BatchError::Records("a negative number of headers"));
    }
    for _ in 0..headers {
        if !skip_bytes(from, end)? {
            return Err(BatchError::Records("a header without a name"));
        }
        skip_bytes(from, end)?;
    }
    if from.taken() != end {
        return Err(BatchError::Records(
            "a record's length is not that of what is in it",
        ));
    }
    Ok(Seen {
        index,
        offset_delta,
        timestamp_delta,
        has_key,
    })
}

/// A length and so many bytes; false for -1. None of them may lie behind the record's end.
fn skip_bytes<R: BufRead>(from: &mut Unpacked<'_, '_, R>, end: usize) -> Result<bool, BatchError> {
    let length = varint(from)?;
    if length == -1 {
        return Ok(false);
    }
    let mut left = usize::try_from(length).map_err(|_| BatchError::Records("a negative length"))?;
    if left > end.saturating_sub(from.taken()) {
        return Err(BatchError::Records(
            "a record is shorter than what is in it",
        ));
    }
    while left > 0 {
        let here = from.next()?.len().min(left);
        if here == 0 {
            return Err(BatchError::Truncated);
        }
        from.take(here)?;
        left = left.saturating_sub(here);
    }
    Ok(true)
}

/// Kafka's readers take no longer ones, whatever their value.
const VARINT_BYTES_MAX: u32 = 5;
const VARLONG_BYTES_MAX: u32 = 10;

#[inline]
fn varint<R: BufRead>(from: &mut Unpacked<'_, '_, R>) -> Result<i32, BatchError> {
    let number = number(from, VARINT_BYTES_MAX)?;
    i32::try_from(number).map_err(|_| BatchError::Records("a varint is too large"))
}

#[inline]
fn varlong<R: BufRead>(from: &mut Unpacked<'_, '_, R>) -> Result<i64, BatchError> {
    number(from, VARLONG_BYTES_MAX)
}

/// Zigzag, base 128, little-endian.
#[inline]
fn number<R: BufRead>(from: &mut Unpacked<'_, '_, R>, bytes_max: u32) -> Result<i64, BatchError> {
    // Most take a byte or two, and those lie in one piece.
    let (value, bytes) = match from.next()? {
        [one, ..] if one & 0x80 == 0 => (u64::from(*one), 1),
        [one, two, ..] if two & 0x80 == 0 => (u64::from(one & 0x7f) | u64::from(*two) << 7, 2),
        _ => return long_number(from, bytes_max),
    };
    from.take(bytes)?;
    Ok(zigzag(value))
}

fn long_number<R: BufRead>(
    from: &mut Unpacked<'_, '_, R>,
    bytes_max: u32,
) -> Result<i64, BatchError> {
    let mut value = 0_u64;
    for shift in (0..bytes_max.saturating_mul(7)).step_by(7) {
        let byte = byte(from)?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits.checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(zigzag(value));
        }
    }
    Err(BatchError::Records("a varint runs on"))
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg()
}

#[inline]
fn byte<R: BufRead>(from: &mut Unpacked<'_, '_, R>) -> Result<u8, BatchError> {
    let byte = *from.next()?.first().ok_or(BatchError::Truncated)?;
    from.take(1)?;
    Ok(byte)
}

/// The first record with a timestamp at or after `timestamp`: its offset delta and its timestamp.
///
/// # Errors
/// As [`walk`].
pub fn first_at_or_after(
    batch: &[u8],
    timestamp: i64,
    allowance: &mut Allowance<'_>,
) -> Result<Option<(i32, i64)>, BatchError> {
    let header = BatchHeader::read(batch)?;
    let mut found = None;
    walk(batch, &header, allowance, |seen| {
        let at = seen.timestamp(&header);
        if at < timestamp {
            return ControlFlow::Continue(());
        }
        found = Some((seen.offset_delta, at));
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// The first of the records with the largest timestamp: its offset delta and that timestamp.
///
/// # Errors
/// As [`walk`], and when there is no record.
pub fn first_with_max_timestamp(
    batch: &[u8],
    allowance: &mut Allowance<'_>,
) -> Result<(i32, i64), BatchError> {
    let header = BatchHeader::read(batch)?;
    let mut best: Option<(i32, i64)> = None;
    walk(batch, &header, allowance, |seen| {
        let at = seen.timestamp(&header);
        if best.is_none_or(|(_, largest)| at > largest) {
            best = Some((seen.offset_delta, at));
        }
        ControlFlow::Continue(())
    })?;
    best.ok_or(BatchError::Records("a batch without records"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::compression::{Codec, CompressionError, compress};
    use crate::record_batch::{crc_matches, repack, stamp_log_append_time};
    use crate::records::{BatchOptions, Record, build_batch};

    const MANY: usize = 1 << 24;

    fn packed(codec: Codec, records: &[Record]) -> Bytes {
        let options = BatchOptions {
            codec,
            ..BatchOptions::default()
        };
        build_batch(records, options)
    }

    fn record(offset_delta: i32) -> Record {
        Record {
            offset_delta,
            timestamp_delta: i64::from(offset_delta) * 1000,
            key: (offset_delta % 2 == 0).then(|| Bytes::from_static(b"key")),
            value: Some(vec![7; 50].into()),
            headers: vec![(Bytes::from_static(b"name"), None)],
        }
    }

    /// What is seen of a batch, within an allowance.
    fn seen_of(batch: &[u8], bytes: usize) -> Result<Vec<Seen>, BatchError> {
        let header = BatchHeader::read(batch)?;
        let mut all = Vec::new();
        walk(batch, &header, &mut Allowance::of(bytes), |seen| {
            all.push(seen);
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    /// A batch of that codec whose contents are these bytes.
    fn around(codec: Codec, contents: &[u8], count: usize) -> Bytes {
        let empty = vec![Record::default(); count];
        let plain = packed(Codec::None, &empty);
        repack(&plain, contents, (codec, 1), &|| true).unwrap()
    }

    fn any_records() -> impl Strategy<Value = Vec<Record>> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
        let headers = proptest::collection::vec((bytes(), proptest::option::of(bytes())), 0..4);
        let optional = || proptest::option::of(bytes());
        let record = (
            any::<i32>(),
            -1_000_000_i64..1_000_000,
            optional(),
            optional(),
            headers,
        );
        let record =
            record.prop_map(
                |(offset_delta, timestamp_delta, key, value, headers)| Record {
                    offset_delta,
                    timestamp_delta,
                    key,
                    value,
                    headers,
                },
            );
        proptest::collection::vec(record, 1..50)
    }

    proptest! {
        #[test]
        fn what_is_seen_is_what_is_there(records in any_records()) {
            let plain = packed(Codec::None, &records);
            for codec in Codec::ALL {
                let batch = packed(codec, &records);
                let expected: Vec<_> = (0..).zip(&records).map(|(index, record)| Seen {
                    index,
                    offset_delta: record.offset_delta,
                    timestamp_delta: record.timestamp_delta,
                    has_key: record.key.is_some(),
                }).collect();
                prop_assert_eq!(seen_of(&batch, MANY), Ok(expected));
                let header = BatchHeader::read(&batch).unwrap();
                let bytes = walk_and_unpack(&batch, &header, MANY, &mut Allowance::of(MANY), |_| ControlFlow::Continue(()));
                prop_assert_eq!(bytes.unwrap(), plain.slice(HEADER_BYTES..));
            }
        }

        #[test]
        fn search_by_time_agrees_with_a_look_at_each(records in any_records(), wanted in -1_000_000_i64..1_000_000) {
            let batch = packed(Codec::Zstd, &records);
            let first = records.iter().find(|r| r.timestamp_delta >= wanted);
            let first = first.map(|r| (r.offset_delta, r.timestamp_delta));
            prop_assert_eq!(first_at_or_after(&batch, wanted, &mut Allowance::of(MANY)).unwrap(), first);
            let largest = records.iter().map(|r| r.timestamp_delta).max().unwrap();
            let first = records.iter().find(|r| r.timestamp_delta == largest).unwrap();
            let found = first_with_max_timestamp(&batch, &mut Allowance::of(MANY)).unwrap();
            prop_assert_eq!(found, (first.offset_delta, largest));
        }

        #[test]
        fn damage_is_survived(records in any_records(), position: prop::sample::Index, flip in 1..=255_u8) {
            for codec in Codec::ALL {
                let mut damaged = packed(codec, &records).to_vec();
                let position = position.index(damaged.len());
                damaged[position] ^= flip;
                let _ = seen_of(&damaged, MANY);
            }
        }
    }

    #[test]
    fn every_cut_is_an_error() {
        for codec in Codec::ALL {
            let batch = packed(codec, &[record(0), record(1)]);
            for length in HEADER_BYTES..batch.len() {
                // Cut, and said to be so long.
                let contents = &batch[HEADER_BYTES..length];
                let cut = Bytes::from([&batch[..HEADER_BYTES], contents].concat());
                let mut header = BatchHeader::read(&cut).unwrap();
                header.size = cut.len();
                let walked = walk(&cut, &header, &mut Allowance::of(MANY), |_| {
                    ControlFlow::Continue(())
                });
                assert!(walked.is_err(), "{codec:?} {length}");
            }
        }
    }

    #[test]
    fn what_follows_the_records_is_an_error_and_so_is_a_missing_one() {
        let records = packed(Codec::None, &[record(0), record(1)]).slice(HEADER_BYTES..);
        for codec in Codec::ALL {
            let walked = |contents: &[u8], count| seen_of(&around(codec, contents, count), MANY);
            assert_eq!(walked(&records, 2).unwrap().len(), 2, "{codec:?}");
            assert!(walked(&records, 1).is_err(), "{codec:?}");
            assert_eq!(walked(&records, 3), Err(BatchError::Truncated), "{codec:?}");
            let followed = [&records, &b"x"[..]].concat();
            assert!(walked(&followed, 2).is_err(), "{codec:?}");
            assert_eq!(walked(b"", 1), Err(BatchError::Truncated), "{codec:?}");
            assert!(walked(&[0xff; 40], 2).is_err(), "{codec:?}");
            // A second frame, or anything else, behind the first one.
            let packed = around(codec, &records, 2);
            let garbage = Bytes::from([&packed, &b"garbage"[..]].concat());
            let mut header = BatchHeader::read(&garbage).unwrap();
            header.size = garbage.len();
            let walked = walk(&garbage, &header, &mut Allowance::of(MANY), |_| {
                ControlFlow::Continue(())
            });
            assert!(walked.is_err(), "{codec:?}");
        }
    }

    #[test]
    fn lengths_that_contradict_each_other_are_errors() {
        let one = |record: &[u8]| {
            let length = u8::try_from(record.len() * 2).unwrap();
            seen_of(&around(Codec::None, &[&[length], record].concat(), 1), MANY)
        };
        // Attributes, timestamp, offset, key, value, headers.
        assert!(one(&[0, 0, 0, 1, 1, 0]).is_ok());
        assert!(
            one(&[0, 0, 0, 1, 1, 0, 0]).is_err(),
            "longer than its parts"
        );
        assert!(one(&[0, 0, 0, 1, 2, 0]).is_err(), "a value over the end");
        assert!(one(&[0, 0, 0, 3, 1, 0]).is_err(), "a length of -2");
        assert!(one(&[0, 0, 0, 1, 1, 1]).is_err(), "-1 headers");
        assert!(one(&[0, 0, 0, 1, 1, 2, 1, 1]).is_err(), "no name");
        assert!(one(&[0, 0, 0, 1, 1, 2, 0, 1]).is_ok(), "an empty name");
    }

    #[test]
    fn bombs_stop_at_the_allowance() {
        let bomb = Record {
            value: Some(vec![0; MANY].into()),
            ..Record::default()
        };
        let crowd: Vec<_> = (0..200_000).map(|_| Record::default()).collect();
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let batch = packed(codec, std::slice::from_ref(&bomb));
            assert!(batch.len() < MANY / 10, "{codec:?}");
            assert_eq!(
                seen_of(&batch, 1_000_000),
                Err(BatchError::TooMuch),
                "{codec:?}"
            );
            let batch = packed(codec, &crowd);
            assert_eq!(
                seen_of(&batch, 1_000_000),
                Err(BatchError::TooMuch),
                "{codec:?}"
            );
            assert!(seen_of(&batch, MANY).is_ok(), "{codec:?}");
            let header = BatchHeader::read(&batch).unwrap();
            // All batches of a request together.
            let mut allowance = Allowance::of(2_000_000);
            let mut again = || {
                walk(&batch, &header, &mut allowance, |_| {
                    ControlFlow::Continue(())
                })
            };
            assert_eq!(again(), Ok(()), "{codec:?}");
            assert_eq!(again(), Err(BatchError::TooMuch), "{codec:?}");
            let nobody = || false;
            let mut allowance = Allowance {
                wanted: &nobody,
                ..Allowance::of(MANY)
            };
            let walked = walk(&batch, &header, &mut allowance, |_| {
                ControlFlow::Continue(())
            });
            assert_eq!(walked, Err(BatchError::Unwanted), "{codec:?}");
        }
    }

    #[test]
    fn a_record_may_be_limited_where_it_is_packed() {
        for (codec, fits) in [(Codec::None, true), (Codec::Zstd, false)] {
            let batch = packed(codec, &[record(0)]);
            let header = BatchHeader::read(&batch).unwrap();
            let mut allowance = Allowance {
                record_bytes: 60,
                ..Allowance::of(MANY)
            };
            let walked = walk(&batch, &header, &mut allowance, |_| {
                ControlFlow::Continue(())
            });
            assert_eq!(walked.is_ok(), fits);
        }
    }

    #[test]
    fn what_is_kept_has_a_bound_of_its_own() {
        let go_on = |_: Seen| ControlFlow::Continue(());
        for codec in Codec::ALL {
            let batch = packed(codec, &[record(0)]);
            let header = BatchHeader::read(&batch).unwrap();
            let mut allowance = Allowance::of(MANY);
            let kept = walk_and_unpack(&batch, &header, 60, &mut allowance, go_on);
            assert_eq!(kept, Err(BatchError::TooMuch), "{codec:?}");
            let walked = walk(&batch, &header, &mut allowance, go_on);
            assert_eq!(walked, Ok(()), "{codec:?}");
        }
    }

    #[test]
    fn a_window_of_zstd_is_not_reserved_beyond_the_allowance() {
        // One raw block of one byte, in a frame that claims a window of 2^log bytes.
        let walked = |log: u8, window_bytes| {
            let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 9, 0, 0, b'x'];
            let packed = packed(Codec::Zstd, &[record(0)]);
            let batch = Bytes::from([&packed[..HEADER_BYTES], &frame].concat());
            let mut header = BatchHeader::read(&batch).unwrap();
            header.size = batch.len();
            let mut allowance = Allowance {
                window_bytes,
                ..Allowance::of(MANY)
            };
            walk(&batch, &header, &mut allowance, |_| {
                ControlFlow::Continue(())
            })
        };
        assert_eq!(walked(24, 1 << 23), Err(BatchError::TooMuch));
        assert_eq!(
            walked(24, 1 << 24),
            Err(BatchError::Truncated),
            "it was read"
        );
    }

    #[test]
    fn raw_snappy_is_read_and_its_claims_are_not_believed() {
        let records = packed(Codec::None, &[record(0), record(1)]).slice(HEADER_BYTES..);
        let raw = snap::raw::Encoder::new().compress_vec(&records).unwrap();
        let with = |contents: &[u8]| {
            let batch = around(Codec::Snappy, b"", 2);
            let batch = Bytes::from([&batch[..HEADER_BYTES], contents].concat());
            let mut header = BatchHeader::read(&batch).unwrap();
            header.size = batch.len();
            walk(&batch, &header, &mut Allowance::of(usize::MAX), |_| {
                ControlFlow::Continue(())
            })
        };
        assert_eq!(with(&raw), Ok(()));
        let claims_a_gigabyte = [0x80, 0x80, 0x80, 0x80, 0x04, 0, 0];
        assert!(matches!(
            with(&claims_a_gigabyte),
            Err(BatchError::Compression(CompressionError::Invalid(
                "snappy",
                _
            )))
        ));
    }

    /// A batch of that codec with these packed contents.
    fn sealed(codec: Codec, contents: &[u8], count: usize) -> Result<Vec<Seen>, BatchError> {
        let batch = around(codec, b"", count);
        let mut batch = [&batch[..HEADER_BYTES], contents].concat();
        let length = i32::try_from(batch.len() - 12).unwrap();
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        seen_of(&batch, MANY)
    }

    #[test]
    fn numbers_longer_than_kafka_reads_are_refused() {
        // Length, attributes, timestamp, offset, key, value, headers.
        let five = [0x80, 0x80, 0x80, 0x80, 0];
        let six = [0x80, 0x80, 0x80, 0x80, 0x80, 0];
        let ten = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0];
        let eleven = [&[0x80], &ten[..]].concat();
        let one = |timestamp: &[u8], offset: &[u8]| {
            let record = [&[0], timestamp, offset, &[1, 1, 0]].concat();
            let length = u8::try_from(record.len() * 2).unwrap();
            sealed(Codec::None, &[&[length], &record[..]].concat(), 1)
        };
        assert!(one(&ten, &five).is_ok());
        assert!(one(&[0], &six).is_err());
        assert!(one(&eleven, &[0]).is_err());
        let length = [0x8c, 0x80, 0x80, 0x80, 0x80, 0];
        let record = [0, 0, 0, 1, 1, 0];
        let with = |length: &[u8]| sealed(Codec::None, &[length, &record[..]].concat(), 1);
        assert!(with(&[12]).is_ok());
        assert!(with(&length).is_err());
    }

    #[test]
    fn frames_that_javas_consumer_does_not_read_are_refused() {
        let records = packed(Codec::None, &[record(0), record(1)]).slice(HEADER_BYTES..);
        let lz4 = |mode| {
            let mut info = lz4_flex::frame::FrameInfo::new();
            info.block_mode = mode;
            let mut frame = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            std::io::Write::write_all(&mut frame, &records).unwrap();
            sealed(Codec::Lz4, &frame.finish().unwrap(), 2)
        };
        assert!(lz4(lz4_flex::frame::BlockMode::Independent).is_ok());
        assert!(lz4(lz4_flex::frame::BlockMode::Linked).is_err());
    }

    /// It aborts at an empty first member, and reads the first of several alone.
    #[test]
    fn gzip_that_librdkafka_does_not_read_is_refused() {
        let records = packed(Codec::None, &[record(0), record(1)]).slice(HEADER_BYTES..);
        let (half, rest) = records.split_at(records.len() / 2);
        let of = |members: &[&[u8]]| {
            let members = members
                .iter()
                .map(|bytes| compress(Codec::Gzip, bytes).unwrap());
            sealed(Codec::Gzip, &members.collect::<Vec<_>>().concat(), 2)
        };
        assert!(of(&[&records]).is_ok());
        for members in [[b"", &records[..]], [half, rest], [&records[..], b""]] {
            assert!(of(&members).is_err());
        }
    }

    #[test]
    fn after_log_append_time_every_record_has_the_batchs_time() {
        let batch = packed(Codec::None, &[record(0), record(1)]);
        let stamped = stamp_log_append_time(&batch, 400);
        let largest = |batch| first_with_max_timestamp(batch, &mut Allowance::of(MANY));
        let from = |at| first_at_or_after(&stamped, at, &mut Allowance::of(MANY));
        assert_eq!(largest(&batch), Ok((1, 1000)));
        assert_eq!(largest(&stamped), Ok((0, 400)));
        assert_eq!(from(400), Ok(Some((0, 400))));
        assert_eq!(from(401), Ok(None));
    }

    #[test]
    fn a_batch_packed_again_keeps_its_records() {
        for from in Codec::ALL {
            let batch = packed(from, &[record(0), record(1)]);
            let header = BatchHeader::read(&batch).unwrap();
            let unpacked = walk_and_unpack(&batch, &header, MANY, &mut Allowance::of(MANY), |_| {
                ControlFlow::Continue(())
            });
            for (to, level) in Codec::ALL.into_iter().zip([0, -1, 0, 9, 3]) {
                let unpacked = unpacked.as_ref().unwrap();
                let again = repack(&batch, unpacked, (to, level), &|| true).unwrap();
                let header = BatchHeader::read(&again).unwrap();
                assert_eq!(header.codec(), Some(to));
                assert_eq!(header.size, again.len());
                assert!(crc_matches(&again, &header));
                assert_eq!(seen_of(&again, MANY), seen_of(&batch, MANY));
            }
        }
        assert!(compress(Codec::Zstd, b"").is_ok());
    }
}
