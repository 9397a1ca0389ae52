//! What was logged of damage: each place once in a while, at a bounded rate, for readers come back at once and without end.

use std::collections::HashMap;
use std::time::Duration;

use metadata::{Offset, TopicPartition};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::metrics::DamageKind;

/// The same damage is logged again after so long.
const SAY_AGAIN: Duration = Duration::from_secs(10 * 60);
/// Lines in a window; what finds no room is logged in a later one, should somebody meet it there.
const LINES_MAX: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Of so many is known when they were logged last.
const KNOWN_MAX: usize = 4096;

/// What was logged, by this process.
static SAID: Mutex<Option<Said>> = Mutex::new(None);

/// Whether to log it now, and how often something was met without a word since the line before.
pub(super) fn admit(cause: Cause) -> Option<u64> {
    let now = Instant::now();
    let mut said = SAID.lock();
    said.get_or_insert_with(|| Said::new(now)).admit(cause, now)
}

/// One place, whoever meets it, and how it is damaged; `None`: it is no more, for it was given up.
pub(super) type Cause = (Option<DamageKind>, TopicPartition, Offset);

/// When damage was logged.
#[derive(Debug)]
struct Said {
    known: HashMap<Cause, Instant>,
    window: Instant,
    lines: u32,
    /// Meetings that found no room.
    unsaid: u64,
}

impl Said {
    fn new(now: Instant) -> Self {
        Self {
            known: HashMap::new(),
            window: now,
            lines: 0,
            unsaid: 0,
        }
    }

    /// Whether to log it, and how often damage was met without a word since the line before.
    fn admit(&mut self, cause: Cause, now: Instant) -> Option<u64> {
        let lately = |said: &Instant| now.saturating_duration_since(*said) < SAY_AGAIN;
        if self.known.get(&cause).is_some_and(lately) {
            return None;
        }
        if now.saturating_duration_since(self.window) >= WINDOW {
            self.window = now;
            self.lines = 0;
        }
        if self.lines >= LINES_MAX {
            self.unsaid += 1;
            return None;
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.retain(|_, said| lately(said));
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.lines += 1;
        self.known.insert(cause, now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use metadata::{PartitionIndex, TopicId};

    use super::*;

    const AT: TopicPartition = TopicPartition {
        topic: TopicId(1),
        partition: PartitionIndex(0),
    };

    #[tokio::test(start_paused = true)]
    async fn damage_is_logged_once_in_a_while_and_never_in_floods() {
        let mut said = Said::new(Instant::now());
        let mut meet =
            |from| said.admit((Some(DamageKind::Block), AT, Offset(from)), Instant::now());
        assert_eq!(meet(0), Some(0));
        assert_eq!(meet(0), None);
        for from in 1..20 {
            assert_eq!(meet(from), Some(0), "{from}");
        }
        for from in 20..30 {
            assert_eq!(meet(from), None, "{from}");
        }
        tokio::time::advance(WINDOW).await;
        assert_eq!(meet(0), None);
        assert_eq!(meet(25), Some(10), "what was not said is said later");
        tokio::time::advance(SAY_AGAIN).await;
        assert_eq!(meet(0), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_of_the_log_has_a_bound() {
        let mut said = Said::new(Instant::now());
        let mut lines = 0;
        for from in 0..50_000 {
            tokio::time::advance(WINDOW / 100).await;
            let cause = (Some(DamageKind::Block), AT, Offset(from));
            lines += u32::from(said.admit(cause, Instant::now()).is_some());
            assert!(said.known.len() <= KNOWN_MAX);
        }
        assert!(lines <= 501 * LINES_MAX, "{lines}");
    }
}
