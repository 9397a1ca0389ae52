//! What agents say that they were told, and the store does not hold: it may have gone back in time, or they are of another
//! cluster, or make it up.

use tokio::sync::Notify;

use crate::history::Point;
use crate::said::Said;
use crate::types::Lsn;

/// Of the agents of one holder.
#[derive(Debug)]
pub(crate) struct Doubts {
    heard: Notify,
    said: Said<()>,
}

impl Default for Doubts {
    fn default() -> Self {
        Self {
            heard: Notify::new(),
            said: Said::seldom(1),
        }
    }
}

impl Doubts {
    /// An agent was told of `point`, it says, which a store that is durable up to `durable` does not hold. It leaves word in
    /// the bucket, which is to be asked.
    pub(crate) fn hear(&self, point: &Point, durable: Lsn) {
        self.heard.notify_one();
        if let Some(unsaid) = self.said.admit(()) {
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
}
