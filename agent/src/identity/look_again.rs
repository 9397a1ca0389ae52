//! Looks at `penstock.json` for as long as the agent runs.

use std::time::Duration;

use metadata::BucketId;

use super::settle::{Identity, Standing};
use crate::jobs::{Budget, Job, Progress, Terms};

/// Between looks at `penstock.json` while an agent serves.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// One is a read and perhaps a list, each of which is tried for 20 s.
const LOOK_TIME_MAX: Duration = Duration::from_secs(60);

/// The job that looks again once it is settled: a bucket may be wiped or swapped under a running agent. One that stores
/// nothing asks nothing.
#[derive(Debug)]
pub(crate) struct LookAgain {
    identity: Identity,
    /// Known once it is settled.
    bucket: Option<BucketId>,
    /// Segments stored when it looked last.
    stored: u64,
}

impl LookAgain {
    pub(crate) fn at(identity: Identity) -> Self {
        Self {
            stored: identity.store.segments_stored(),
            bucket: None,
            identity,
        }
    }
}

impl Job for LookAgain {
    fn terms(&self) -> Terms {
        Terms {
            name: "bucket identity",
            pause: LOOK_INTERVAL,
            turn_max: LOOK_TIME_MAX,
            requests_per_second: 1,
        }
    }

    async fn turn(&mut self, budget: &Budget) -> Result<Progress, String> {
        let nothing = Ok(Progress::Idle { done: 0 });
        if let Standing::Joined(bucket) = &*self.identity.standing.borrow() {
            self.bucket = Some(*bucket);
        }
        let Some(bucket) = self.bucket else {
            return nothing;
        };
        let stored = self.identity.store.segments_stored();
        if stored == self.stored && self.identity.trouble().is_none() {
            return nothing;
        }
        budget.request().await;
        self.identity.look_again(bucket).await?;
        self.stored = stored;
        Ok(Progress::Idle { done: 1 })
    }
}
