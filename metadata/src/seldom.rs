//! Lines of the log on what peers may make happen at any rate: a few a minute, each with how many there were without one.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lines are counted in it.
const WINDOW: Duration = Duration::from_secs(60);

/// One kind of line.
#[derive(Debug)]
pub(crate) struct Seldom {
    /// In a window.
    lines_max: u32,
    lately: Mutex<Option<Lately>>,
}

#[derive(Debug)]
struct Lately {
    began: Instant,
    lines: u32,
    unsaid: u64,
}

impl Seldom {
    /// So many lines a minute.
    pub(crate) const fn new(lines_max: u32) -> Self {
        Self {
            lines_max,
            lately: Mutex::new(None),
        }
    }

    /// How many were not logged since the last line, if this one is.
    pub(crate) fn admit(&self) -> Option<u64> {
        let now = Instant::now();
        let mut lately = self.lately.lock();
        let lately = lately.get_or_insert(Lately {
            began: now,
            lines: 0,
            unsaid: 0,
        });
        if now.saturating_duration_since(lately.began) >= WINDOW {
            (lately.began, lately.lines) = (now, 0);
        }
        if lately.lines >= self.lines_max {
            lately.unsaid += 1;
            return None;
        }
        lately.lines += 1;
        Some(std::mem::take(&mut lately.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn few_lines_a_minute_say_how_many_there_were_without_one() {
        for lines in [1, 16] {
            let seldom = Seldom::new(lines);
            for _ in 0..lines {
                assert_eq!(seldom.admit(), Some(0));
            }
            for _ in 0..10 {
                assert_eq!(seldom.admit(), None);
            }
            tokio::time::advance(WINDOW).await;
            assert_eq!(seldom.admit(), Some(10));
        }
    }
}
