//! The life of a process, as its tasks see it. A real one runs until it is gone. Simulation has many in one thread, and
//! does to them what SIGSTOP, SIGCONT and SIGKILL do.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// Whether the tasks of a process run.
#[derive(Clone, Debug, Default)]
pub enum Life {
    /// They do.
    #[default]
    Real,
    /// Simulation says.
    Held(Arc<Held>),
}

/// Stops and goes on as its owner wants.
#[derive(Debug, Default)]
pub struct Held {
    known: Mutex<Known>,
    around: Option<Around>,
}

/// Called before a task of the process runs and after it, with whether it begins: what else the thread has only for this
/// process.
pub struct Around(pub Box<dyn Fn(bool) + Send + Sync>);

impl std::fmt::Debug for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Around")
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

impl Held {
    /// With something to be done around each run of a task.
    #[must_use]
    pub fn with(around: Around) -> Self {
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

/// A task of a process whose life is held.
pub(crate) struct Living<F> {
    pub(crate) life: Arc<Held>,
    pub(crate) task: Pin<Box<F>>,
}

impl<F: Future> Future for Living<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        {
            let mut known = self.life.known.lock();
            match known.state {
                State::Running => {}
                State::Frozen => {
                    known.due.push(cx.waker().clone());
                    return Poll::Pending;
                }
                State::Dead => return Poll::Pending,
            }
        }
        let life = Arc::clone(&self.life);
        let around = |begins| life.around.as_ref().map(|Around(around)| around(begins));
        around(true);
        let done = self.task.as_mut().poll(cx);
        around(false);
        done
    }
}
