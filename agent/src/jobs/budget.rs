//! How fast a job may ask: its requests are spread over time, whatever it has to do.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// The requests of one job.
#[derive(Debug)]
pub(crate) struct Budget {
    interval: Duration,
    /// When the next one may pass.
    next: Mutex<Instant>,
}

impl Budget {
    pub(super) fn per_second(requests: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / requests.max(1),
            next: Mutex::new(Instant::now()),
        }
    }

    /// To be waited for before each request, or the few that belong together. What was not used in time is not saved up.
    pub(crate) async fn request(&self) {
        let at = {
            let mut next = self.next.lock();
            let at = (*next).max(Instant::now());
            *next = at + self.interval;
            at
        };
        sleep_until(at).await;
    }
}
