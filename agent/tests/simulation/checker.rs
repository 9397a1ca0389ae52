//! Judges a history. Pure: no run is needed to test it. After Jepsen's analysis of Kafka-like logs, and stricter where our
//! offsets come from one place: they are dense, they follow real time, and every end is true for everybody.

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{BatchId, Event, Kind, Place, Source, Timed, Value, timestamp};

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

    fn sent(&mut self, id: BatchId, kind: Kind, place: Place, values: &[Value], wire: u32) {
        let floor = self.acked.entry(place).or_default().now();
        let batch = self.batches.entry(id).or_insert_with(|| Batch {
            kind,
            place,
            values: values.to_vec(),
            attempts: 0,
            wire,
            floor,
            acked: None,
        });
        batch.attempts += 1;
        for value in values {
            self.home.insert(*value, (place, id));
        }
    }

    fn acked(&mut self, id: BatchId, base_offset: i64, process: u32) {
        let at = self.at;
        let Some(batch) = self.batches.get_mut(&id) else {
            self.wrong(
                Wrong::Foreign,
                format!("batch {id:?} was acknowledged and never sent"),
            );
            return;
        };
        batch.acked = Some((at, base_offset));
        let (place, floor, values) = (batch.place, batch.floor, batch.values.clone());
        let end = base_offset + i64::try_from(values.len()).unwrap_or(i64::MAX);
        if base_offset < floor {
            let says = format!(
                "batch {id:?} got offset {base_offset} of {place:?}, which was acknowledged up to {floor} when it was first sent"
            );
            self.wrong(Wrong::Reordered, says);
        }
        for (offset, value) in (base_offset..).zip(values) {
            self.place(place, offset, value, Told::ByAck);
        }
        self.acked.entry(place).or_default().raise(at, end);
        self.known.entry(place).or_default().raise(at, end);
        self.acked_by
            .entry((place, process))
            .or_default()
            .raise(at, end);
    }

    /// A value is at an offset, somebody says.
    fn place(&mut self, place: Place, offset: i64, value: Value, told: Told) {
        let known = *self
            .log
            .entry((place, offset))
            .or_insert((value, told, self.at));
        if known.0 != value {
            let wrong = match (known.1, told) {
                (Told::ByRead, Told::ByRead) => Wrong::TwoValues,
                _ => Wrong::Elsewhere,
            };
            let says = format!(
                "offset {offset} of {place:?} holds {value:?}, and held {:?} at event {}",
                known.0, known.2
            );
            self.wrong(wrong, says);
        }
    }

    fn end(&mut self, source: Source, began: usize, process: u32, place: Place, end: i64) {
        let by_all = self.acked.entry(place).or_default().before(began);
        let by_it = self
            .acked_by
            .entry((place, process))
            .or_default()
            .before(began);
        let floor = match source {
            Source::Confirmed => by_all,
            Source::Fetched => by_it,
        };
        if end < floor {
            let says = format!(
                "process {process} told {end} ({source:?}) of {place:?}, acknowledged up to {floor} before"
            );
            self.wrong(Wrong::StaleEnd, says);
        }
        let at = self.at;
        let known = self.known.entry(place).or_default();
        let before = match source {
            Source::Confirmed => known.before(began),
            Source::Fetched => {
                let fetched = self.fetched.entry((place, process)).or_default();
                let before = fetched.before(began);
                fetched.raise(at, end);
                before
            }
        };
        known.raise(at, end);
        if floor <= end && end < before {
            let says = format!(
                "process {process} told {end} ({source:?}) of {place:?}, and {before} was known"
            );
            self.wrong(Wrong::EndWentBack, says);
        }
    }

    fn read(&mut self, reader: u32, place: Place, offset: i64, value: Value) {
        match self.readers.insert((reader, place), offset + 1) {
            Some(expected) if offset > expected => {
                let says =
                    format!("reader {reader} of {place:?} got {offset} when {expected} was next");
                self.wrong(Wrong::Gap, says);
            }
            Some(expected) if offset < expected => {
                let says =
                    format!("reader {reader} of {place:?} got {offset} when {expected} was next");
                self.wrong(Wrong::Repeated, says);
            }
            _ => {}
        }
        self.known
            .entry(place)
            .or_default()
            .raise(self.at, offset + 1);
        self.is_at_home(place, offset, value);
        self.place(place, offset, value, Told::ByRead);
    }

    fn is_at_home(&mut self, place: Place, offset: i64, value: Value) {
        match self.home.get(&value) {
            Some((home, _)) if *home == place => {}
            home => {
                let says = format!("{value:?} at {offset} of {place:?}; it was sent to {home:?}");
                self.wrong(Wrong::Foreign, says);
            }
        }
    }

    fn last(&mut self, place: Place, end: i64, records: &[(i64, Value)]) {
        let mut next = 0;
        for (offset, value) in records {
            if *offset != next {
                self.wrong(
                    Wrong::Gap,
                    format!("{place:?} ends with {offset} where {next} should be"),
                );
            }
            next = offset + 1;
            self.is_at_home(place, *offset, *value);
            self.place(place, *offset, *value, Told::ByRead);
        }
        if next != end {
            self.wrong(
                Wrong::Gap,
                format!("{place:?} can be read up to {next}, its end is said to be {end}"),
            );
        }
        self.last.insert(place, (self.at, records.to_vec()));
    }

    fn finish(&mut self) {
        for (place, (at, records)) in std::mem::take(&mut self.last) {
            let mut offsets: BTreeMap<Value, Vec<i64>> = BTreeMap::new();
            for (offset, value) in &records {
                offsets.entry(*value).or_default().push(*offset);
            }
            let end = records.last().map_or(0, |(offset, _)| offset + 1);
            self.at = at;
            self.check_vanished(place, end);
            self.check_order(place, &records);
            self.check_batches(place, &offsets);
            self.check_times(place, &records);
        }
    }

    /// The first record of a time stays the first; where none was found, none was known to be there.
    fn check_times(&mut self, place: Place, records: &[(i64, Value)]) {
        let of = |value: &Value| {
            let (_, id) = self.home.get(value)?;
            let index = self.batches[id]
                .values
                .iter()
                .position(|each| each == value)?;
            Some(timestamp(*id, index))
        };
        let times: Vec<(i64, i64)> = records
            .iter()
            .filter_map(|(offset, value)| Some((*offset, of(value)?)))
            .collect();
        for asked in self.by_time.remove(&place).unwrap_or_default() {
            let first = times.iter().find(|(_, time)| *time >= asked.wanted);
            let right = match asked.found {
                Some(found) => first == Some(&found),
                None => first.is_none_or(|(offset, _)| *offset >= asked.end),
            };
            if !right {
                self.at = asked.at;
                let ByTime {
                    process,
                    wanted,
                    found,
                    end,
                    ..
                } = asked;
                let says = format!(
                    "process {process} found {found:?} for time {wanted} of {place:?}, known to hold {end}: it is {first:?}"
                );
                self.wrong(Wrong::OtherTime, says);
            }
        }
    }

    fn check_vanished(&mut self, place: Place, end: i64) {
        let gone: Vec<_> = self
            .log
            .range((place, end)..=(place, i64::MAX))
            .map(|(key, known)| (key.1, *known))
            .collect();
        for (offset, (value, told, when)) in gone {
            if matches!(told, Told::ByRead) {
                self.wrong(
                    Wrong::Vanished,
                    format!("{value:?} was read at {offset} of {place:?} (event {when})"),
                );
            }
        }
    }

    /// What an idempotent producer sent to a partition lies there in the order in which it was made; and so does what a
    /// plain one sent once, over one connection.
    fn check_order(&mut self, place: Place, records: &[(i64, Value)]) {
        let mut newest: BTreeMap<(u32, Option<u32>), u32> = BTreeMap::new();
        for (offset, value) in records {
            let Some((_, batch)) = self.home.get(value) else {
                continue;
            };
            let batch = &self.batches[batch];
            let connection = match batch.kind {
                Kind::Idempotent => None,
                Kind::Plain if batch.attempts == 1 => Some(batch.wire),
                Kind::Plain => continue,
            };
            let newest = newest
                .entry((value.producer, connection))
                .or_insert(value.number);
            if value.number < *newest {
                let says = format!(
                    "{value:?} lies at {offset} of {place:?}, after number {newest} of its producer"
                );
                self.wrong(Wrong::Reordered, says);
            }
            *newest = value.number.max(*newest);
        }
    }

    fn check_batches(&mut self, place: Place, offsets: &BTreeMap<Value, Vec<i64>>) {
        let none = Vec::new();
        let mut found = Vec::new();
        for (id, batch) in self
            .batches
            .iter()
            .filter(|(_, batch)| batch.place == place)
        {
            let at = |value: &Value| offsets.get(value).unwrap_or(&none);
            let there = batch
                .values
                .iter()
                .filter(|value| !at(value).is_empty())
                .count();
            if there == 0 {
                if let Some((when, base)) = batch.acked {
                    found.push((
                        Wrong::Lost,
                        format!("batch {id:?}, acknowledged at {base} of {place:?} (event {when})"),
                    ));
                }
                continue;
            }
            let firsts = at(&batch.values[0]);
            let neighbours = |(delta, value): (i64, &Value)| {
                at(value)
                    .iter()
                    .copied()
                    .eq(firsts.iter().map(|first| first + delta))
            };
            if there < batch.values.len() || !(0..).zip(&batch.values).all(neighbours) {
                found.push((
                    Wrong::Torn,
                    format!(
                        "batch {id:?} in {place:?}: {there} of {} records",
                        batch.values.len()
                    ),
                ));
            }
            let sent_once = batch.attempts == 1;
            if firsts.len() > 1 && (batch.kind == Kind::Idempotent || sent_once) {
                found.push((
                    Wrong::Duplicate,
                    format!("batch {id:?} lies at {firsts:?} of {place:?}"),
                ));
            }
            if let Some((when, base)) = batch.acked
                && !firsts.contains(&base)
            {
                found.push((Wrong::Elsewhere, format!("batch {id:?} lies at {firsts:?} of {place:?}, acknowledged at {base} (event {when})")));
            }
        }
        for (wrong, says) in found {
            self.wrong(wrong, says);
        }
    }
}
