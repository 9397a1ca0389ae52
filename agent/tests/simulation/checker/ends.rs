//! What a history ends with, against all that was said: what was lost, torn, doubled, out of order, or found by no time.

use std::collections::BTreeMap;

use super::{ByTime, Checker, Told, Wrong};
use crate::history::{Kind, Place, Value, timestamp};

impl Checker {
    pub(super) fn finish(&mut self) {
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
