//! Extents on disk: rows of up to 8 KB per partition, keyed by the offset they end at. Written by `checkpoint`, read by
//! `sequencer/reads`.

use bytes::Bytes;

use crate::codec::{Decoder, Encoder, Unreadable};
use crate::effect::{decode_extent, encode_extent};
use crate::types::{Extent, Offset, Timestamp};

const VERSION: u8 = 1;
/// Past so many bytes a row is closed.
const ROW_BYTES: usize = 8 * 1024;

/// A row of extents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) extents: Vec<Extent>,
}

impl Chunk {
    /// One past the last record.
    pub(crate) fn end(&self) -> Offset {
        self.extents.last().map_or(Offset(0), Extent::end_offset)
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut row = Encoder::versioned(VERSION);
        // In front, so that a search by time can skip the row.
        row.i64(self.max_timestamp().0);
        for extent in &self.extents {
            encode_extent(extent, &mut row);
        }
        row.into_bytes()
    }

    pub(crate) fn decode(row: Bytes) -> Result<Self, Unreadable> {
        let mut row = Decoder::versioned(row, VERSION)?;
        row.i64()?;
        let mut extents = Vec::new();
        while !row.is_empty() {
            extents.push(decode_extent(&mut row)?);
        }
        Ok(Self { extents })
    }

    /// The largest timestamp of a row, without reading the rest of it.
    pub(crate) fn peek_max_timestamp(row: &Bytes) -> Result<Timestamp, Unreadable> {
        Decoder::versioned(row.clone(), VERSION)?
            .i64()
            .map(Timestamp)
    }

    fn max_timestamp(&self) -> Timestamp {
        let largest = self.extents.iter().map(|extent| extent.max_timestamp).max();
        largest.unwrap_or(Timestamp(-1))
    }
}

/// Cuts extents into rows, after those of `open`, the partition's last row if it has room. The rows' keys are the ends.
pub(crate) fn chunks(open: Option<Chunk>, extents: &[Extent]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut current = open.unwrap_or(Chunk {
        extents: Vec::new(),
    });
    let mut bytes = current.encode().len();
    for extent in extents {
        if bytes >= ROW_BYTES {
            chunks.push(std::mem::replace(
                &mut current,
                Chunk {
                    extents: Vec::new(),
                },
            ));
            bytes = 0;
        }
        let mut row = Encoder::default();
        encode_extent(extent, &mut row);
        bytes += row.len();
        current.extents.push(*extent);
    }
    chunks.push(current);
    chunks
}

/// Whether a row can take more.
pub(crate) fn has_room(row: &Bytes) -> bool {
    row.len() < ROW_BYTES
}
