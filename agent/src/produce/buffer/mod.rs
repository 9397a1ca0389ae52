//! The open segment: what was appended since the last seal, grouped by partition, and the question whether waiting for
//! more makes sense. Pure: time is handed in. Owned by `flusher`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metadata::{CommitBatch, Placed, TopicPartition, planted};
use protocol::ErrorCode;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::validate::ValidBatch;
use crate::admission::Permit;
use crate::call::ConnectionId;

/// Raw bytes of a block, unless one batch alone has more (architecture, section 4).
const BLOCK_RAW_BYTES_MAX: usize = 1024 * 1024;
/// Batches at which a segment is large enough, however small they are: its commit is one command, one message to the
/// sequencer and one entry of the log, of some 22 bytes a batch. The last request may bring as many again.
const BATCHES_MAX: usize = 8 * 1024;
/// Connections that are remembered although they have nothing unanswered, however few have.
const IDLE_MIN: usize = 1024;

/// The batches of one Produce request, which share a segment and a fate.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) connection: ConnectionId,
    pub(super) batches: Vec<(TopicPartition, ValidBatch)>,
    pub(super) ticket: Ticket,
    /// Given back with the answer, of requests that share several segments with the last one.
    pub(super) permit: Arc<Permit>,
    pub(super) arrived: Instant,
}

/// Where a request's answers go: one per batch, in the request's order.
pub(super) type Ticket = oneshot::Sender<Vec<BatchOutcome>>;
pub(super) type BatchOutcome = Result<Placed, ErrorCode>;

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

/// A segment nobody adds to any more.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) blocks: Vec<SealedBlock>,
    pub(super) waiters: Waiters,
}

/// Who waits for a segment.
#[derive(Debug, Default)]
pub(super) struct Waiters(Vec<Waiter>);

#[derive(Debug)]
struct Waiter {
    connection: ConnectionId,
    outcomes: Vec<BatchOutcome>,
    ticket: Ticket,
    permit: Arc<Permit>,
    arrived: Instant,
}

/// Consecutive batches of one partition.
#[derive(Debug)]
pub(super) struct SealedBlock {
    pub(super) partition: TopicPartition,
    pub(super) batches: Vec<Bytes>,
    pub(super) facts: Vec<CommitBatch>,
    pub(super) min_timestamp: metadata::Timestamp,
    pub(super) compressed: bool,
    raw_bytes: usize,
    /// For each batch: whose it is (`Waiters` index) and which of the request's.
    owners: Vec<(usize, usize)>,
}

#[derive(Debug)]
pub(super) struct Buffer {
    policy: SealPolicy,
    partitions: BTreeMap<TopicPartition, Vec<SealedBlock>>,
    waiters: Waiters,
    raw_bytes: usize,
    batches: usize,
    opened: Option<Instant>,
    producers: Producers,
}

