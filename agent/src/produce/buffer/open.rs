//! What is appended to, until it is sealed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metadata::{Placed, TopicPartition};
use protocol::ErrorCode;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::sealed::{Sealed, SealedBlock, Waiter, Waiters};
use super::waiting::Producers;
use crate::admission::Permit;
use crate::call::ConnectionId;
use crate::produce::validate::ValidBatch;

/// Batches at which a segment is large enough, however small they are: its commit is one command, one message to the
/// sequencer and one entry of the log, of some 22 bytes a batch. The last request may bring as many again.
pub(super) const BATCHES_MAX: usize = 8 * 1024;

/// The batches of one Produce request, which share a segment and a fate.
#[derive(Debug)]
pub(in crate::produce) struct Append {
    pub(in crate::produce) connection: ConnectionId,
    pub(in crate::produce) batches: Vec<(TopicPartition, ValidBatch)>,
    pub(in crate::produce) ticket: Ticket,
    /// Given back with the answer, of requests that share several segments with the last one.
    pub(in crate::produce) permit: Arc<Permit>,
    pub(in crate::produce) arrived: Instant,
}

/// Where a request's answers go: one per batch, in the request's order.
pub(in crate::produce) type Ticket = oneshot::Sender<Vec<BatchOutcome>>;
pub(in crate::produce) type BatchOutcome = Result<Placed, ErrorCode>;

/// When to seal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SealPolicy {
    /// Raw bytes at which a segment is large enough.
    pub(crate) segment_bytes: usize,
    /// How long the first batch of a segment waits at the most.
    pub(crate) age_max: Duration,
    /// Segments sealed early while so many others are being stored or committed.
    pub(crate) eager_segments: usize,
    /// PUTs that segments which are not full may cost; `None` where a PUT costs nothing (memory, folder).
    pub(crate) puts_per_second: Option<f64>,
}

#[derive(Debug)]
pub(in crate::produce) struct Buffer {
    policy: SealPolicy,
    partitions: BTreeMap<TopicPartition, Vec<SealedBlock>>,
    waiters: Waiters,
    raw_bytes: usize,
    batches: usize,
    opened: Option<Instant>,
    pub(super) producers: Producers,
}

impl Buffer {
    pub(in crate::produce) fn new(policy: SealPolicy) -> Self {
        Self {
            policy,
            partitions: BTreeMap::new(),
            waiters: Waiters::default(),
            raw_bytes: 0,
            batches: 0,
            opened: None,
            producers: Producers::default(),
        }
    }

    pub(in crate::produce) fn add(&mut self, append: Append) {
        self.opened.get_or_insert(append.arrived);
        self.producers.asked(append.connection);
        let waiter = self.waiters.0.len();
        let count = append.batches.len();
        self.batches += count;
        for (slot, (partition, batch)) in append.batches.into_iter().enumerate() {
            self.raw_bytes += batch.bytes.len();
            let blocks = self.partitions.entry(partition).or_default();
            match blocks.last_mut().filter(|block| block.has_room(&batch)) {
                Some(block) => block.push(batch, (waiter, slot)),
                None => blocks.push(SealedBlock::starting(partition, batch, (waiter, slot))),
            }
        }
        self.waiters.0.push(Waiter {
            connection: append.connection,
            // Until the sequencer has spoken: it may or may not have happened.
            outcomes: vec![Err(ErrorCode::REQUEST_TIMED_OUT); count],
            ticket: append.ticket,
            permit: append.permit,
            arrived: append.arrived,
        });
    }

    pub(in crate::produce) fn is_full(&self) -> bool {
        self.raw_bytes >= self.policy.segment_bytes || self.batches >= BATCHES_MAX
    }

    /// Every connection that could add to the segment is already waiting for it.
    pub(in crate::produce) fn waiting_is_pointless(&self) -> bool {
        self.opened.is_some() && self.producers.all_wait()
    }

    /// When the first batch of the segment arrived, if there is one.
    pub(in crate::produce) fn opened(&self) -> Option<Instant> {
        self.opened
    }

    /// When the segment will be old enough to be sealed.
    pub(in crate::produce) fn deadline(&self) -> Option<Instant> {
        self.opened.map(|opened| opened + self.policy.age_max)
    }

    /// Takes the segment, blocks sorted by (topic id, partition); `None` if it is empty.
    pub(in crate::produce) fn seal(&mut self) -> Option<Sealed> {
        self.opened.take()?;
        self.raw_bytes = 0;
        self.batches = 0;
        let blocks = std::mem::take(&mut self.partitions)
            .into_values()
            .flatten()
            .collect();
        Some(Sealed {
            blocks,
            waiters: std::mem::take(&mut self.waiters),
        })
    }

    /// Waiting did not help: nobody was going to add anything.
    pub(in crate::produce) fn waited_in_vain(&mut self) {
        self.producers.forget_idle();
    }

    /// Answers everyone who waited for a segment; the time each waited.
    pub(in crate::produce) fn answer(&mut self, waiters: Waiters) -> Vec<Duration> {
        let mut waited = Vec::with_capacity(waiters.0.len());
        for waiter in waiters.0 {
            self.producers.answered(waiter.connection);
            waited.push(waiter.arrived.elapsed());
            drop(waiter.permit);
            // The client may have hung up; its batches are committed all the same.
            let _ = waiter.ticket.send(waiter.outcomes);
        }
        waited
    }
}
