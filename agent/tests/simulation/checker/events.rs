//! What each event says, against what was said before it.

use super::{Batch, Checker, Told, Wrong};
use crate::history::{BatchId, Kind, Place, Source, Value};

impl Checker {
    pub(super) fn sent(
        &mut self,
        id: BatchId,
        kind: Kind,
        place: Place,
        values: &[Value],
        wire: u32,
    ) {
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

    pub(super) fn acked(&mut self, id: BatchId, base_offset: i64, process: u32) {
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

    pub(super) fn end(
        &mut self,
        source: Source,
        began: usize,
        process: u32,
        place: Place,
        end: i64,
    ) {
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

    pub(super) fn read(&mut self, reader: u32, place: Place, offset: i64, value: Value) {
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

    pub(super) fn last(&mut self, place: Place, end: i64, records: &[(i64, Value)]) {
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
}
