//! The job that has the cache let go of what nobody reads.

use std::time::Duration;

use super::Cache;
use crate::jobs::{Budget, Job, Progress, Terms};

/// Blocks that go in one turn: who reads or writes waits for them.
const AT_ONCE: usize = 4096;

/// Sweeps a cache.
#[derive(Debug)]
pub(crate) struct Sweep(Cache);

impl Sweep {
    pub(crate) fn of(cache: Cache) -> Self {
        Self(cache)
    }
}

impl Job for Sweep {
    fn terms(&self) -> Terms {
        Terms {
            name: "cache sweep",
            pause: (self.0.idle() / 4).max(Duration::from_millis(100)),
            turn_max: Duration::from_secs(10),
            // It makes none.
            requests_per_second: 1,
        }
    }

    async fn turn(&mut self, _: &Budget) -> Result<Progress, String> {
        let gone = self.0.sweep(AT_ONCE);
        let done = gone as u64;
        Ok(match gone < AT_ONCE {
            true => Progress::Idle { done },
            false => Progress::More { done },
        })
    }
}
