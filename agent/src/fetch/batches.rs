//! The batches of an extent, as they lie in its block, each with the offsets that it takes. Used by `assemble`.

use std::ops::Range;

use bytes::Bytes;
use metadata::{Extent, Offset, planted};
use protocol::record_batch::BatchHeader;

use super::read::ReadExtent;

/// A batch of an extent.
pub(super) struct Batch<'a> {
    slice: &'a Bytes,
    /// Where it begins in the slice.
    at: usize,
    pub(super) header: BatchHeader,
    pub(super) base_offset: Offset,
    /// One past its last offset.
    pub(super) next: Offset,
}

impl Batch<'_> {
    pub(super) fn bytes(&self) -> Bytes {
        self.slice.slice(self.at..self.at + self.header.size)
    }
}

/// Walks the batches of an extent, up to one that does not read. Its offsets are dense, so a batch's base offset follows
/// from those before it; log compaction leaves gaps, and batches that say where they lie.
pub(super) struct Batches<'a> {
    extent: &'a Extent,
    /// Where the extent is in its block.
    raw: Range<usize>,
    slices: std::slice::Iter<'a, Bytes>,
    slice: &'a Bytes,
    at: usize,
    /// The same in the block.
    position: usize,
    next: Offset,
}

impl<'a> Batches<'a> {
    pub(super) fn of(read: &'a ReadExtent) -> Self {
        static NONE: Bytes = Bytes::new();
        let start = read.stored.raw_start as usize;
        let end = start + read.stored.raw_length as usize;
        planted!(let start = "dead-bytes-served" => 0);
        Self {
            extent: &read.extent,
            raw: start..end,
            slices: read.block.iter(),
            slice: &NONE,
            at: 0,
            position: 0,
            next: read.extent.base_offset,
        }
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.position >= self.raw.end {
                return None;
            }
            while self.at >= self.slice.len() {
                (self.slice, self.at) = (self.slices.next()?, 0);
            }
            let rest = &self.slice[self.at..];
            let header = match BatchHeader::read(rest) {
                Ok(header) if header.size <= rest.len() => header,
                Ok(_) => return Some(Err("a batch is cut short")),
                Err(_) => return Some(Err("a batch does not read")),
            };
            let (at, position) = (self.at, self.position);
            self.at += header.size;
            self.position += header.size;
            if position < self.raw.start {
                continue;
            }
            let mut base_offset = self.next;
            if self.extent.flags.offsets_in_bytes {
                base_offset.0 = base_offset.0.max(header.base_offset);
            }
            let count = i64::from(header.last_offset_delta) + 1;
            self.next = Offset(base_offset.0.saturating_add(count));
            return Some(Ok(Batch {
                slice: self.slice,
                at,
                header,
                base_offset,
                next: self.next,
            }));
        }
    }
}
