//! The one way to start a task: it has a name, it can be told to stop, and somebody waits for it.
//! A task that fails ends the whole process, because what it owned is gone (house plan, section 4).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::arriving::ArrivingLane;
use crate::execution::{Execution, SimulatedTask};
use crate::origin::Origin;

/// A family of tasks that stop together. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tasks {
    stop: Arc<Owner>,
    live: watch::Sender<usize>,
    failure: watch::Sender<Option<String>>,
    execution: Execution,
}

/// Tells a task that it should come to an end.
#[derive(Clone, Debug)]
pub struct Stop(Arc<Flag>);

/// Raised once. A `watch` would wake those who wait in an order of its own choosing, and simulation must repeat itself.
#[derive(Debug, Default)]
struct Flag {
    raised: AtomicBool,
    changed: Notify,
}

impl Flag {
    fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }
}

/// The flag, as long as the family exists: one that is gone cannot want its tasks to go on.
#[derive(Debug, Default)]
struct Owner(Arc<Flag>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.raise();
    }
}

impl Stop {
    /// Resolves once the family was told to stop, at once if it already was.
    pub async fn requested(&mut self) {
        // Taken before looking, so that nothing falls between.
        let changed = self.0.changed.notified();
        if !self.is_requested() {
            changed.await;
        }
    }

    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.raised.load(Ordering::Acquire)
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    #[must_use]
    pub fn new() -> Self {
        Self::of(Execution::Real)
    }

    /// A family of the process with that life.
    #[must_use]
    pub fn of(execution: Execution) -> Self {
        Self {
            stop: Arc::default(),
            live: watch::Sender::new(0),
            failure: watch::Sender::new(None),
            execution,
        }
    }

    /// Another family of the same process.
    #[must_use]
    pub fn sibling(&self) -> Self {
        Self::of(self.execution.clone())
    }

    /// Starts a task that is part of this family until it ends.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that spawns"
    )]
    pub fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<()>
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let live = Counted::new(self.live.clone());
        let failure = self.failure.clone();
        let task = async move {
            let _live = live;
            if let Err(error) = task.await {
                let error = format!("{error:#}");
                // Whoever waits for it ends the process with that sentence, which is said once, and as it stands.
                match failure.receiver_count() {
                    0 => tracing::error!(task = name, error, "task failed"),
                    _ => tracing::debug!(task = name, "task failed"),
                }
                failure.send_replace(Some(error));
            }
        };
        match &self.execution {
            Execution::Real => tokio::spawn(task),
            Execution::Simulated(process) => {
                let (of, task) = (Arc::clone(process), Box::pin(task));
                let task = tokio::spawn(SimulatedTask { process: of, task });
                process.adopt(task.abort_handle());
                task
            }
        }
    }

    /// What a task of this family watches.
    #[must_use]
    pub fn stopping(&self) -> Stop {
        Stop(Arc::clone(&self.stop.0))
    }

    /// Tells all tasks of this family to stop.
    pub fn stop(&self) {
        self.stop.0.raise();
    }

    #[must_use]
    pub fn live(&self) -> usize {
        *self.live.borrow()
    }

    /// Resolves when a task has failed, with what it said.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        let said = failure.wait_for(Option::is_some).await;
        match said.ok().and_then(|said| said.clone()) {
            Some(said) => said,
            None => std::future::pending().await,
        }
    }

    /// What a task said that has failed, if one has.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// Waits until no task is left, `grace` at the most; how many are still there.
    pub async fn wait(&self, grace: Duration) -> usize {
        let mut live = self.live.subscribe();
        // A time-out is an answer here: the count says what is left.
        let _ = tokio::time::timeout(grace, live.wait_for(|left| *left == 0)).await;
        self.live()
    }
}

/// Does work that takes the CPU for long where it holds up no other task. A runtime of one thread, as tests and simulation
/// have, does it at once: results of other threads would come in an order of their own.
pub async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return work();
    }
    tokio::task::spawn_blocking(work)
        .await
        .expect("the work does not panic")
}

/// Work of one kind that takes the CPU for long: so much of it at once, and the rest in line, in which origins take turns.
/// Whoever stops waiting for it leaves the line, or has it stopped.
#[derive(Debug)]
pub(crate) struct Workers(ArrivingLane);

/// Whether somebody still waits for a piece of work.
#[derive(Debug)]
pub(crate) struct StillWanted(Arc<AtomicBool>);

impl StillWanted {
    /// Of work that is too short to be stopped.
    pub(crate) fn always() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says so when it is dropped.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Workers {
    pub(crate) fn new(at_once: usize) -> Self {
        Self(ArrivingLane::new(at_once))
    }

    /// As [`compute`], in its turn. The work should end soon where nobody wants it any more; until it does, its place is
    /// taken.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        origin: Origin,
        work: impl FnOnce(&StillWanted) -> T + Send + 'static,
    ) -> T {
        let place = self.0.take(origin, 1).await;
        let waits = Waits(Arc::new(AtomicBool::new(true)));
        let wanted = StillWanted(Arc::clone(&waits.0));
        let done = compute(move || {
            let done = work(&wanted);
            drop(place);
            done
        });
        let done = done.await;
        drop(waits);
        done
    }
}

/// Counts a task for as long as it exists, however it ends.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(live: watch::Sender<usize>) -> Self {
        live.send_modify(|count| *count += 1);
        Self(live)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_all_and_tells_them_to_stop() {
        let tasks = Tasks::new();
        for _ in 0..3 {
            let mut stop = tasks.stopping();
            tasks.spawn("idle", async move {
                stop.requested().await;
                Ok(())
            });
        }
        assert_eq!(tasks.live(), 3);
        tasks.stop();
        assert_eq!(tasks.wait(Duration::from_secs(30)).await, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_that_nobody_waits_for_ends_and_leaves_its_place() {
        let workers = Workers::new(1);
        let somewhere = Origin::of(None);
        let (started, begun) = std::sync::mpsc::channel();
        let endless = workers.compute(somewhere, move |wanted| {
            started.send(()).unwrap();
            while wanted.is_wanted() {
                std::hint::spin_loop();
            }
        });
        let mut endless = Box::pin(endless);
        assert!(futures::poll!(&mut endless).is_pending());
        begun.recv().unwrap();
        let mut next = Box::pin(workers.compute(somewhere, |_| 7));
        assert!(futures::poll!(&mut next).is_pending(), "one at a time");
        drop(endless);
        assert_eq!(next.await, 7);
    }

    #[tokio::test]
    async fn a_failure_is_told() {
        let tasks = Tasks::new();
        tasks.spawn("broken", async { Err(anyhow::anyhow!("no more")) });
        assert_eq!(tasks.failed().await, "no more");
    }
}
