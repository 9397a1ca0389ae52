//! What agents say that they were told, and the store does not hold: it may have gone back in time, or they are of another
//! cluster, or make it up.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::history::Point;
use crate::types::Lsn;

/// The next line in the log is at least so much later.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Of the agents of one holder.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    heard: Notify,
    /// When one was logged last, and how many were not since.
    said: Mutex<Option<(Instant, u64)>>,
}

impl Doubts {
    /// An agent was told of `point`, it says, which a store that is durable up to `durable` does not hold. It leaves word in
    /// the bucket, which is to be asked.
    pub(crate) fn hear(&self, point: &Point, durable: Lsn) {
        self.heard.notify_one();
        if let Some(unsaid) = self.admit() {
            tracing::error!(
                agent = point.lsn.0,
                history = %point.history,
                holder = durable.0,
                unsaid,
                "an agent says that it was told of what this store does not hold: the store went back in time, or that agent is of \
                 another cluster; the bucket is asked"
            );
        }
    }

    /// Resolves once there is one.
    pub(super) async fn heard(&self) {
        self.heard.notified().await;
    }

    /// How many were not logged, if this one is.
    fn admit(&self) -> Option<u64> {
        let mut said = self.said.lock();
        match &mut *said {
            Some((at, unsaid)) if at.elapsed() < SAY_AGAIN => {
                *unsaid += 1;
                None
            }
            said => {
                let before = said.replace((Instant::now(), 0));
                Some(before.map_or(0, |(_, unsaid)| unsaid))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_doubt_is_logged_once_a_minute() {
        let doubts = Doubts::default();
        assert_eq!(doubts.admit(), Some(0));
        for _ in 0..10 {
            assert_eq!(doubts.admit(), None);
        }
        tokio::time::advance(SAY_AGAIN).await;
        assert_eq!(doubts.admit(), Some(10));
    }
}
