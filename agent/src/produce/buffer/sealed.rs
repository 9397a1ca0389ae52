//! A segment that nobody adds to any more, and who waits for it.

use std::sync::Arc;

use bytes::Bytes;
use metadata::{CommitBatch, TopicPartition, planted};
use protocol::ErrorCode;
use tokio::time::Instant;

use super::open::{BatchOutcome, Ticket};
use crate::admission::Permit;
use crate::call::ConnectionId;
use crate::produce::validate::ValidBatch;

/// Raw bytes of a block, unless one batch alone has more (architecture, section 4).
pub(super) const BLOCK_RAW_BYTES_MAX: usize = 1024 * 1024;

/// A segment nobody adds to any more.
#[derive(Debug)]
pub(in crate::produce) struct Sealed {
    pub(in crate::produce) blocks: Vec<SealedBlock>,
    pub(in crate::produce) waiters: Waiters,
}

/// Who waits for a segment.
#[derive(Debug, Default)]
pub(in crate::produce) struct Waiters(pub(super) Vec<Waiter>);

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) connection: ConnectionId,
    pub(super) outcomes: Vec<BatchOutcome>,
    pub(super) ticket: Ticket,
    pub(super) permit: Arc<Permit>,
    pub(super) arrived: Instant,
}

/// Consecutive batches of one partition.
#[derive(Debug)]
pub(in crate::produce) struct SealedBlock {
    pub(in crate::produce) partition: TopicPartition,
    pub(in crate::produce) batches: Vec<Bytes>,
    pub(in crate::produce) facts: Vec<CommitBatch>,
    pub(in crate::produce) min_timestamp: metadata::Timestamp,
    pub(in crate::produce) compressed: bool,
    raw_bytes: usize,
    /// For each batch: whose it is (`Waiters` index) and which of the request's.
    owners: Vec<(usize, usize)>,
}

impl Waiters {
    /// Fills in what became of each batch of `blocks`, in their order. There is one outcome for each: pairing lists of
    /// different lengths would tell clients what became of somebody else's batches.
    pub(in crate::produce) fn settle(
        &mut self,
        blocks: &[SealedBlock],
        outcomes: Vec<BatchOutcome>,
    ) {
        let owners: Vec<_> = blocks.iter().flat_map(|block| &block.owners).collect();
        assert_eq!(owners.len(), outcomes.len(), "one outcome for each batch");
        for (&(waiter, slot), outcome) in owners.into_iter().zip(outcomes) {
            planted!(let waiter = "acks-mixed-up" => self.0.len() - 1 - waiter);
            self.0[waiter].outcomes[slot] = outcome;
        }
    }

    /// One verdict for all.
    pub(in crate::produce) fn settle_all(&mut self, code: ErrorCode) {
        for waiter in &mut self.0 {
            waiter.outcomes.fill(Err(code));
        }
    }

    pub(in crate::produce) fn arrivals(&self) -> impl Iterator<Item = Instant> {
        self.0.iter().map(|waiter| waiter.arrived)
    }
}

impl SealedBlock {
    pub(super) fn starting(
        partition: TopicPartition,
        batch: ValidBatch,
        owner: (usize, usize),
    ) -> Self {
        let mut block = Self {
            partition,
            batches: Vec::new(),
            facts: Vec::new(),
            min_timestamp: batch.min_timestamp,
            compressed: batch.compressed,
            raw_bytes: 0,
            owners: Vec::new(),
        };
        block.push(batch, owner);
        block
    }

    pub(super) fn has_room(&self, batch: &ValidBatch) -> bool {
        self.raw_bytes + batch.bytes.len() <= BLOCK_RAW_BYTES_MAX
            && self.compressed == batch.compressed
    }

    pub(super) fn push(&mut self, batch: ValidBatch, owner: (usize, usize)) {
        self.raw_bytes += batch.bytes.len();
        self.min_timestamp = self.min_timestamp.min(batch.min_timestamp);
        self.facts.push(CommitBatch {
            raw_length: u32::try_from(batch.bytes.len()).expect("a frame is smaller than 4 GiB"),
            record_count: batch.record_count,
            max_timestamp: batch.max_timestamp,
            producer: batch.producer,
            flags: batch.flags,
            withheld: false,
        });
        self.batches.push(batch.bytes);
        self.owners.push(owner);
    }

    pub(in crate::produce) fn record_count(&self) -> u32 {
        self.facts
            .iter()
            .fold(0, |sum, batch| sum.saturating_add(batch.record_count))
    }

    pub(in crate::produce) fn max_timestamp(&self) -> metadata::Timestamp {
        self.facts
            .iter()
            .map(|batch| batch.max_timestamp)
            .max()
            .unwrap_or_default()
    }
}
