//! Taking up work again after the store failed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::leftovers::Leftovers;
use super::log::Log;
use super::{Ended, Sequencer, takeover};
use crate::error::{Error, Happened};
use crate::queue::Asked;

/// Between attempts to take up work again after the store failed.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_millis(250);

impl Sequencer {
    /// The store failed: nothing in memory is trusted. Refuses what comes until the store can be written again, then
    /// loads the state anew.
    pub(super) async fn resume(
        &mut self,
        happened: Happened,
        reason: String,
    ) -> Result<Option<Ended>, Error> {
        tracing::warn!(
            ?happened,
            reason,
            "the metadata store failed; refusing until it is back"
        );
        self.shared.ready.store(false, Ordering::Release);
        self.checkpoint = None;
        self.leftovers = Leftovers::new(&self.options);
        // They shall not take silence for calm.
        self.subscribers.clear();
        if self.closing {
            return Ok(Some(Ended::Closed));
        }
        let refusal = Error::unavailable(reason);
        let mut pause = RETRY_MIN;
        loop {
            let retry_at = Instant::now() + pause;
            loop {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(retry_at) => break,
                    asked = self.queue.recv() => match asked {
                        None | Some(Asked::Close) => return Ok(Some(Ended::Closed)),
                        Some(asked) => self.refuse(asked, &refusal),
                    }
                }
            }
            let kv = self.kv.as_ref();
            match takeover::resume(kv, &self.options, &mut self.holder).await {
                Ok(state) => {
                    planted!(let state = "state-kept-after-failure" => {
                        drop(state);
                        self.state.clone()
                    });
                    self.state = state;
                    self.state.limits = self.options.limits;
                    self.log = Log::loaded(self.state.lsn, self.holder.replayed, &self.options);
                    self.publish_all();
                    self.tick.begin_again();
                    self.shared.ready.store(true, Ordering::Release);
                    tracing::info!("the metadata store is back");
                    return Ok(None);
                }
                Err(Error::Unavailable { reason, .. }) => {
                    tracing::debug!(reason, "the metadata store is still away");
                    pause = (pause * 2).min(RETRY_MAX);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
