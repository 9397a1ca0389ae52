//! State time: what log entries say of when. It goes on with this process's monotonic clock from where the log ends, so a
//! wall clock that is wrong, or that somebody sets, decides nothing. A process that takes over looks at its wall clock
//! once, for state time stood still while nobody held the order; what it catches up is bounded.

use tokio::time::Instant;

use super::Options;
use crate::types::Timestamp;

/// State time moves towards the wall clock by at most so much when a process takes over.
const CATCH_UP_MAX_MS: i64 = 10 * 60 * 1000;

/// The clock of a process that holds the order.
#[derive(Clone, Copy, Debug)]
pub(super) struct StateTime {
    at: Timestamp,
    as_of: Instant,
}

impl StateTime {
    /// Of a process that took over where the log ends at state time `last`; 0 says that there is no log yet, and then the
    /// wall clock is as good as any.
    pub(super) fn take_over(last: Timestamp, options: &Options) -> Self {
        let wall = (options.now)();
        let at = match last {
            Timestamp(0) => wall,
            Timestamp(last) => {
                let behind = wall.0.saturating_sub(last).clamp(0, CATCH_UP_MAX_MS);
                Timestamp(last.saturating_add(behind))
            }
        };
        Self {
            at,
            as_of: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        let since = i64::try_from(self.as_of.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp(self.at.0.saturating_add(since))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;
    const LAST: i64 = 1_790_000_000_000;

    fn at(wall: i64, last: i64) -> StateTime {
        let options = Options::new(Arc::new(move || Timestamp(wall)));
        StateTime::take_over(Timestamp(last), &options)
    }

    #[tokio::test(start_paused = true)]
    async fn a_take_over_catches_up_with_the_wall_clock_but_not_far_and_never_goes_back() {
        for (wall, expected) in [
            (LAST - 24 * HOUR_MS, LAST),
            (LAST, LAST),
            (LAST + 1, LAST + 1),
            (LAST + HOUR_MS / 6, LAST + HOUR_MS / 6),
            (LAST + 24 * HOUR_MS, LAST + HOUR_MS / 6),
            (i64::MAX, LAST + HOUR_MS / 6),
            (i64::MIN, LAST),
        ] {
            assert_eq!(at(wall, LAST).now(), Timestamp(expected), "{wall}");
        }
        assert_eq!(at(LAST, 0).now(), Timestamp(LAST), "a store that is new");
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_with_the_monotonic_clock() {
        let time = at(LAST, LAST);
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(time.now(), Timestamp(LAST + 1500));
    }
}
