//! What attackers were answered, and what they measured. Shared by all attackers of a case.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<Counts>>);

/// Of one attack.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    asked: u64,
    pub(super) answers: BTreeMap<String, Answers>,
    pub(super) figures: BTreeMap<&'static str, f64>,
}

/// All that said the same.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Answers {
    count: u64,
    longest_ms: f64,
    largest_bytes: usize,
}

impl Tally {
    /// A request was sent, or a connection wanted.
    pub(super) fn ask(&self) {
        self.0.lock().asked += 1;
    }

    /// So it was answered, after so long and with so many bytes.
    pub(super) fn answer(&self, said: &str, after: Duration, bytes: usize) {
        let mut counts = self.0.lock();
        if !counts.answers.contains_key(said) {
            counts.answers.insert(said.to_owned(), Answers::default());
        }
        if let Some(answers) = counts.answers.get_mut(said) {
            answers.count += 1;
            answers.longest_ms = answers.longest_ms.max(after.as_secs_f64() * 1e3).round();
            answers.largest_bytes = answers.largest_bytes.max(bytes);
        }
    }

    /// Something else that was measured; the last that is said counts.
    pub(super) fn measure(&self, what: &'static str, value: f64) {
        self.0.lock().figures.insert(what, value);
    }

    /// What was asked and had no answer when the attackers left stands there, too.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = self.0.lock().clone();
        let answered: u64 = counts.answers.values().map(|answers| answers.count).sum();
        let count = counts.asked.saturating_sub(answered);
        if count > 0 {
            let waiting = Answers {
                count,
                ..Answers::default()
            };
            counts.answers.insert("no answer yet".to_owned(), waiting);
        }
        counts
    }
}

impl Counts {
    /// Adds those of another run of the same attack.
    pub(super) fn add(&mut self, other: Self) {
        for (said, more) in other.answers {
            let answers = self.answers.entry(said).or_default();
            answers.count += more.count;
            answers.longest_ms = answers.longest_ms.max(more.longest_ms);
            answers.largest_bytes = answers.largest_bytes.max(more.largest_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_answered_is_counted_too() {
        let tally = Tally::default();
        for _ in 0..3 {
            tally.ask();
        }
        tally.answer("NONE", Duration::from_millis(7), 10);
        tally.answer("NONE", Duration::from_millis(3), 20);
        let mut counts = tally.counts();
        counts.add(tally.counts());
        let none = &counts.answers["NONE"];
        assert_eq!(
            (none.count, none.longest_ms, none.largest_bytes),
            (4, 7.0, 20)
        );
        assert_eq!(counts.answers["no answer yet"].count, 2);
    }
}
