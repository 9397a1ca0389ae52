//! The format of segments; `FORMAT.md` draws it. Encoded by `produce/upload`, blocks decoded by `cache`. A segment knows
//! partitions and bytes, never an offset.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest};
use metadata::{
    BlockCodec, BlockRange, ObjectKey, Offset, PartitionIndex, Timestamp, TopicId, TopicPartition,
    planted,
};
use zstd::bulk::Compressor;

/// The last character of both magics is the version.
const HEADER: &[u8; 8] = b"PSTKSEG1";
const TRAILER: &[u8; 8] = b"PSTKEND1";
/// Footer position, footer length, checksum of these and the footer, magic.
pub const TRAILER_BYTES: usize = 8 + 4 + 4 + 8;
const ENTRY_BYTES: usize = 64;
/// In front of the receipts: version, length.
const RECEIPTS_HEADER_BYTES: usize = 4 + 4;
/// Of the receipts. Those of another version are skipped.
const RECEIPTS_VERSION: u32 = 1;
/// A receipt without its outcomes: object, how many follow.
const RECEIPT_BYTES: usize = 16 + 4;
/// What a batch's outcome takes.
const OUTCOME_BYTES: usize = 8;
/// In front of each block.
const CHECKSUM_BYTES: usize = 4;
/// No block unpacks into more: a batch is at most this, and only a lone batch makes a block larger than 1 MiB.
pub(crate) const RAW_BYTES_MAX: u32 = 110 * 1024 * 1024;
/// A block is stored packed if that saves at least one part in so many.
const WORTH_ONE_IN: usize = 8;

/// Whether blocks are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Off,
    /// With that level.
    Zstd(i32),
}

/// Record batches of one partition, to be stored together.
#[derive(Clone, Debug)]
pub struct BlockInput {
    pub partition: TopicPartition,
    /// Whole batches in order.
    pub batches: Vec<Bytes>,
    pub record_count: u32,
    pub min_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
    /// The producer packed them, so packing them again would not pay.
    pub compressed: bool,
}

/// What became of an earlier segment of the same agent, so that the order of records can be found from the bucket alone
/// should the metadata be lost (architecture, section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub object: ObjectKey,
    /// One for each of its batches, in the order of its blocks.
    pub outcomes: Vec<ReceiptOutcome>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptOutcome {
    /// It is part of its partition, from that offset on; never negative.
    Placed(Offset),
    /// It was there already; its bytes are dead.
    Duplicate,
    /// It was refused; its bytes are dead.
    Refused,
}

impl Receipt {
    /// Bytes of a footer that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        RECEIPT_BYTES + self.outcomes.len() * OUTCOME_BYTES
    }
}

/// A segment ready to be stored.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The object's bytes; blocks stored as they are were not copied.
    pub payload: Vec<Bytes>,
    /// Bytes of the object.
    pub size: u64,
    /// Where each block lies, in the order given.
    pub ranges: Vec<BlockRange>,
}

/// What a footer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Of all blocks, in their order.
    pub blocks: Vec<FooterEntry>,
    /// None where they are of another version.
    pub receipts: Vec<Receipt>,
}

/// What the footer says of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FooterEntry {
    pub partition: TopicPartition,
    pub range: BlockRange,
    pub batch_count: u32,
    pub record_count: u32,
    pub min_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
}

/// Stored bytes that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    #[error("a segment is cut short")]
    Truncated,
    #[error("a segment does not match its checksum")]
    Checksum,
    #[error("a block is not the one that was committed")]
    NotCommitted,
    #[error("a block is damaged, or of another partition")]
    Block,
    #[error("not a segment of this format")]
    Format,
    #[error("a block does not unpack: {0}")]
    Unpack(String),
}

