//! A thread of its own for work that is to be done whatever holds up those of the runtime: a bucket in a folder that hangs
//! has all of them that may block.

use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::Context as _;
use tokio::sync::oneshot;

use crate::arriving::ArrivingLane;
use crate::origin::Origin;

type Work = Box<dyn FnOnce() + Send>;

/// Does one piece of work at a time, and the rest stands in line. Cheap to clone; the thread ends with the last of these.
#[derive(Clone, Debug)]
pub(crate) struct OwnThread {
    line: ArrivingLane,
    /// Has room for the work of whoever is next in line.
    work: SyncSender<Work>,
}

impl OwnThread {
    /// # Errors
    /// When the system has no thread to give.
    pub(crate) fn start(name: &str) -> anyhow::Result<Self> {
        let (sender, work) = sync_channel::<Work>(1);
        let thread = std::thread::Builder::new().name(name.to_owned());
        let started = thread.spawn(move || {
            while let Ok(work) = work.recv() {
                work();
            }
        });
        started.with_context(|| format!("cannot start the thread {name}"))?;
        Ok(Self {
            line: ArrivingLane::new(1),
            work: sender,
        })
    }

    /// Does that in its turn. Whoever stops waiting leaves the line; what has begun is done all the same, and until then its
    /// place is taken.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let place = self.line.take(Origin::of(None), 1).await;
        let (done, result) = oneshot::channel();
        let work = move || {
            // Whoever waited for it may have gone.
            let _ = done.send(work());
            drop(place);
        };
        let taken = self.work.try_send(Box::new(work));
        taken.expect("the thread took the work before, and lives as long as this");
        result.await.expect("the work does not panic")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use futures::poll;
    use tokio::runtime::Builder;
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn work_is_done_where_all_threads_hang_that_may_block() {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (go_on, hangs) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || hangs.recv());
        let done = runtime.block_on(async {
            let thread = OwnThread::start("test").unwrap();
            timeout(Duration::from_secs(60), thread.run(|| 7)).await
        });
        drop(go_on);
        assert_eq!(done, Ok(7));
    }

    #[tokio::test]
    async fn work_is_done_one_at_a_time_whoever_goes_away() {
        let thread = OwnThread::start("test").unwrap();
        let (go_on, hangs) = mpsc::channel::<()>();
        let mut first = Box::pin(thread.run(move || hangs.recv()));
        assert!(poll!(&mut first).is_pending());
        drop(first);
        let mut gone = Box::pin(thread.run(|| -> i32 { unreachable!("it left the line") }));
        assert!(poll!(&mut gone).is_pending());
        let mut next = Box::pin(thread.run(|| 7));
        assert!(poll!(&mut next).is_pending());
        drop(gone);
        drop(go_on);
        assert_eq!(next.await, 7);
    }
}
