//! Whether the bucket takes segments, as far as its PUTs tell. While it does not, a small PUT a second asks whether it does
//! again: readiness tells the truth without traffic, and those who wait between two tries go on at once. `store` notes
//! every PUT here, `rooms` runs the asking, `http` shows what is known.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::{Store, StoreError};
use crate::tasks::Stop;

/// PUTs may fail for so long before that is called an outage: what is tried again meanwhile mostly works.
const OUTAGE_MIN: Duration = Duration::from_secs(3);
/// A small PUT that works does not excuse segments that failed so recently.
const SEGMENT_MEMORY: Duration = Duration::from_secs(10);
const ASK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Availability {
    failing: Mutex<Option<Failing>>,
    failed: Notify,
    recovered: Notify,
}

/// Since no PUT works any more.
#[derive(Clone, Debug)]
struct Failing {
    /// The first that failed began then.
    since: Instant,
    /// The last segment that failed did then.
    segment: Instant,
    /// Why that one did.
    why: String,
    /// Whether the log has a word of it.
    said: bool,
}

impl Failing {
    fn is_outage(&self) -> bool {
        self.since.elapsed() >= OUTAGE_MIN
    }
}

impl Availability {
    /// A try to store a segment, begun then, did not work.
    pub(super) fn failed(&self, began: Instant, error: &StoreError) {
        let (segment, why) = (Instant::now(), error.to_string());
        let mut failing = self.failing.lock();
        match failing.as_mut() {
            Some(failing) => (failing.segment, failing.why) = (segment, why),
            None => {
                *failing = Some(Failing {
                    since: began,
                    segment,
                    why,
                    said: false,
                });
                self.failed.notify_waiters();
            }
        }
    }

    /// A segment was stored.
    pub(super) fn stored(&self) {
        if let Some(failing) = self.failing.lock().take() {
            self.over(&failing);
        }
    }

    /// The small PUT worked.
    fn answered(&self) {
        let mut known = self.failing.lock();
        match known.as_ref() {
            Some(failing) if failing.segment.elapsed() >= SEGMENT_MEMORY => {
                self.over(failing);
                *known = None;
            }
            Some(failing) => self.wake(failing),
            None => {}
        }
    }

    fn over(&self, failing: &Failing) {
        self.wake(failing);
        if failing.said {
            let seconds = failing.since.elapsed().as_secs();
            tracing::info!(seconds, "the bucket can be written again");
        }
    }

    /// Not where some PUTs work and some do not: a bucket that throttles wants the pauses kept.
    fn wake(&self, failing: &Failing) {
        if failing.since.elapsed() >= ASK_INTERVAL {
            self.recovered.notify_waiters();
        }
    }

    /// Has the log say that there is an outage, once: those who wait for segments are told much later.
    fn say(&self) {
        let mut failing = self.failing.lock();
        if let Some(failing) = failing.as_mut()
            && !failing.said
            && failing.is_outage()
        {
            failing.said = true;
            tracing::warn!(error = failing.why, "the bucket cannot be written");
        }
    }

    /// A pause between two tries, shorter if the bucket is there again.
    pub(super) async fn pause(&self, most: Duration) {
        tokio::select! {
            biased;
            () = self.recovered.notified() => {}
            () = sleep(most) => {}
        }
    }

    fn is_failing(&self) -> bool {
        self.failing.lock().is_some()
    }

    /// Until a PUT has failed.
    async fn suspected(&self) {
        let failed = self.failed.notified();
        if !self.is_failing() {
            failed.await;
        }
    }
}

impl Store {
    /// Why the last segment could not be stored, while none can as far as is known.
    #[must_use]
    pub fn unwritable(&self) -> Option<String> {
        let failing = self.availability().failing.lock();
        let outage = failing.as_ref().filter(|failing| failing.is_outage());
        outage.map(|failing| failing.why.clone())
    }

    /// Asks a bucket that failed until it works again. Until told to stop.
    pub async fn watch(&self, mut stop: Stop) {
        let asking = async {
            loop {
                self.availability().suspected().await;
                // Segments tell themselves, most of the time.
                sleep(ASK_INTERVAL).await;
                self.availability().say();
                if self.availability().is_failing() && self.put_probe().await {
                    self.availability().answered();
                }
            }
        };
        tokio::select! {
            () = asking => {}
            () = stop.requested() => {}
        }
    }
}