/// Lays blocks out one after the other, in the order given: by topic and partition, as the footer promises. CPU work of
/// some milliseconds; run it off the runtime.
#[must_use]
pub fn encode(blocks: &[BlockInput], receipts: &[Receipt], compression: Compression) -> Encoded {
    let mut payload = vec![Bytes::from_static(HEADER)];
    let mut position = HEADER.len();
    let mut ranges = Vec::with_capacity(blocks.len());
    let mut packer = packer(compression);
    for block in blocks {
        let (codec, slices) = pack(block, packer.as_mut());
        let checksum = block_checksum(block.partition, slices.iter().map(|slice| &slice[..]));
        let stored = CHECKSUM_BYTES + slices.iter().map(Bytes::len).sum::<usize>();
        ranges.push(BlockRange {
            position: length(position),
            stored_length: length(stored),
            raw_length: length(block.batches.iter().map(Bytes::len).sum()),
            codec,
            checksum,
        });
        payload.push(Bytes::copy_from_slice(&checksum.to_be_bytes()));
        payload.extend(slices);
        position += stored;
    }
    let end = footer(blocks, &ranges, receipts, position);
    let size = (position + end.len()) as u64;
    payload.push(end);
    Encoded {
        payload,
        size,
        ranges,
    }
}

/// One for all blocks: its tables are large, and most blocks small.
fn packer(compression: Compression) -> Option<Compressor<'static>> {
    match compression {
        Compression::Off => None,
        Compression::Zstd(level) => Compressor::new(level)
            .inspect_err(|error| tracing::warn!(%error, "blocks are stored without compression"))
            .ok(),
    }
}

fn pack(block: &BlockInput, packer: Option<&mut Compressor<'_>>) -> (BlockCodec, Vec<Bytes>) {
    let raw = || (BlockCodec::Raw, block.batches.clone());
    let Some(packer) = packer.filter(|_| !block.compressed) else {
        return raw();
    };
    let whole = block.batches.concat();
    match packer.compress(&whole) {
        Ok(packed) if pays(packed.len(), whole.len()) => (BlockCodec::Zstd, vec![packed.into()]),
        _ => raw(),
    }
}

fn pays(packed: usize, whole: usize) -> bool {
    packed <= whole - whole.div_ceil(WORTH_ONE_IN)
}

fn footer(
    blocks: &[BlockInput],
    ranges: &[BlockRange],
    receipts: &[Receipt],
    position: usize,
) -> Bytes {
    let receipt_bytes = 4 + receipts.iter().map(Receipt::bytes).sum::<usize>();
    let footer_bytes = 4 + blocks.len() * ENTRY_BYTES + RECEIPTS_HEADER_BYTES + receipt_bytes;
    let mut end = BytesMut::with_capacity(footer_bytes + TRAILER_BYTES);
    end.put_u32(length(blocks.len()));
    for (block, range) in blocks.iter().zip(ranges) {
        end.put_u128(block.partition.topic.0);
        end.put_u32(block.partition.partition.0.unsigned_abs());
        end.put_u32(range.position);
        end.put_u32(range.stored_length);
        end.put_u32(range.raw_length);
        end.put_u32(match range.codec {
            BlockCodec::Raw => 0,
            BlockCodec::Zstd => 1,
        });
        end.put_u32(range.checksum);
        end.put_u32(length(block.batches.len()));
        end.put_u32(block.record_count);
        end.put_i64(block.min_timestamp.0);
        end.put_i64(block.max_timestamp.0);
    }
    end.put_u32(RECEIPTS_VERSION);
    end.put_u32(length(receipt_bytes));
    end.put_u32(length(receipts.len()));
    for receipt in receipts {
        put_receipt(receipt, &mut end);
    }
    end.put_u64(position as u64);
    end.put_u32(length(footer_bytes));
    let sum = checksum(&end);
    end.put_u32(sum);
    end.put_slice(TRAILER);
    end.freeze()
}

