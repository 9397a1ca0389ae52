//! What a job is to the driver.

use std::time::Duration;

use super::Budget;

/// Work that goes on for as long as the agent does.
pub(crate) trait Job: Send + 'static {
    fn terms(&self) -> Terms;

    /// A piece of it, of a bounded size. There is never more than one of a job under way, and one that fails or is given up
    /// may be begun again.
    ///
    /// # Errors
    /// With why it failed, for the log.
    fn turn(&mut self, budget: &Budget) -> impl Future<Output = Result<Progress, String>> + Send;
}

/// What the driver holds a job to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// In the log and in metrics.
    pub(crate) name: &'static str,
    /// Before the first turn, and after one behind which there is nothing to do: half of it more or less, so that agents do
    /// not fall in step.
    pub(crate) pause: Duration,
    /// A turn that takes longer is given up.
    pub(crate) turn_max: Duration,
    /// Requests to bucket or metadata that its [`Budget`] lets pass; at least one.
    pub(crate) requests_per_second: u32,
}

/// What came of a turn, with how much it did; the job says of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more, for a turn that follows at once.
    More { done: u64 },
    /// There is nothing more to do for now.
    Idle { done: u64 },
}
