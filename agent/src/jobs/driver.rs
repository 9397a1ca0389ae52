//! Has jobs take their turns: of each one after the other, and of all together only so many at once. A turn that fails is
//! tried again, later and later; one that takes too long is given up, and counts as failed. When the agent stops no turn
//! begins any more, and those under way are cut off.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::{Budget, Job, Progress, Terms};
use crate::metrics;
use crate::random::Random;
use crate::said::warn_seldom;
use crate::tasks::{Stop, Tasks};

/// Turns of different jobs under way at the same time: clients come first.
const TURNS_AT_ONCE: usize = 2;
/// After turns that failed in a row, pauses double from one to the other.
const FAILED_PAUSE_MIN: Duration = Duration::from_secs(1);
const FAILED_PAUSE_MAX: Duration = Duration::from_secs(60);

/// A turn is cut off where it waits next, which is at once: one that does not wait has so long when the agent stops, and ends
/// with the process.
pub(super) const STOP_MAX: Duration = Duration::from_secs(1);

/// The jobs of an agent.
#[derive(Debug)]
pub(crate) struct Jobs {
    tasks: Tasks,
    random: Random,
    places: Arc<Semaphore>,
}

impl Jobs {
    /// As tasks of that family, which should have no others. `random` draws their pauses.
    pub(crate) fn new(tasks: Tasks, random: Random) -> Self {
        Self {
            tasks,
            random,
            places: Arc::new(Semaphore::new(TURNS_AT_ONCE)),
        }
    }

    /// From now on that job takes its turns.
    pub(crate) fn start(&self, job: impl Job) {
        let terms = job.terms();
        let driven = Driven {
            job,
            terms,
            budget: Budget::per_second(terms.requests_per_second),
            figures: metrics::Job::new(terms.name),
            random: self.random.clone(),
            places: Arc::clone(&self.places),
            failed: 0,
        };
        self.tasks
            .spawn(terms.name, driven.run(self.tasks.stopping()));
    }

    /// No turn begins any more, and those under way are cut off; nobody waits for longer than [`STOP_MAX`].
    pub(crate) async fn stop(&self) {
        self.tasks.stop();
        self.tasks.wait(STOP_MAX).await;
    }
}

/// A job with all that its turns need.
struct Driven<J> {
    job: J,
    terms: Terms,
    budget: Budget,
    figures: metrics::Job,
    random: Random,
    places: Arc<Semaphore>,
    /// Turns in a row.
    failed: u32,
}

impl<J: Job> Driven<J> {
    async fn run(mut self, mut stop: Stop) -> anyhow::Result<()> {
        let mut pause = self.rest();
        loop {
            let places = Arc::clone(&self.places);
            let its_turn = async move {
                sleep(pause).await;
                places.acquire_owned().await
            };
            let place = tokio::select! {
                biased;
                () = stop.requested() => return Ok(()),
                place = its_turn => place,
            };
            pause = tokio::select! {
                biased;
                () = stop.requested() => return Ok(()),
                pause = self.turn() => pause,
            };
            drop(place);
        }
    }

    /// How long there is none then.
    async fn turn(&mut self) -> Duration {
        let began = Instant::now();
        let turn = timeout(self.terms.turn_max, self.job.turn(&self.budget)).await;
        self.figures.seconds.record(began.elapsed().as_secs_f64());
        let why = match turn {
            Ok(Ok(progress)) => return self.went_well(progress),
            Ok(Err(why)) => {
                self.figures.failed.increment(1);
                why
            }
            Err(_) => {
                self.figures.late.increment(1);
                format!("it took longer than {} s", self.terms.turn_max.as_secs())
            }
        };
        warn_seldom!(
            job = self.terms.name,
            why,
            "a background job failed; it is tried again"
        );
        let doubled = FAILED_PAUSE_MIN * (1 << self.failed.min(10));
        self.failed = self.failed.saturating_add(1);
        self.jittered(doubled.min(FAILED_PAUSE_MAX))
    }

    fn went_well(&mut self, progress: Progress) -> Duration {
        self.failed = 0;
        match progress {
            Progress::More { done } => {
                self.figures.more.increment(1);
                self.figures.done.increment(done);
                Duration::ZERO
            }
            Progress::Idle { done } => {
                self.figures.idle.increment(1);
                self.figures.done.increment(done);
                self.rest()
            }
        }
    }

    fn rest(&self) -> Duration {
        self.jittered(self.terms.pause)
    }

    fn jittered(&self, pause: Duration) -> Duration {
        pause.mul_f64(self.random.jitter())
    }
}