fn put_receipt(receipt: &Receipt, end: &mut BytesMut) {
    end.put_u128(receipt.object.0);
    end.put_u32(length(receipt.outcomes.len()));
    for outcome in &receipt.outcomes {
        end.put_i64(match outcome {
            ReceiptOutcome::Placed(offset) => offset.0,
            ReceiptOutcome::Duplicate => -1,
            ReceiptOutcome::Refused => -2,
        });
    }
}

/// A length inside a segment. The buffer seals at some MiB and a frame has at most 100 MiB.
fn length(value: usize) -> u32 {
    u32::try_from(value).expect("a segment is smaller than 4 GiB")
}

/// CRC-32C.
fn checksum(bytes: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(bytes);
    finished(&digest)
}

fn finished(digest: &Digest) -> u32 {
    u32::try_from(digest.finalize()).expect("a 32-bit checksum")
}

/// CRC-32C of a block's payload and of whose it is, so that another partition's bytes are no block of this one.
fn block_checksum<'a>(owner: TopicPartition, payload: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&owner.topic.0.to_be_bytes());
    digest.update(&owner.partition.0.to_be_bytes());
    payload.into_iter().for_each(|slice| digest.update(slice));
    finished(&digest)
}

/// The record batches of a block of that partition, as committed: `range` is the metadata's word.
///
/// # Errors
/// When the bytes are not those that were written for that partition.
pub fn decode_block(
    stored: Bytes,
    range: &BlockRange,
    owner: TopicPartition,
) -> Result<Bytes, SegmentError> {
    let mut payload = stored;
    if payload.len() != range.stored_length as usize {
        return Err(SegmentError::Truncated);
    }
    if range.raw_length > RAW_BYTES_MAX {
        return Err(SegmentError::Format);
    }
    let written = payload.try_get_u32().map_err(|_| SegmentError::Truncated)?;
    let found = block_checksum(owner, [&payload[..]]);
    let said = (written, range.checksum);
    planted!(let said = "damaged-block-served" => {
        let _ = said;
        (found, found)
    });
    let (written, committed) = said;
    if written != committed {
        return Err(SegmentError::NotCommitted);
    }
    if found != committed {
        return Err(SegmentError::Block);
    }
    let raw_length = range.raw_length as usize;
    let raw = match range.codec {
        BlockCodec::Raw => payload,
        BlockCodec::Zstd => zstd::bulk::decompress(&payload, raw_length)
            .map_err(|error| SegmentError::Unpack(error.to_string()))?
            .into(),
    };
    if raw.len() == raw_length {
        Ok(raw)
    } else {
        Err(SegmentError::Truncated)
    }
}

/// Where the footer begins, by an object's last [`TRAILER_BYTES`]: its position and length.
///
/// # Errors
/// When that is not the end of a segment.
pub fn decode_trailer(trailer: &[u8]) -> Result<(u64, u32), SegmentError> {
    let mut trailer: &[u8] = trailer
        .last_chunk::<TRAILER_BYTES>()
        .ok_or(SegmentError::Truncated)?;
    let (position, footer_length) = (trailer.get_u64(), trailer.get_u32());
    trailer.advance(4);
    if trailer == TRAILER {
        Ok((position, footer_length))
    } else {
        Err(SegmentError::Format)
    }
}

