//! Extents on disk, a tree for each partition. Level 0 are chunks of extents of up to 8 KB, keyed by the offset they end
//! at. Summary rows above say of each row below where it ends, its largest timestamp and what it holds, so that a search
//! by offset, time or size reads a row of each level. A level begins once the one below has a second row. `checkpoint`
//! appends, `sequencer/reads` looks up, `accounting` verifies.

mod append;
mod beside;
mod chunk;
mod free;
mod lookup;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "retention and DescribeLogDirs come with their own issues"
    )
)]
mod size;
mod summary;
#[cfg(test)]
mod tests;
mod verify;

use bytes::Bytes;

use crate::error::Error;
use crate::keys::Key;
use crate::types::{Extent, Offset, TopicPartition};

pub(crate) use append::{Tail, append, read_tail};
pub(crate) use beside::append_beside;
pub(crate) use chunk::Chunk;
pub(crate) use free::{Freed, free_first, oldest};
pub(crate) use lookup::{CHUNKS_PER_READ, Lookup};
pub(crate) use verify::verify;

/// No row is larger.
const ROW_BYTES: usize = 8 * 1024;
/// The same, but where simulation wants its small histories to have indices of several levels.
fn row_bytes() -> usize {
    #[cfg(feature = "planted-bugs")]
    return SMALL.get();
    #[cfg(not(feature = "planted-bugs"))]
    ROW_BYTES
}

#[cfg(feature = "planted-bugs")]
std::thread_local! {
    static SMALL: std::cell::Cell<usize> = const { std::cell::Cell::new(ROW_BYTES) };
}

/// What runs on this thread makes index rows of so many bytes, 200 or more and no more than ever.
#[cfg(feature = "planted-bugs")]
pub fn rows_of(bytes: usize) {
    SMALL.set(bytes.clamp(4 * summary::CHILD_BYTES_MAX, ROW_BYTES));
}

/// Rows of the level below that one row sums up.
const CHILDREN_MAX: usize = 256;
/// The highest level: its rows sum up 65,536 chunks each, some 25 million extents.
const LEVEL_MAX: u8 = 2;

/// A partition's index. Its partition's row says which generation is read and appended to; a compaction of the log, or
/// whoever builds an index anew, writes another one beside it, and the two are swapped by an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) partition: TopicPartition,
    pub(crate) generation: u32,
}

impl Place {
    /// The key of the row of a level that ends at an offset.
    pub(crate) fn key(self, level: u8, end: Offset) -> Bytes {
        Key::Index(self.partition, self.generation, level, end).encode()
    }

    /// The rows of a level that end past `offset`, as a half-open range of keys: the first one holds it.
    pub(crate) fn past(self, level: u8, offset: Offset) -> (Bytes, Bytes) {
        let start = self.key(level, Offset(offset.0.saturating_add(1)));
        (start, self.level_end(level))
    }

    fn level_end(self, level: u8) -> Bytes {
        self.key(level + 1, Offset(0))
    }

    /// Behind all levels.
    fn end(self) -> Bytes {
        self.level_end(LEVEL_MAX)
    }

    /// What is said to whoever asks for an offset that the index does not lead to.
    pub(crate) fn hole(self, offset: Offset) -> Error {
        Error::Damaged(format!(
            "no index row that can be read holds offset {} of partition {} of topic {}",
            offset.0, self.partition.partition.0, self.partition.topic
        ))
    }
}

/// Law 12, before anything is written: what goes to rows has no hole and ends where memory goes on.
pub(crate) fn check(
    partition: TopicPartition,
    extents: &[Extent],
    end: Offset,
) -> Result<(), Error> {
    let mut next = extents.first().map_or(end, |first| first.base_offset);
    for extent in extents {
        follows(partition, next, extent)?;
        next = extent.end_offset();
    }
    if next == end {
        Ok(())
    } else {
        Err(broken(partition, next, end))
    }
}

/// An extent must begin where the one before it ends, and take offsets.
pub(crate) fn follows(
    partition: TopicPartition,
    next: Offset,
    extent: &Extent,
) -> Result<(), Error> {
    if extent.base_offset == next && extent.offset_span > 0 {
        Ok(())
    } else {
        Err(broken(partition, next, extent.base_offset))
    }
}

/// What was found is not what must follow.
pub(crate) fn broken(partition: TopicPartition, next: Offset, found: Offset) -> Error {
    Error::Corrupt(format!(
        "offset {} of partition {partition:?} is not accounted for exactly once: what follows begins at {}",
        next.0, found.0
    ))
}
