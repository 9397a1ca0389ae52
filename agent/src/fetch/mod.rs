//! The read path: a Fetch request becomes wants, wants become extents, extents become bytes, bytes become a reply.
//! Read top to bottom: `handler` (reply), `translate`, `held` (whose polls may wait), `wait` (locate, and sleep until there is
//! enough: the only loop), `plan` (which blocks, pure), `read` (through the cache), `assemble` (stamp offsets, cut to limits,
//! pure) of `batches`.

mod assemble;
mod batches;
mod handler;
mod held;
mod plan;
mod read;
mod translate;
mod wait;

#[cfg(test)]
mod tests;

pub(crate) use self::handler::{Fetch, check};
pub(crate) use self::held::HELD_BYTES_MAX;

use metadata::{Bounds, Extent, Offset, TopicPartition};
use protocol::ErrorCode;

/// What a client wants of one partition.
#[derive(Clone, Copy, Debug)]
struct Want {
    partition: TopicPartition,
    offset: Offset,
    /// The client's limit for this partition; one batch may exceed it.
    bytes_max: usize,
}

/// What is known of a want before any byte is read.
#[derive(Debug)]
enum Found {
    /// Extents from the one that holds the offset on; none at the high watermark.
    Extents {
        bounds: Bounds,
        extents: Vec<Extent>,
    },
    Refused {
        code: ErrorCode,
        bounds: Option<Bounds>,
    },
}

impl Found {
    fn bounds(&self) -> Option<Bounds> {
        match self {
            Self::Extents { bounds, .. } => Some(*bounds),
            Self::Refused { bounds, .. } => *bounds,
        }
    }

    /// What it takes in memory.
    fn bytes(&self) -> usize {
        let extents = match self {
            Self::Extents { extents, .. } => extents.capacity(),
            Self::Refused { .. } => 0,
        };
        size_of::<Self>() + extents * size_of::<Extent>()
    }
}
