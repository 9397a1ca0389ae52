//! Latencies of one run, kept one by one: runs are bounded in count.

use std::time::Duration;

use serde::Serialize;

#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

/// Milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn summary(mut self) -> Summary {
        self.0.sort_unstable();
        let at = |per_mille: usize| {
            let index = (self.0.len() * per_mille / 1000).min(self.0.len().saturating_sub(1));
            self.0
                .get(index)
                .map_or(0.0, |latency| (latency.as_secs_f64() * 1e6).round() / 1e3)
        };
        Summary {
            count: self.0.len(),
            p50: at(500),
            p99: at(990),
            p999: at(999),
            max: at(1000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_thousand() {
        let mut latencies = Latencies::default();
        for ms in (1..=1000).rev() {
            latencies.record(Duration::from_millis(ms));
        }
        let summary = latencies.summary();
        assert_eq!(
            (summary.p50, summary.p99, summary.max),
            (501.0, 991.0, 1000.0)
        );
    }
}
