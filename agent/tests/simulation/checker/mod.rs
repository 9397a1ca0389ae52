//! Judges a history. Pure: no run is needed to test it. After Jepsen's analysis of Kafka-like logs, and stricter where our
//! offsets come from one place: they are dense, they follow real time, and every end is true for everybody.

mod ends;
mod events;

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{BatchId, Event, Kind, Place, Timed, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// Acknowledged and not there in the end.
    Lost,
    /// Twice in the log, though its producer is idempotent or sent it once.
    Duplicate,
    /// After something that its producer sent later, or before something acknowledged when it was first sent.
    Reordered,
    /// One offset, two values.
    TwoValues,
    /// The ack named another offset than the one where it is.
    Elsewhere,
    /// An offset without a record, or a reader that jumped over one.
    Gap,
    /// A reader went back or saw an offset again without asking for it.
    Repeated,
    /// An end of a partition before an offset acknowledged before it was asked for.
    StaleEnd,
    /// An end that went back: a confirmed one behind what anybody knew, a fetched one through one process.
    EndWentBack,
    /// Another record than the first of a time.
    OtherTime,
    /// Refused at an offset that exists, or is the next one.
    OutOfRange,
    /// Read, and not there in the end.
    Vanished,
    /// Only part of a batch is there, or its records are not neighbours.
    Torn,
    /// Never sent, or not to this partition.
    Foreign,
    Refused,
    Garbage,
    /// The harness said so: a dangling object, a panic, a client that never got through.
    Broken,
}

#[derive(Clone, Debug)]
pub(crate) struct Anomaly {
    pub(crate) wrong: Wrong,
    /// The event at which it shows.
    pub(crate) at: usize,
    pub(crate) says: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (event {}): {}", self.wrong, self.at, self.says)
    }
}

/// All that is wrong with a history, in the order in which it shows.
pub(crate) fn check(history: &[Timed]) -> Vec<Anomaly> {
    let mut checker = Checker::default();
    for (at, timed) in history.iter().enumerate() {
        checker.at = at;
        checker.event(&timed.event);
    }
    checker.finish();
    checker.found.sort_by_key(|anomaly| anomaly.at);
    checker.found
}

struct Batch {
    kind: Kind,
    place: Place,
    values: Vec<Value>,
    attempts: u32,
    /// The connection it was first sent over.
    wire: u32,
    /// One past the last offset acknowledged in its partition when it was first sent.
    floor: i64,
    acked: Option<(usize, i64)>,
}

#[derive(Clone, Copy)]
enum Told {
    ByAck,
    ByRead,
}

/// A question for a time, and its answer.
struct ByTime {
    at: usize,
    process: u32,
    wanted: i64,
    found: Option<(i64, i64)>,
    /// What was known to be there when it was asked.
    end: i64,
}

/// A number that only grows, with when it grew.
#[derive(Default)]
struct Growing(Vec<(usize, i64)>);

impl Growing {
    fn raise(&mut self, at: usize, to: i64) {
        if self.now() < to {
            self.0.push((at, to));
        }
    }

    fn now(&self) -> i64 {
        self.0.last().map_or(0, |(_, value)| *value)
    }

    /// As of before event `at`.
    fn before(&self, at: usize) -> i64 {
        let past = self.0.partition_point(|(when, _)| *when < at);
        past.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

#[derive(Default)]
struct Checker {
    at: usize,
    found: Vec<Anomaly>,
    batches: BTreeMap<BatchId, Batch>,
    /// Where each value was sent.
    home: BTreeMap<Value, (Place, BatchId)>,
    /// What is known to be at an offset.
    log: BTreeMap<(Place, i64), (Value, Told, usize)>,
    /// Ends that follow from acks, for everybody and by process.
    acked: BTreeMap<Place, Growing>,
    acked_by: BTreeMap<(Place, u32), Growing>,
    /// Ends that anybody knew of, however.
    known: BTreeMap<Place, Growing>,
    /// Ends as fetched from each process.
    fetched: BTreeMap<(Place, u32), Growing>,
    /// Answers to questions for a time.
    by_time: BTreeMap<Place, Vec<ByTime>>,
    /// Where each reader goes on.
    readers: BTreeMap<(u32, Place), i64>,
    last: BTreeMap<Place, (usize, Vec<(i64, Value)>)>,
}

impl Checker {
    fn wrong(&mut self, wrong: Wrong, says: String) {
        let at = self.at;
        self.found.push(Anomaly { wrong, at, says });
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Sent {
                batch,
                kind,
                place,
                values,
                wire,
            } => self.sent(*batch, *kind, *place, values, *wire),
            Event::Acked {
                batch,
                base_offset,
                process,
            } => self.acked(*batch, *base_offset, *process),
            Event::Refused { batch, code } => {
                self.wrong(Wrong::Refused, format!("batch {batch:?} with {code}"))
            }
            Event::End {
                source,
                began,
                process,
                place,
                end,
            } => self.end(*source, *began, *process, *place, *end),
            Event::ByTime {
                began,
                process,
                place,
                wanted,
                found,
            } => {
                let end = self.known.entry(*place).or_default().before(*began);
                self.by_time.entry(*place).or_default().push(ByTime {
                    at: self.at,
                    process: *process,
                    wanted: *wanted,
                    found: *found,
                    end,
                });
            }
            Event::OutOfRange {
                began,
                process,
                place,
                offset,
            } => {
                let end = self.known.entry(*place).or_default().before(*began);
                if (0..=end).contains(offset) {
                    let says = format!(
                        "process {process} refused offset {offset} of {place:?}, known to hold {end}"
                    );
                    self.wrong(Wrong::OutOfRange, says);
                }
            }
            Event::Seek {
                reader,
                place,
                offset,
            } => {
                self.readers.insert((*reader, *place), *offset);
            }
            Event::Read {
                reader,
                place,
                offset,
                value,
            } => self.read(*reader, *place, *offset, *value),
            Event::Garbage {
                place,
                offset,
                what,
            } => self.wrong(Wrong::Garbage, format!("at {offset} of {place:?}: {what}")),
            Event::Last {
                place,
                end,
                records,
            } => self.last(*place, *end, records),
            Event::Broken(what) => self.wrong(Wrong::Broken, what.clone()),
            Event::Note(_) => {}
        }
    }
}
