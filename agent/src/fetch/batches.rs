//! The batches of an extent, as they lie in its block, each with the offsets that it takes. Used by `assemble`.

use std::sync::Arc;

use bytes::Bytes;
use metadata::{Extent, Offset, planted};
use protocol::record_batch::BatchHeader;

use super::read::ReadExtent;
use crate::storage::RawBlock;

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
#[derive(Clone)]
pub(super) struct Batches<'a> {
    extent: &'a Extent,
    /// Where the extent ends in its block.
    end: usize,
    block: &'a RawBlock,
    at: Position,
    next: Offset,
}

/// Where a batch begins, or the block ends.
#[derive(Clone, Copy, Default)]
struct Position {
    slice: usize,
    in_slice: usize,
    in_block: usize,
}

/// Where the last extent began in its block: those behind it are not looked for from the beginning again, of which a block
/// may have thousands.
#[derive(Default)]
pub(super) struct Begun(Option<(RawBlock, Position)>);

impl<'a> Batches<'a> {
    /// Extents of a block come in their order.
    pub(super) fn of(read: &'a ReadExtent, begun: &mut Begun) -> Self {
        let start = read.stored.raw_start as usize;
        let end = start + read.stored.raw_length as usize;
        planted!(let start = "dead-bytes-served" => 0);
        let mut batches = Self {
            extent: &read.extent,
            end,
            block: &read.block,
            at: begun.before(&read.block, start),
            next: read.extent.base_offset,
        };
        while batches.at.in_block < start
            && let Some(Ok((_, _, header))) = batches.header()
        {
            batches.at.pass(&header);
        }
        begun.0 = Some((Arc::clone(&read.block), batches.at));
        batches
    }

    /// Of the batch that is next, and where that lies.
    fn header(&mut self) -> Option<Result<(&'a Bytes, usize, BatchHeader), &'static str>> {
        let slice = loop {
            let slice = self.block.get(self.at.slice)?;
            if self.at.in_slice < slice.len() {
                break slice;
            }
            (self.at.slice, self.at.in_slice) = (self.at.slice + 1, 0);
        };
        let at = self.at.in_slice;
        let rest = &slice[at..];
        Some(match BatchHeader::read(rest) {
            Ok(header) if header.size <= rest.len() => Ok((slice, at, header)),
            Ok(_) => Err("a batch is cut short"),
            Err(_) => Err("a batch does not read"),
        })
    }
}

impl Begun {
    /// A batch of this block that begins there or before.
    fn before(&self, block: &RawBlock, start: usize) -> Position {
        let last = self.0.as_ref();
        let last = last.filter(|(of, at)| Arc::ptr_eq(of, block) && at.in_block <= start);
        last.map_or(Position::default(), |(_, at)| *at)
    }
}

impl Position {
    fn pass(&mut self, header: &BatchHeader) {
        self.in_slice += header.size;
        self.in_block += header.size;
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at.in_block >= self.end {
            return None;
        }
        let (slice, at, header) = match self.header()? {
            Ok(found) => found,
            Err(why) => return Some(Err(why)),
        };
        self.at.pass(&header);
        let mut base_offset = self.next;
        if self.extent.flags.offsets_in_bytes {
            base_offset.0 = base_offset.0.max(header.base_offset);
        }
        let count = i64::from(header.last_offset_delta) + 1;
        self.next = Offset(base_offset.0.saturating_add(count));
        Some(Ok(Batch {
            slice,
            at,
            header,
            base_offset,
            next: self.next,
        }))
    }
}

#[cfg(test)]
mod tests {
    use metadata::{BlockCodec, BlockRange, Content, ExtentFlags, ObjectKey, Stored, Timestamp};
    use protocol::records::{BatchOptions, Record, build_batch};

    use super::*;

    const EXTENTS: u32 = 1000;

    /// The extent of that number, of one offset: every other batch of the block is one, for a repetition lies before each.
    fn extent(block: &RawBlock, number: u32, batch_bytes: u32) -> ReadExtent {
        let stored = Stored {
            object: ObjectKey(1),
            block: BlockRange {
                position: 0,
                stored_length: 2 * EXTENTS * batch_bytes,
                raw_length: 2 * EXTENTS * batch_bytes,
                codec: BlockCodec::Raw,
                checksum: 0,
            },
            raw_start: (2 * number + 1) * batch_bytes,
            raw_length: batch_bytes,
        };
        ReadExtent {
            extent: Extent {
                base_offset: Offset(number.into()),
                offset_span: 1,
                record_count: 1,
                max_timestamp: Timestamp(0),
                flags: ExtentFlags::default(),
                content: Content::Stored(stored),
            },
            stored,
            block: Arc::clone(block),
        }
    }

    #[test]
    fn a_block_of_very_many_extents_is_walked_once() {
        let one = build_batch(&[Record::default()], BatchOptions::default());
        let size = u32::try_from(one.len()).unwrap();
        // In two pieces, as blocks are that were never stored.
        let half = Bytes::from(one.repeat(EXTENTS as usize));
        let block = RawBlock::from([half.clone(), half]);
        let mut begun = Begun::default();
        let mut walked = 0;
        for number in 0..EXTENTS {
            let read = extent(&block, number, size);
            let start = read.stored.raw_start as usize;
            walked += start - begun.before(&block, start).in_block;
            let found: Vec<_> = Batches::of(&read, &mut begun).collect();
            let found = found.into_iter().map(|batch| batch.unwrap().base_offset);
            assert_eq!(found.collect::<Vec<_>>(), [Offset(number.into())]);
        }
        assert!(walked <= one.len() * 2 * EXTENTS as usize, "{walked} bytes");
        // One that comes out of turn is found as well.
        let first = extent(&block, 0, size);
        assert_eq!(Batches::of(&first, &mut begun).count(), 1);
    }
}
