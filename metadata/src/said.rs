//! What was logged lately: the same thing once in a while, and never in floods, for peers come back at once and without
//! end. The one place that decides to say nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lines are counted in it; what finds no room is logged in a later one, should it be met there.
const WINDOW: Duration = Duration::from_secs(60);
/// Of so many causes is known when they were logged last.
const KNOWN_MAX: usize = 4096;

/// Of one kind of line, by cause.
#[derive(Debug)]
pub struct Said<K> {
    /// The same cause is logged again after so long.
    again: Duration,
    /// In a window.
    lines_max: u32,
    lately: Mutex<Option<Lately<K>>>,
}

#[derive(Debug)]
struct Lately<K> {
    known: HashMap<K, Instant>,
    window: Instant,
    lines: u32,
    unsaid: u64,
}

impl Said<()> {
    /// So many lines a minute of what has one cause, which peers may make happen at any rate.
    pub(crate) const fn seldom(lines_max: u32) -> Self {
        Self::new(Duration::ZERO, lines_max)
    }
}

impl<K: Eq + Hash> Said<K> {
    /// The same cause again after `again`, and no more than `lines_max` lines a minute for all of them.
    pub const fn new(again: Duration, lines_max: u32) -> Self {
        Self {
            again,
            lines_max,
            lately: Mutex::new(None),
        }
    }

    /// Whether to log it now, and how much was met without a line since the one before, whatever its cause.
    pub fn admit(&self, cause: K) -> Option<u64> {
        let now = Instant::now();
        let mut lately = self.lately.lock();
        let lately = lately.get_or_insert_with(|| Lately {
            known: HashMap::new(),
            window: now,
            lines: 0,
            unsaid: 0,
        });
        if self.may_log(lately, cause, now) {
            lately.lines += 1;
            return Some(std::mem::take(&mut lately.unsaid));
        }
        lately.unsaid += 1;
        None
    }

    fn may_log(&self, lately: &mut Lately<K>, cause: K, now: Instant) -> bool {
        let recently = |said: &Instant| now.saturating_duration_since(*said) < self.again;
        if lately.known.get(&cause).is_some_and(recently) {
            return false;
        }
        if now.saturating_duration_since(lately.window) >= WINDOW {
            lately.window = now;
            lately.lines = 0;
        }
        if lately.lines >= self.lines_max {
            return false;
        }
        if lately.known.len() >= KNOWN_MAX {
            lately.known.retain(|_, said| recently(said));
        }
        if lately.known.len() >= KNOWN_MAX {
            lately.known.clear();
        }
        lately.known.insert(cause, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const AGAIN: Duration = Duration::from_secs(600);

    #[tokio::test(start_paused = true)]
    async fn a_cause_is_logged_once_in_a_while_and_few_in_all() {
        let said = Said::new(AGAIN, 20);
        assert_eq!(said.admit(0), Some(0));
        assert_eq!(said.admit(0), None);
        assert_eq!(said.admit(1), Some(1), "the one without a line");
        for cause in 2..20 {
            assert_eq!(said.admit(cause), Some(0), "{cause}");
        }
        for cause in 20..30 {
            assert_eq!(said.admit(cause), None, "{cause}");
        }
        advance(WINDOW).await;
        assert_eq!(said.admit(0), None);
        assert_eq!(said.admit(25), Some(11), "what found no room is said later");
        advance(AGAIN).await;
        assert_eq!(said.admit(0), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_of_the_log_has_a_bound() {
        let said = Said::new(AGAIN, 20);
        let mut lines = 0;
        for cause in 0..50_000 {
            advance(WINDOW / 100).await;
            lines += u32::from(said.admit(cause).is_some());
            let lately = said.lately.lock();
            assert!(lately.as_ref().is_some_and(|l| l.known.len() <= KNOWN_MAX));
        }
        assert!(lines <= 501 * 20, "{lines}");
    }

    #[tokio::test(start_paused = true)]
    async fn few_lines_a_minute_say_how_many_there_were_without_one() {
        for lines in [1, 16] {
            let seldom = Said::seldom(lines);
            for _ in 0..lines {
                assert_eq!(seldom.admit(()), Some(0));
            }
            for _ in 0..10 {
                assert_eq!(seldom.admit(()), None);
            }
            advance(WINDOW).await;
            assert_eq!(seldom.admit(()), Some(10));
        }
    }
}
