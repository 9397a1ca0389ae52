//! What a client wants of a partition, and what is known of that before any byte is read.

use metadata::{Bounds, Extent, Offset, TopicPartition};
use protocol::ErrorCode;

/// What a client wants of one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub(super) partition: TopicPartition,
    pub(super) offset: Offset,
    /// The client's limit for this partition; one batch may exceed it.
    pub(super) bytes_max: usize,
}

/// What is known of a want before any byte is read.
#[derive(Debug)]
pub(super) enum Found {
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
    pub(super) fn bounds(&self) -> Option<Bounds> {
        match self {
            Self::Extents { bounds, .. } => Some(*bounds),
            Self::Refused { bounds, .. } => *bounds,
        }
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let extents = match self {
            Self::Extents { extents, .. } => extents.capacity(),
            Self::Refused { .. } => 0,
        };
        size_of::<Self>() + extents * size_of::<Extent>()
    }
}