/// What a segment says of itself, by its last bytes: the footer and the trailer, whatever lies before them.
///
/// # Errors
/// When they are not those that were written.
pub fn decode_footer(end: &[u8]) -> Result<Footer, SegmentError> {
    let (position, footer_length) = decode_trailer(end)?;
    let start = end
        .len()
        .checked_sub(TRAILER_BYTES)
        .and_then(|trailer| trailer.checked_sub(footer_length as usize))
        .ok_or(SegmentError::Truncated)?;
    // Magic and checksum come last, in front of them all that the checksum covers.
    let (covered, mut sum) = end[start..].split_at(footer_length as usize + 12);
    if sum.get_u32() != checksum(covered) {
        return Err(SegmentError::Checksum);
    }
    let mut footer = &covered[..footer_length as usize];
    let count = footer.try_get_u32().map_err(|_| SegmentError::Truncated)?;
    let entries = (count as usize)
        .checked_mul(ENTRY_BYTES)
        .and_then(|bytes| footer.split_at_checked(bytes));
    let (entries, receipts) = entries.ok_or(SegmentError::Format)?;
    let blocks: Vec<FooterEntry> = entries
        .chunks_exact(ENTRY_BYTES)
        .map(entry)
        .collect::<Result<_, _>>()?;
    if !blocks
        .iter()
        .all(|entry| lies_before(position, entry.range))
    {
        return Err(SegmentError::Format);
    }
    let receipts = decode_receipts(receipts)?;
    Ok(Footer { blocks, receipts })
}

fn decode_receipts(mut bytes: &[u8]) -> Result<Vec<Receipt>, SegmentError> {
    let mut number = || bytes.try_get_u32().map_err(|_| SegmentError::Format);
    let (version, length) = (number()?, number()?);
    if bytes.len() != length as usize {
        return Err(SegmentError::Format);
    }
    if version != RECEIPTS_VERSION {
        return Ok(Vec::new());
    }
    let count = bytes.try_get_u32().map_err(|_| SegmentError::Format)?;
    let mut receipts = Vec::new();
    for _ in 0..count {
        receipts.push(receipt(&mut bytes)?);
    }
    if bytes.is_empty() {
        Ok(receipts)
    } else {
        Err(SegmentError::Format)
    }
}

fn receipt(bytes: &mut &[u8]) -> Result<Receipt, SegmentError> {
    let object = ObjectKey(bytes.try_get_u128().map_err(|_| SegmentError::Format)?);
    let count = bytes.try_get_u32().map_err(|_| SegmentError::Format)?;
    let outcomes = (count as usize)
        .checked_mul(OUTCOME_BYTES)
        .and_then(|length| bytes.split_at_checked(length));
    let (outcomes, rest) = outcomes.ok_or(SegmentError::Format)?;
    *bytes = rest;
    let outcome = |mut bytes: &[u8]| match bytes.get_i64() {
        offset @ 0.. => Ok(ReceiptOutcome::Placed(Offset(offset))),
        -1 => Ok(ReceiptOutcome::Duplicate),
        -2 => Ok(ReceiptOutcome::Refused),
        _ => Err(SegmentError::Format),
    };
    let outcomes = outcomes.chunks_exact(OUTCOME_BYTES).map(outcome);
    Ok(Receipt {
        object,
        outcomes: outcomes.collect::<Result<_, _>>()?,
    })
}

fn lies_before(position: u64, range: BlockRange) -> bool {
    range.position as usize >= HEADER.len()
        && u64::from(range.position) + u64::from(range.stored_length) <= position
}