impl Buffer {
    pub(super) fn new(policy: SealPolicy) -> Self {
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

    pub(super) fn add(&mut self, append: Append) {
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

    pub(super) fn is_full(&self) -> bool {
        self.raw_bytes >= self.policy.segment_bytes || self.batches >= BATCHES_MAX
    }

    /// Every connection that could add to the segment is already waiting for it.
    pub(super) fn waiting_is_pointless(&self) -> bool {
        self.opened.is_some() && self.producers.all_wait()
    }

    /// When the first batch of the segment arrived, if there is one.
    pub(super) fn opened(&self) -> Option<Instant> {
        self.opened
    }

    /// When the segment will be old enough to be sealed.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.opened.map(|opened| opened + self.policy.age_max)
    }

    /// Takes the segment, blocks sorted by (topic id, partition); `None` if it is empty.
    pub(super) fn seal(&mut self) -> Option<Sealed> {
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
    pub(super) fn waited_in_vain(&mut self) {
        self.producers.forget_idle();
    }

    /// Answers everyone who waited for a segment; the time each waited.
    pub(super) fn answer(&mut self, waiters: Waiters) -> Vec<Duration> {
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

impl Waiters {
    /// Fills in what became of each batch of `blocks`, in their order. There is one outcome for each: pairing lists of
    /// different lengths would tell clients what became of somebody else's batches.
    pub(super) fn settle(&mut self, blocks: &[SealedBlock], outcomes: Vec<BatchOutcome>) {
        let owners: Vec<_> = blocks.iter().flat_map(|block| &block.owners).collect();
        assert_eq!(owners.len(), outcomes.len(), "one outcome for each batch");
        for (&(waiter, slot), outcome) in owners.into_iter().zip(outcomes) {
            planted!(let waiter = "acks-mixed-up" => self.0.len() - 1 - waiter);
            self.0[waiter].outcomes[slot] = outcome;
        }
    }

    /// One verdict for all.
    pub(super) fn settle_all(&mut self, code: ErrorCode) {
        for waiter in &mut self.0 {
            waiter.outcomes.fill(Err(code));
        }
    }

    pub(super) fn arrivals(&self) -> impl Iterator<Item = Instant> {
        self.0.iter().map(|waiter| waiter.arrived)
    }
}

impl SealedBlock {
    fn starting(partition: TopicPartition, batch: ValidBatch, owner: (usize, usize)) -> Self {
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

    fn has_room(&self, batch: &ValidBatch) -> bool {
        self.raw_bytes + batch.bytes.len() <= BLOCK_RAW_BYTES_MAX
            && self.compressed == batch.compressed
    }

    fn push(&mut self, batch: ValidBatch, owner: (usize, usize)) {
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

    pub(super) fn record_count(&self) -> u32 {
        self.facts
            .iter()
            .fold(0, |sum, batch| sum.saturating_add(batch.record_count))
    }

    pub(super) fn max_timestamp(&self) -> metadata::Timestamp {
        self.facts
            .iter()
            .map(|batch| batch.max_timestamp)
            .max()
            .unwrap_or_default()
    }
}

/// What is known of the connections that produce: how many requests each has unanswered, and how many it had at most.
/// One that is at its most is taken to wait; a client that can do more shows it, and its most grows. Nobody says when a
/// connection ends: of those with nothing unanswered as many are known as have something, or [`IDLE_MIN`].
#[derive(Debug, Default)]
struct Producers {
    connections: HashMap<ConnectionId, Unanswered>,
    /// How many are below their most.
    able: usize,
    /// With so many, those that have nothing unanswered are forgotten.
    full: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Unanswered {
    now: u32,
    most: u32,
}

impl Producers {
    fn asked(&mut self, connection: ConnectionId) {
        if self.connections.len() >= self.full.max(IDLE_MIN)
            && !self.connections.contains_key(&connection)
        {
            self.make_room();
        }
        let unanswered = self.connections.entry(connection).or_default();
        let was_able = unanswered.now < unanswered.most;
        unanswered.now += 1;
        unanswered.most = unanswered.most.max(unanswered.now);
        if was_able && unanswered.now == unanswered.most {
            self.able -= 1;
        }
    }

    fn answered(&mut self, connection: ConnectionId) {
        if let Some(unanswered) = self.connections.get_mut(&connection) {
            if unanswered.now == unanswered.most {
                self.able += 1;
            }
            unanswered.now -= 1;
        }
    }

    fn all_wait(&self) -> bool {
        self.able == 0
    }

    /// Drops who has nothing under way. Seldom enough that it costs each that comes next to nothing.
    fn make_room(&mut self) {
        self.connections.retain(|_, unanswered| unanswered.now > 0);
        let all = self.connections.values();
        self.able = all.filter(|each| each.now < each.most).count();
        self.full = 2 * self.connections.len();
    }

    /// Takes everyone's present for their most, and drops who has nothing under way.
    fn forget_idle(&mut self) {
        self.connections.retain(|_, unanswered| {
            unanswered.most = unanswered.now;
            unanswered.now > 0
        });
        self.able = 0;
    }
}

#[cfg(test)]
mod tests;
