//! When to send a second request after a first that takes long: past the p95 of late, within a budget. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// Durations remembered.
const SAMPLES: usize = 128;
/// Fewer say nothing about a p95.
const SAMPLES_MIN: usize = 20;
/// Never sooner: a store that answers faster needs no help.
const DELAY_MIN: Duration = Duration::from_millis(50);
/// Each request earns 2 % of a hedge.
const EARNED: u32 = 20;
const PRICE: u32 = 1000;
/// Ten hedges may be saved up for a bad moment.
const SAVED_MAX: u32 = 10 * PRICE;

/// Tracks one kind of request.
#[derive(Debug)]
pub(super) struct Hedge {
    recent: VecDeque<Duration>,
    budget: u32,
}

impl Default for Hedge {
    fn default() -> Self {
        Self {
            recent: VecDeque::new(),
            budget: SAVED_MAX,
        }
    }
}

impl Hedge {
    /// A request begins: after how long a second one is worth its price. `None`: not known yet.
    pub(super) fn delay(&mut self) -> Option<Duration> {
        self.budget = (self.budget + EARNED).min(SAVED_MAX);
        if self.recent.len() < SAMPLES_MIN {
            return None;
        }
        let mut sorted: Vec<_> = self.recent.iter().copied().collect();
        let rank = sorted.len() * 95 / 100;
        let (_, p95, _) = sorted.select_nth_unstable(rank);
        Some((*p95).max(DELAY_MIN))
    }

    /// Whether a hedge may be sent now; if so, it is paid for.
    pub(super) fn pay(&mut self) -> bool {
        let affordable = self.budget >= PRICE;
        if affordable {
            self.budget -= PRICE;
        }
        affordable
    }

    /// A request succeeded after so long.
    pub(super) fn took(&mut self, duration: Duration) {
        if self.recent.len() == SAMPLES {
            self.recent.pop_front();
        }
        self.recent.push_back(duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_the_p95_and_never_less_than_the_minimum() {
        let mut hedge = Hedge::default();
        assert_eq!(hedge.delay(), None);
        (0..100).for_each(|ms| hedge.took(Duration::from_millis(ms)));
        assert_eq!(hedge.delay(), Some(Duration::from_millis(95)));
        (0..128).for_each(|_| hedge.took(Duration::from_millis(1)));
        assert_eq!(hedge.delay(), Some(DELAY_MIN));
    }

    #[test]
    fn two_in_a_hundred_once_savings_are_spent() {
        let mut hedge = Hedge::default();
        assert_eq!((0..100).filter(|_| hedge.pay()).count(), 10);
        let sent = (0..1000).filter(|_| {
            hedge.delay();
            hedge.pay()
        });
        assert_eq!(sent.count(), 20);
    }
}
