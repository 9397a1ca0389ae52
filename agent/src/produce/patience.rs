//! How long the open segment waits for requests that are expected and not here: a share of what storing it takes anyway.
//! Where a PUT takes long, clients that were answered together are stored together again; where it takes next to nothing,
//! nobody waits, and a client that keeps its requests back until it hears of earlier ones is not kept waiting in turn.
//! Pure. Used by `flusher`.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The part of the time to store a segment that may be added to it.
const SHARE: u32 = 8;
/// What is stored faster is not worth a timer, whose ticks are as long.
const STORING_MIN: Duration = Duration::from_millis(1);
/// The weight of what was known before, of this and one.
const MEMORY: u32 = 3;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    /// What it took lately.
    storing: Duration,
}

impl Patience {
    /// A segment was stored and committed in that time.
    pub(super) fn stored_in(&mut self, took: Duration) {
        self.storing = (self.storing.saturating_mul(MEMORY).saturating_add(took)) / (MEMORY + 1);
    }

    /// Whether a segment that was opened then still waits for requests that are expected.
    pub(super) fn hold(&self, expected: bool, opened: Instant, now: Instant) -> Hold {
        let until = opened + self.limit();
        if expected && now < until {
            Hold::Expected(until)
        } else {
            Hold::Off
        }
    }

    fn limit(&self) -> Duration {
        if self.storing < STORING_MIN {
            Duration::ZERO
        } else {
            self.storing / SHARE
        }
    }
}

/// Why a segment that might be sealed is not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Hold {
    /// It is.
    Off,
    /// Connections still read what is here, which costs nothing to wait for.
    Readers,
    /// Connections whose sockets have something may not have had their turn.
    Turns,
    /// Requests are expected that are not here, and waited for until then.
    Expected(Instant),
}

impl Hold {
    pub(super) fn is_timed(self) -> bool {
        matches!(self, Self::Expected(_))
    }

    /// When time alone ends it.
    pub(super) async fn ends(self) {
        match self {
            Self::Expected(until) => sleep_until(until).await,
            Self::Off | Self::Readers | Self::Turns => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(took: Duration) -> Duration {
        let mut patience = Patience::default();
        for _ in 0..20 {
            patience.stored_in(took);
        }
        patience.limit()
    }

    #[test]
    fn waiting_adds_an_eighth_at_the_most() {
        for millis in [2, 50, 3000] {
            let took = Duration::from_millis(millis);
            assert!(after(took) <= took / 8, "{millis}");
            assert!(after(took) > took / 9, "{millis}");
        }
    }

    #[test]
    fn what_costs_nothing_is_waited_for_by_nobody() {
        assert_eq!(Patience::default().limit(), Duration::ZERO);
        assert_eq!(after(Duration::from_micros(900)), Duration::ZERO);
    }

    #[test]
    fn what_is_expected_is_waited_for_only_so_long() {
        let mut patience = Patience::default();
        let opened = Instant::now();
        let later = |micros| opened + Duration::from_micros(micros);
        assert_eq!(patience.hold(true, opened, opened), Hold::Off);
        // A quarter of it is believed at first.
        patience.stored_in(Duration::from_millis(32));
        let hold = patience.hold(true, opened, later(999));
        assert_eq!(hold, Hold::Expected(later(1000)));
        assert_eq!(patience.hold(true, opened, later(1000)), Hold::Off);
        assert_eq!(patience.hold(false, opened, opened), Hold::Off);
    }
}
