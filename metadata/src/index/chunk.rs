//! Rows of extents, each told by how it differs from the one before: in the ordinary case some 18 bytes, 4 of them the
//! block's checksum. Base offsets follow from spans, so a row has no room for a hole. Objects are named by their agent's
//! prefix, which a row spells out once, and the difference to the number last used with it.
//!
//! A row: version, flags, base offset, extents, and the checksum of it all and its key. An extent: a byte of flags and kind,
//! span, record count unless it is the span, difference of timestamps, then by kind. Numbers are of variable length.

use std::collections::HashMap;

use bytes::Bytes;

use super::{Place, row_bytes};
use crate::codec::{Decoder, Encoder, Unreadable};
use crate::types::{
    BlockCodec, BlockRange, Content, Extent, ExtentFlags, Marker, ObjectKey, Offset, ProducerEpoch,
    ProducerId, Stored, Timestamp,
};

const VERSION: u8 = 1;
/// An extent never takes more: a byte, and 10 or fewer for each of its numbers.
const EXTENT_BYTES_MAX: usize = 96;

/// The row was the partition's first when it was written: nothing sums it up yet.
const FIRST: u8 = 1;

const DENSE: u8 = 1;
const WHOLE: u8 = 1 << 1;
const ZSTD_OR_COMMITTED: u8 = 1 << 2;
const KIND_SHIFT: u8 = 3;
const OFFSETS_IN_BYTES: u8 = 1 << 5;
const TRANSACTIONAL: u8 = 1 << 6;
const CONTROL: u8 = 1 << 7;

/// A row of extents, at least one, without a gap between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// See [`FIRST`].
    pub(crate) first: bool,
    pub(crate) extents: Vec<Extent>,
}

impl Chunk {
    pub(crate) fn base(&self) -> Offset {
        self.extents
            .first()
            .map_or(Offset(0), |first| first.base_offset)
    }

    /// One past the last offset.
    pub(crate) fn end(&self) -> Offset {
        self.extents.last().map_or(Offset(0), Extent::end_offset)
    }

    /// The row under that key.
    pub(crate) fn encode(&self, key: &[u8]) -> Bytes {
        let mut row = Encoder::versioned(VERSION);
        row.u8(if self.first { FIRST } else { 0 });
        row.i64(self.base().0);
        let mut before = Before::default();
        for extent in &self.extents {
            before.encode(extent, &mut row);
        }
        row.sealed(key)
    }

    pub(crate) fn decode(key: &[u8], row: Bytes) -> Result<Self, Unreadable> {
        let mut row = Decoder::versioned(key, row, VERSION)?;
        let first = match row.u8()? {
            0 => false,
            FIRST => true,
            _ => return Err(Unreadable),
        };
        let mut next = row.i64()?;
        if next < 0 {
            return Err(Unreadable);
        }
        let mut before = Before::default();
        let mut extents = Vec::new();
        while !row.is_empty() {
            let extent = before.decode(Offset(next), &mut row)?;
            next = next
                .checked_add(extent.offset_span.into())
                .ok_or(Unreadable)?;
            extents.push(extent);
        }
        match extents.is_empty() {
            true => Err(Unreadable),
            false => Ok(Self { first, extents }),
        }
    }

    /// The row that must end where its key says.
    pub(crate) fn at(place: Place, key: &[u8], row: Bytes) -> Result<Self, Unreadable> {
        let chunk = Self::decode(key, row)?;
        match place.key(0, chunk.end()) == key {
            true => Ok(chunk),
            false => Err(Unreadable),
        }
    }

    /// Whether a row is the partition's first, without reading the rest of it. Of one that is damaged nobody knows.
    pub(super) fn is_first(key: &[u8], row: &Bytes) -> bool {
        row.get(1) == Some(&FIRST) && Decoder::sealed(key, row.clone()).is_ok()
    }

    /// Whether another extent may go into the row.
    pub(super) fn has_room(bytes: usize) -> bool {
        bytes + EXTENT_BYTES_MAX <= row_bytes()
    }
}

/// Cuts extents into rows, after those of `open`, the partition's last row if it has room.
pub(super) fn cut(open: Option<Chunk>, first: bool, extents: &[Extent]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut current = open.unwrap_or(Chunk {
        first,
        extents: Vec::new(),
    });
    let mut row = Encoder::default();
    let mut before = Before::default();
    for extent in &current.extents {
        before.encode(extent, &mut row);
    }
    for extent in extents {
        // Version, flags and base offset lie in front of them, and the seal behind.
        if !Chunk::has_room(16 + row.len()) && !current.extents.is_empty() {
            let next = Chunk {
                first: false,
                extents: Vec::new(),
            };
            chunks.push(std::mem::replace(&mut current, next));
            (row, before) = (Encoder::default(), Before::default());
        }
        before.encode(extent, &mut row);
        current.extents.push(*extent);
    }
    chunks.push(current);
    chunks
}

/// What the next extent of a row is told by.
#[derive(Default)]
struct Before {
    timestamp: i64,
    /// The prefixes of objects' names so far, and the number last used with each.
    prefixes: HashMap<u128, usize>,
    names: Vec<(u128, u32)>,
}

/// A name's prefix and number.
fn split(object: ObjectKey) -> (u128, u32) {
    let [.., a, b, c, d] = object.0.to_be_bytes();
    (object.0 >> 32, u32::from_be_bytes([a, b, c, d]))
}

