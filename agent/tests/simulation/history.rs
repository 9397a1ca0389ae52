//! What the clients of a run did and heard, in the order in which it happened, with simulated time. Written by clients and
//! the nemesis, read by the checker; its hash tells whether two runs were the same.

use std::fmt::{self, Debug};
use std::hash::{DefaultHasher, Hasher};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::world::EPOCH_MS;

/// A topic's number and a partition's index.
pub(crate) type Place = (u32, i32);

/// What a record carries: its producer's number and how many came before it. No two records carry the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Value {
    pub(crate) producer: u32,
    pub(crate) number: u32,
}

impl Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.producer, self.number)
    }
}

/// A batch, however often it is sent.
pub(crate) type BatchId = (u32, u32);

/// A record's, of which the batch holds several. Older than any clock of a process, however it jumps: those of the future
/// are refused.
pub(crate) fn timestamp(batch: BatchId, index: usize) -> i64 {
    EPOCH_MS / 2 + i64::from(batch.1) + i64::try_from(index).unwrap_or(0)
}

/// How sure a producer wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Idempotent,
    /// A batch sent again may be there twice, and out of order.
    Plain,
}

/// Where an end of a partition was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// ListOffsets: must be true whoever answers.
    Confirmed,
    /// The high watermark of a Fetch: may lag behind other processes, never behind the same one.
    Fetched,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Sent {
        batch: BatchId,
        kind: Kind,
        place: Place,
        values: Vec<Value>,
        /// Over which connection.
        wire: u32,
    },
    Acked {
        batch: BatchId,
        base_offset: i64,
        process: u32,
    },
    /// A lawful batch was refused for good.
    Refused { batch: BatchId, code: String },
    /// An end of a partition, by a question asked when the history was `began` long.
    End {
        source: Source,
        began: usize,
        process: u32,
        place: Place,
        end: i64,
    },
    /// The first record at or after a time, by a question asked when the history was `began` long: offset and timestamp.
    ByTime {
        began: usize,
        process: u32,
        place: Place,
        wanted: i64,
        found: Option<(i64, i64)>,
    },
    OutOfRange {
        began: usize,
        process: u32,
        place: Place,
        offset: i64,
    },
    /// A reader goes on from here.
    Seek {
        reader: u32,
        place: Place,
        offset: i64,
    },
    Read {
        reader: u32,
        place: Place,
        offset: i64,
        value: Value,
    },
    /// Bytes that are no records, or do not match their checksum.
    Garbage {
        place: Place,
        offset: i64,
        what: String,
    },
    /// All of a partition, read when everything was over.
    Last {
        place: Place,
        end: i64,
        records: Vec<(i64, Value)>,
    },
    /// Something that must hold did not, as the harness itself saw.
    Broken(String),
    /// For whoever reads the history; no anomaly follows from it.
    Note(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Timed {
    pub(crate) at_ms: u128,
    pub(crate) event: Event,
}

impl fmt::Display for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7} ms ", self.at_ms)?;
        match &self.event {
            Event::Note(what) => write!(f, "-- {what}"),
            event => write!(f, "{event:?}"),
        }
    }
}

/// Grows only.
#[derive(Debug)]
pub(crate) struct History {
    began: Instant,
    events: Mutex<(Vec<Timed>, DefaultHasher)>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            events: Mutex::new((Vec::new(), DefaultHasher::new())),
        }
    }

    pub(crate) fn push(&self, event: Event) {
        let at_ms = self.began.elapsed().as_millis();
        let mut events = self.events.lock();
        events.1.write(format!("{at_ms} {event:?}\n").as_bytes());
        events.0.push(Timed { at_ms, event });
    }

    /// Simulated time since the run began.
    pub(crate) fn elapsed(&self) -> std::time::Duration {
        self.began.elapsed()
    }

    pub(crate) fn note(&self, what: impl Into<String>) {
        self.push(Event::Note(what.into()));
    }

    /// For questions about the past: see `Event::End`.
    pub(crate) fn len(&self) -> usize {
        self.events.lock().0.len()
    }

    /// One number for all that happened.
    pub(crate) fn hash(&self) -> u64 {
        self.events.lock().1.finish()
    }

    pub(crate) fn take(&self) -> Vec<Timed> {
        std::mem::take(&mut self.events.lock().0)
    }
}