fn entry(mut bytes: &[u8]) -> Result<FooterEntry, SegmentError> {
    let topic = TopicId(bytes.get_u128());
    let partition = i32::try_from(bytes.get_u32()).map_err(|_| SegmentError::Format)?;
    let range = BlockRange {
        position: bytes.get_u32(),
        stored_length: bytes.get_u32(),
        raw_length: bytes.get_u32(),
        codec: match bytes.get_u32() {
            0 => BlockCodec::Raw,
            1 => BlockCodec::Zstd,
            _ => return Err(SegmentError::Format),
        },
        checksum: bytes.get_u32(),
    };
    Ok(FooterEntry {
        partition: TopicPartition {
            topic,
            partition: PartitionIndex(partition),
        },
        range,
        batch_count: bytes.get_u32(),
        record_count: bytes.get_u32(),
        min_timestamp: Timestamp(bytes.get_i64()),
        max_timestamp: Timestamp(bytes.get_i64()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(partition: i32, batches: Vec<Vec<u8>>, compressed: bool) -> BlockInput {
        BlockInput {
            partition: TopicPartition {
                topic: TopicId(0x1234),
                partition: PartitionIndex(partition),
            },
            record_count: u32::try_from(batches.len()).unwrap() * 3,
            batches: batches.into_iter().map(Bytes::from).collect(),
            min_timestamp: Timestamp(-1),
            max_timestamp: Timestamp(1_700_000_000_000),
            compressed,
        }
    }

    fn any_blocks() -> impl Strategy<Value = Vec<BlockInput>> {
        let batch =
            (any::<u8>(), 1..2000_usize, any::<bool>()).prop_map(|(byte, length, plain)| {
                let noise =
                    |index: usize| (index.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()[0];
                (0..length)
                    .map(|index| if plain { byte } else { byte ^ noise(index) })
                    .collect()
            });
        let batches = proptest::collection::vec(batch, 1..5);
        let block = (0..50, batches, any::<bool>()).prop_map(|(p, b, c)| block(p, b, c));
        proptest::collection::vec(block, 1..8)
    }

    fn any_receipts() -> impl Strategy<Value = Vec<Receipt>> {
        let outcome = (-2..i64::MAX).prop_map(|outcome| match outcome {
            -1 => ReceiptOutcome::Duplicate,
            -2 => ReceiptOutcome::Refused,
            offset => ReceiptOutcome::Placed(Offset(offset)),
        });
        let outcomes = proptest::collection::vec(outcome, 0..5);
        let receipt = (any::<u128>(), outcomes).prop_map(|(object, outcomes)| Receipt {
            object: ObjectKey(object),
            outcomes,
        });
        proptest::collection::vec(receipt, 0..4)
    }

    proptest! {
        #[test]
        fn blocks_come_back_and_the_footer_knows_them(
            blocks in any_blocks(),
            receipts in any_receipts(),
            zstd: bool,
        ) {
            let compression = if zstd { Compression::Zstd(1) } else { Compression::Off };
            let encoded = encode(&blocks, &receipts, compression);
            let object = Bytes::from(encoded.payload.concat());
            prop_assert_eq!(object.len() as u64, encoded.size);
            let footer = decode_footer(&object).unwrap();
            prop_assert_eq!(footer.receipts, receipts);
            let entries = footer.blocks;
            prop_assert_eq!(entries.len(), blocks.len());
            for ((block, range), entry) in blocks.iter().zip(&encoded.ranges).zip(entries) {
                let start = range.position as usize;
                let stored = object.slice(start..start + range.stored_length as usize);
                let raw = decode_block(stored, range, block.partition).unwrap();
                prop_assert_eq!(raw.to_vec(), block.batches.concat());
                prop_assert_eq!(entry.range, *range);
                prop_assert_eq!(entry.partition, block.partition);
                prop_assert_eq!(entry.record_count, block.record_count);
                prop_assert!(!block.compressed || range.codec == BlockCodec::Raw);
            }
        }

        #[test]
        fn damage_is_noticed(
            blocks in any_blocks(),
            receipts in any_receipts(),
            at: prop::sample::Index,
            flip in 1..=255_u8,
        ) {
            let encoded = encode(&blocks, &receipts, Compression::Zstd(1));
            let mut object = encoded.payload.concat();
            let at = at.index(object.len());
            object[at] ^= flip;
            let object = Bytes::from(object);
            let last = encoded.ranges.last().unwrap();
            let footer_start = (last.position + last.stored_length) as usize;
            prop_assert_eq!(decode_footer(&object).is_err(), at >= footer_start);
            let all = blocks.iter().zip(&encoded.ranges);
            for (block, range) in all.filter(|_| at < footer_start) {
                let place = range.position as usize..(range.position + range.stored_length) as usize;
                let read = decode_block(object.slice(place.clone()), range, block.partition);
                prop_assert_eq!(read.is_err(), place.contains(&at));
            }
        }

        #[test]
        fn no_block_is_read_as_another_one(blocks in any_blocks(), zstd: bool) {
            let compression = if zstd { Compression::Zstd(1) } else { Compression::Off };
            let encoded = encode(&blocks, &[], compression);
            let object = Bytes::from(encoded.payload.concat());
            let stored = |range: &BlockRange| {
                let start = range.position as usize;
                object.slice(start..start + range.stored_length as usize)
            };
            for (block, range) in blocks.iter().zip(&encoded.ranges) {
                for (other, elsewhere) in blocks.iter().zip(&encoded.ranges) {
                    // Whatever the metadata's word is, and whosever bytes lie there.
                    for said in [range, elsewhere] {
                        let lengths = BlockRange {
                            checksum: said.checksum,
                            ..*elsewhere
                        };
                        let read = decode_block(stored(elsewhere), &lengths, block.partition);
                        let same = other.partition == block.partition
                            && said.checksum == elsewhere.checksum;
                        prop_assert_eq!(read.is_ok(), same);
                    }
                }
            }
        }
    }

    #[test]
    fn receipts_of_another_version_are_skipped_and_damaged_ones_refused() {
        let receipts = |version: u32, content: &[u8]| {
            let mut bytes = version.to_be_bytes().to_vec();
            bytes.put_u32(length(content.len()));
            bytes.put_slice(content);
            decode_receipts(&bytes)
        };
        assert_eq!(receipts(2, b"whatever"), Ok(Vec::new()));
        assert_eq!(receipts(1, &[0; 4]), Ok(Vec::new()));
        assert_eq!(decode_receipts(&[0; 7]), Err(SegmentError::Format));
        // One is said to be there and is not; one that has more outcomes than bytes; an outcome that is none.
        let claims = [0, 0, 0, 1];
        let many = [&claims[..], &[0; 16], &[0xff; 4]].concat();
        let none = [&claims[..], &[0; 16], &claims, &(-3_i64).to_be_bytes()].concat();
        for damaged in [&claims[..], &many, &none, &[0; 5]] {
            assert_eq!(receipts(1, damaged), Err(SegmentError::Format));
        }
    }

    /// What the golden files say of earlier segments.
    fn golden_receipts() -> [Receipt; 2] {
        [
            Receipt {
                object: ObjectKey(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
                outcomes: vec![
                    ReceiptOutcome::Placed(Offset(0)),
                    ReceiptOutcome::Placed(Offset(i64::MAX)),
                    ReceiptOutcome::Duplicate,
                    ReceiptOutcome::Refused,
                ],
            },
            Receipt {
                object: ObjectKey(u128::MAX),
                outcomes: Vec::new(),
            },
        ]
    }

    /// What the golden files hold: packed, left alone by the producer's choice, not worth packing.
    fn golden_blocks() -> [BlockInput; 3] {
        [
            block(0, vec![vec![7; 300], vec![8; 200]], false),
            block(1, vec![b"packed by the producer".to_vec()], true),
            block(i32::MAX, vec![(0..=255).collect(), vec![1, 2, 3]], false),
        ]
    }

    const GOLDEN: [(&str, Compression); 2] = [
        ("segment-1-zstd.bin", Compression::Zstd(1)),
        ("segment-1-off.bin", Compression::Off),
    ];

    fn golden_path(name: &str) -> String {
        format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn what_is_written_is_what_was_always_written() {
        for (name, compression) in GOLDEN {
            let encoded = encode(&golden_blocks(), &golden_receipts(), compression);
            let written = encoded.payload.concat();
            assert!(
                written == std::fs::read(golden_path(name)).unwrap(),
                "{name}"
            );
        }
    }

    #[test]
    fn what_was_written_can_be_read() {
        for (name, codec) in GOLDEN.map(|(name, compression)| match compression {
            Compression::Off => (name, BlockCodec::Raw),
            Compression::Zstd(_) => (name, BlockCodec::Zstd),
        }) {
            let object = Bytes::from(std::fs::read(golden_path(name)).unwrap());
            let footer = decode_footer(&object).unwrap();
            assert_eq!(footer.receipts, golden_receipts());
            let entries = footer.blocks;
            assert_eq!(entries.len(), 3, "{name}");
            let codecs: Vec<_> = entries.iter().map(|entry| entry.range.codec).collect();
            assert_eq!(codecs, [codec, BlockCodec::Raw, BlockCodec::Raw], "{name}");
            for (block, entry) in golden_blocks().iter().zip(&entries) {
                let start = entry.range.position as usize;
                let stored = object.slice(start..start + entry.range.stored_length as usize);
                let raw = decode_block(stored, &entry.range, block.partition).unwrap();
                assert_eq!(raw, block.batches.concat(), "{name}");
                assert_eq!(entry.partition, block.partition);
                assert_eq!(entry.batch_count as usize, block.batches.len());
                assert_eq!(entry.record_count, block.record_count);
                assert_eq!(entry.min_timestamp, block.min_timestamp);
                assert_eq!(entry.max_timestamp, block.max_timestamp);
            }
        }
    }

    #[test]
    fn raw_blocks_are_not_copied() {
        let blocks = golden_blocks();
        let encoded = encode(&blocks, &[], Compression::Zstd(1));
        let sent: Vec<_> = encoded.payload.iter().map(|slice| slice.as_ptr()).collect();
        let copied = |batch: &Bytes| !sent.contains(&batch.as_ptr());
        assert!(blocks[0].batches.iter().all(copied));
        assert!(!blocks[1].batches.iter().any(copied));
        assert!(!blocks[2].batches.iter().any(copied));
    }

    #[test]
    fn a_block_does_not_unpack_into_more_than_was_said() {
        let encoded = encode(&golden_blocks(), &[], Compression::Zstd(1));
        let object = Bytes::from(encoded.payload.concat());
        let range = encoded.ranges[0];
        let start = range.position as usize;
        let stored = object.slice(start..start + range.stored_length as usize);
        for raw_length in [0, 499, 501, RAW_BYTES_MAX + 1, u32::MAX] {
            let said = BlockRange {
                raw_length,
                ..range
            };
            let owner = golden_blocks()[0].partition;
            assert!(
                decode_block(stored.clone(), &said, owner).is_err(),
                "{raw_length}"
            );
        }
        let owner = golden_blocks()[0].partition;
        assert_eq!(decode_block(stored, &range, owner).unwrap().len(), 500);
    }

    #[test]
    fn packing_must_save_an_eighth() {
        // An exact eighth is enough, one byte less is not; and of nothing, nothing is saved.
        assert!(pays(700, 800) && !pays(701, 800) && !pays(7, 7));
        let empty = encode(&[block(0, vec![], false)], &[], Compression::Zstd(1));
        assert_eq!(empty.ranges[0].codec, BlockCodec::Raw);
        assert!(
            decode_footer(&empty.payload.concat()).unwrap().blocks[0]
                .range
                .raw_length
                == 0
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_not_trusted(bytes: Vec<u8>, length: u32, position: u64) {
            prop_assert!(decode_footer(&bytes).is_err());
            // With a trailer that claims anything.
            let mut end = bytes;
            end.put_u64(position);
            end.put_u32(length);
            end.put_u32(0);
            end.put_slice(TRAILER);
            prop_assert!(decode_footer(&end).is_err());
        }
    }

    /// Makes the golden files anew, for a new version of the format only.
    #[test]
    #[ignore = "writes the files that the tests above read"]
    fn write_golden_files() {
        for (name, compression) in GOLDEN {
            let encoded = encode(&golden_blocks(), &golden_receipts(), compression);
            let bytes = encoded.payload.concat();
            std::fs::write(golden_path(name), bytes).unwrap();
        }
    }
}