impl Before {
    fn encode(&mut self, extent: &Extent, row: &mut Encoder) {
        row.u8(head(extent));
        row.u32(extent.offset_span);
        if extent.record_count != extent.offset_span {
            row.u32(extent.record_count);
        }
        row.i64(extent.max_timestamp.0.wrapping_sub(self.timestamp));
        self.timestamp = extent.max_timestamp.0;
        match &extent.content {
            Content::Stored(stored) => self.encode_stored(stored, row),
            Content::Marker(marker) => {
                row.i64(marker.producer.0);
                row.i64(marker.epoch.0.into());
            }
            Content::Compacted | Content::Lost => {}
        }
    }

    fn encode_stored(&mut self, stored: &Stored, row: &mut Encoder) {
        self.encode_name(stored.object, row);
        let block = &stored.block;
        row.u32(block.position);
        row.u32(block.stored_length);
        row.i64(i64::from(block.raw_length) - i64::from(block.stored_length));
        row.bytes(&block.checksum.to_be_bytes());
        if !is_whole(stored) {
            row.u32(stored.raw_start);
            row.u32(stored.raw_length);
        }
    }

    fn encode_name(&mut self, object: ObjectKey, row: &mut Encoder) {
        let (prefix, number) = split(object);
        let next = self.names.len();
        let slot = *self.prefixes.entry(prefix).or_insert(next);
        row.u64(slot as u64);
        if slot == next {
            row.bytes(&prefix.to_be_bytes()[4..]);
            self.names.push((prefix, 0));
        }
        let last = &mut self.names[slot].1;
        row.i64(i64::from(number) - i64::from(*last));
        *last = number;
    }

    fn decode(&mut self, base_offset: Offset, row: &mut Decoder) -> Result<Extent, Unreadable> {
        let head = row.u8()?;
        let has = |flag| head & flag != 0;
        let offset_span = row.u32()?;
        let record_count = match has(DENSE) {
            true => offset_span,
            false => row.u32()?,
        };
        if offset_span == 0 || record_count > offset_span {
            return Err(Unreadable);
        }
        self.timestamp = self.timestamp.wrapping_add(row.i64()?);
        let content = match (head >> KIND_SHIFT) & 3 {
            0 => Content::Stored(self.decode_stored(head, row)?),
            1 => Content::Marker(Marker {
                producer: ProducerId(row.i64()?),
                epoch: ProducerEpoch(row.i16()?),
                committed: has(ZSTD_OR_COMMITTED),
            }),
            2 => Content::Compacted,
            _ => Content::Lost,
        };
        Ok(Extent {
            base_offset,
            offset_span,
            record_count,
            max_timestamp: Timestamp(self.timestamp),
            flags: ExtentFlags {
                offsets_in_bytes: has(OFFSETS_IN_BYTES),
                transactional: has(TRANSACTIONAL),
                control: has(CONTROL),
            },
            content,
        })
    }

    fn decode_stored(&mut self, head: u8, row: &mut Decoder) -> Result<Stored, Unreadable> {
        let object = self.decode_name(row)?;
        let (position, stored_length) = (row.u32()?, row.u32()?);
        let raw = i64::from(stored_length).checked_add(row.i64()?);
        let raw = raw.and_then(|raw| u32::try_from(raw).ok());
        let block = BlockRange {
            position,
            stored_length,
            raw_length: raw.ok_or(Unreadable)?,
            codec: match head & ZSTD_OR_COMMITTED {
                0 => BlockCodec::Raw,
                _ => BlockCodec::Zstd,
            },
            checksum: row.fixed_u32()?,
        };
        let (raw_start, raw_length) = match head & WHOLE {
            0 => (row.u32()?, row.u32()?),
            _ => (0, block.raw_length),
        };
        let end = raw_start.checked_add(raw_length).ok_or(Unreadable)?;
        if end > block.raw_length {
            return Err(Unreadable);
        }
        Ok(Stored {
            object,
            block,
            raw_start,
            raw_length,
        })
    }

    fn decode_name(&mut self, row: &mut Decoder) -> Result<ObjectKey, Unreadable> {
        let slot = usize::try_from(row.u64()?).map_err(|_| Unreadable)?;
        if slot == self.names.len() {
            let high = u128::from(row.fixed_u64()?);
            let prefix = (high << 32) | u128::from(row.fixed_u32()?);
            self.names.push((prefix, 0));
        }
        let (prefix, last) = self.names.get_mut(slot).ok_or(Unreadable)?;
        let number = i64::from(*last).checked_add(row.i64()?);
        let number = number.and_then(|number| u32::try_from(number).ok());
        *last = number.ok_or(Unreadable)?;
        Ok(ObjectKey((*prefix << 32) | u128::from(*last)))
    }
}

fn is_whole(stored: &Stored) -> bool {
    stored.raw_start == 0 && stored.raw_length == stored.block.raw_length
}

fn head(extent: &Extent) -> u8 {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let (kind, whole, zstd_or_committed) = match &extent.content {
        Content::Stored(stored) => {
            let zstd = stored.block.codec == BlockCodec::Zstd;
            (0, is_whole(stored), zstd)
        }
        Content::Marker(marker) => (1, false, marker.committed),
        Content::Compacted => (2, false, false),
        Content::Lost => (3, false, false),
    };
    flag(extent.record_count == extent.offset_span, DENSE)
        | flag(whole, WHOLE)
        | flag(zstd_or_committed, ZSTD_OR_COMMITTED)
        | (kind << KIND_SHIFT)
        | flag(extent.flags.offsets_in_bytes, OFFSETS_IN_BYTES)
        | flag(extent.flags.transactional, TRANSACTIONAL)
        | flag(extent.flags.control, CONTROL)
}
