//! Rows that sum up rows: of each one below, where it ends, its largest timestamp and what it holds.

use bytes::Bytes;

use super::{CHILDREN_MAX, Chunk, Place, row_bytes};
use crate::codec::{Decoder, Encoder, SEAL_BYTES, Unreadable};
use crate::types::{Extent, Offset, Timestamp};

const VERSION: u8 = 1;
/// A child never takes more: five numbers.
pub(super) const CHILD_BYTES_MAX: usize = 50;
/// As of chunks.
const FIRST: u8 = 1;

/// What lies in rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Bytes of blocks in the bucket. Of a block of which only a part was accepted, that part's share.
    pub(crate) stored_bytes: u64,
    /// Bytes of record batches, unpacked.
    pub(crate) raw_bytes: u64,
    pub(crate) records: u64,
}

impl Totals {
    pub(super) fn of<'a>(extents: impl IntoIterator<Item = &'a Extent>) -> Self {
        let mut totals = Self::default();
        for extent in extents {
            totals.add(Self {
                stored_bytes: stored_bytes(extent),
                raw_bytes: extent.raw_length().into(),
                records: extent.record_count.into(),
            });
        }
        totals
    }

    pub(super) fn add(&mut self, more: Self) {
        self.stored_bytes = self.stored_bytes.saturating_add(more.stored_bytes);
        self.raw_bytes = self.raw_bytes.saturating_add(more.raw_bytes);
        self.records = self.records.saturating_add(more.records);
    }
}

fn stored_bytes(extent: &Extent) -> u64 {
    extent.stored().map_or(0, |stored| {
        let share = u64::from(stored.block.stored_length) * u64::from(stored.raw_length);
        share / u64::from(stored.block.raw_length.max(1))
    })
}

/// A row of the level below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) end: Offset,
    pub(super) max_timestamp: Timestamp,
    pub(super) totals: Totals,
}

impl Child {
    pub(super) fn of(chunk: &Chunk) -> Self {
        let largest = chunk.extents.iter().map(|extent| extent.max_timestamp);
        Self {
            end: chunk.end(),
            max_timestamp: largest.max().unwrap_or(Timestamp(-1)),
            totals: Totals::of(&chunk.extents),
        }
    }
}

/// A summary row: at least one child, without a gap between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// The row was the first of its level when it was written: nothing sums it up yet.
    pub(super) first: bool,
    /// Where the first child begins.
    pub(super) base: Offset,
    pub(super) children: Vec<Child>,
}

impl Summary {
    pub(super) fn end(&self) -> Offset {
        self.children.last().map_or(self.base, |child| child.end)
    }

    /// What the level above says of this row.
    pub(super) fn child(&self) -> Child {
        let mut totals = Totals::default();
        for child in &self.children {
            totals.add(child.totals);
        }
        let largest = self.children.iter().map(|child| child.max_timestamp);
        Child {
            end: self.end(),
            max_timestamp: largest.max().unwrap_or(Timestamp(-1)),
            totals,
        }
    }

    /// The children that end past `offset`, each with where it begins.
    pub(super) fn past(&self, offset: Offset) -> impl Iterator<Item = (Offset, &Child)> {
        let ends = self.children.iter().map(|child| child.end);
        let bases = std::iter::once(self.base).chain(ends);
        let children = bases.zip(&self.children);
        children.filter(move |(_, child)| child.end > offset)
    }

    /// The row under that key.
    pub(super) fn encode(&self, key: &[u8]) -> Bytes {
        self.content().sealed(key)
    }

    fn content(&self) -> Encoder {
        let mut row = Encoder::versioned(VERSION);
        row.u8(if self.first { FIRST } else { 0 });
        row.i64(self.base.0);
        let (mut end, mut timestamp) = (self.base.0, 0_i64);
        for child in &self.children {
            row.u64((child.end.0 - end).unsigned_abs());
            row.i64(child.max_timestamp.0.wrapping_sub(timestamp));
            row.u64(child.totals.stored_bytes);
            row.u64(child.totals.raw_bytes);
            row.u64(child.totals.records);
            (end, timestamp) = (child.end.0, child.max_timestamp.0);
        }
        row
    }

    pub(super) fn decode(key: &[u8], row: Bytes) -> Result<Self, Unreadable> {
        let mut row = Decoder::versioned(key, row, VERSION)?;
        let first = match row.u8()? {
            0 => false,
            FIRST => true,
            _ => return Err(Unreadable),
        };
        let base = row.i64()?;
        let (mut end, mut timestamp) = (base, 0_i64);
        let mut children = Vec::new();
        while !row.is_empty() {
            let span = i64::try_from(row.u64()?).map_err(|_| Unreadable)?;
            end = end.checked_add(span).ok_or(Unreadable)?;
            timestamp = timestamp.wrapping_add(row.i64()?);
            let totals = Totals {
                stored_bytes: row.u64()?,
                raw_bytes: row.u64()?,
                records: row.u64()?,
            };
            if span == 0 || children.len() == CHILDREN_MAX {
                return Err(Unreadable);
            }
            children.push(Child {
                end: Offset(end),
                max_timestamp: Timestamp(timestamp),
                totals,
            });
        }
        match base < 0 || children.is_empty() {
            true => Err(Unreadable),
            false => Ok(Self {
                first,
                base: Offset(base),
                children,
            }),
        }
    }

    /// The row that must end where its key says.
    pub(super) fn at(place: Place, level: u8, key: &[u8], row: Bytes) -> Result<Self, Unreadable> {
        let summary = Self::decode(key, row)?;
        match place.key(level, summary.end()) == key {
            true => Ok(summary),
            false => Err(Unreadable),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        // Encoded only where children are so large that fewer fit.
        let few = row_bytes() / CHILD_BYTES_MAX - 1;
        let children = self.children.len();
        let bytes = || self.content().len() + SEAL_BYTES;
        children < few || (children < CHILDREN_MAX && bytes() + CHILD_BYTES_MAX <= row_bytes())
    }
}

/// Cuts children into rows, after those of `open`, the level's last row if it has room; the first begins at `base`.
pub(super) fn cut(
    open: Option<Summary>,
    first: bool,
    base: Offset,
    children: &[Child],
) -> Vec<Summary> {
    let mut rows = Vec::new();
    let empty = |first, base| Summary {
        first,
        base,
        children: Vec::new(),
    };
    let mut current = open.unwrap_or_else(|| empty(first, base));
    for child in children {
        if !current.has_room() {
            let end = current.end();
            rows.push(std::mem::replace(&mut current, empty(false, end)));
        }
        current.children.push(*child);
    }
    rows.push(current);
    rows
}
