//! How many PUTs small traffic may cost: a token bucket of one second. Pure. Used by `flusher`.

use tokio::time::Instant;

/// Tokens for seals of segments that are not full; endless where a PUT costs nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct PutBudget {
    per_second: Option<f64>,
    tokens: f64,
    counted: Instant,
}

impl PutBudget {
    pub(super) fn new(per_second: Option<f64>, now: Instant) -> Self {
        Self {
            per_second,
            tokens: per_second.unwrap_or_default(),
            counted: now,
        }
    }

    /// Takes a token if there is one: for a seal that could wait.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let Some(per_second) = self.per_second else {
            return true;
        };
        self.refill(per_second, now);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// Takes what there is of a token: for a seal that cannot wait, but that leaves less for those that can.
    pub(super) fn spend(&mut self, now: Instant) {
        if let Some(per_second) = self.per_second {
            self.refill(per_second, now);
            self.tokens = (self.tokens - 1.0).max(0.0);
        }
    }

    fn refill(&mut self, per_second: f64, now: Instant) {
        let elapsed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.counted = now;
        self.tokens = (self.tokens + elapsed * per_second).min(per_second);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_holds_no_more_than_its_tokens() {
        let start = Instant::now();
        let mut budget = PutBudget::new(Some(10.0), start);
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!((0..100).filter(|_| budget.take(start)).count(), 10);
        assert_eq!(
            (0..100).filter(|step| budget.take(at(10 * step))).count(),
            9
        );
        assert!(PutBudget::new(None, start).take(start));
    }

    #[test]
    fn seals_that_cannot_wait_leave_none_for_those_that_can() {
        let start = Instant::now();
        let mut budget = PutBudget::new(Some(10.0), start);
        assert_eq!((0..10).filter(|_| budget.take(start)).count(), 10);
        let early = (1..=50)
            .filter(|step| {
                let now = start + Duration::from_millis(100 * step);
                budget.spend(now);
                budget.take(now)
            })
            .count();
        assert_eq!(early, 0, "ten a second are spent on age already");
    }
}
