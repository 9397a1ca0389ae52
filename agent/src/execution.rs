//! How the tasks of a process run. Those of a real one do until it is gone. Simulation has many processes in one thread, and
//! does to them what SIGSTOP, SIGCONT and SIGKILL do.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// Who says whether the tasks of a process run.
#[derive(Clone, Debug, Default)]
pub enum Execution {
    /// Nobody: they do.
    #[default]
    Real,
    /// Simulation says.
    Simulated(Arc<Simulated>),
}

/// Stops and goes on as its owner wants.
#[derive(Debug, Default)]
pub struct Simulated {
    known: Mutex<Known>,
    around: Option<AroundEach>,
}

/// Called before a task of the process runs and after it, with whether it begins: what else the thread has only for this
/// process.
pub struct AroundEach(pub Box<dyn Fn(bool) + Send + Sync>);

impl std::fmt::Debug for AroundEach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AroundEach")
    }
}

#[derive(Debug, Default)]
struct Known {
    state: State,
    /// Tasks that would have run while the process was frozen.
    due: Vec<Waker>,
    tasks: Vec<AbortHandle>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Running,
    Frozen,
    Dead,
}

impl Simulated {
    /// With something to be done around each run of a task.
    #[must_use]
    pub fn with(around: AroundEach) -> Self {
        Self {
            around: Some(around),
            ..Self::default()
        }
    }

    /// No task runs until [`Self::thaw`], while time and the rest of the world go on.
    pub fn freeze(&self) {
        let mut known = self.known.lock();
        if known.state == State::Running {
            known.state = State::Frozen;
        }
    }

    pub fn thaw(&self) {
        let mut known = self.known.lock();
        if known.state == State::Frozen {
            known.state = State::Running;
            known.due.drain(..).for_each(Waker::wake);
        }
    }

    /// No task ever runs again; what they owned is dropped.
    pub fn kill(&self) {
        let mut known = self.known.lock();
        known.state = State::Dead;
        known.due.clear();
        known.tasks.drain(..).for_each(|task| task.abort());
    }

    pub(crate) fn adopt(&self, task: AbortHandle) {
        let mut known = self.known.lock();
        if known.state == State::Dead {
            task.abort();
            return;
        }
        known.tasks.retain(|task| !task.is_finished());
        known.tasks.push(task);
    }
}

/// A task of a simulated process.
pub(crate) struct SimulatedTask<F> {
    pub(crate) process: Arc<Simulated>,
    pub(crate) task: Pin<Box<F>>,
}

impl<F: Future> Future for SimulatedTask<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        {
            let mut known = self.process.known.lock();
            match known.state {
                State::Running => {}
                State::Frozen => {
                    known.due.push(cx.waker().clone());
                    return Poll::Pending;
                }
                State::Dead => return Poll::Pending,
            }
        }
        let process = Arc::clone(&self.process);
        let around = |begins| {
            process
                .around
                .as_ref()
                .map(|AroundEach(around)| around(begins))
        };
        around(true);
        let done = self.task.as_mut().poll(cx);
        around(false);
        done
    }
}
