//! The page of metrics: with very many series it takes the CPU for long, so it is rendered where that holds up nobody and
//! nothing that hangs holds it up, once at a time, and is the same for all who ask meanwhile.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, Shared, WeakShared};
use parking_lot::Mutex;

use crate::own_thread::OwnThread;

type Rendering = BoxFuture<'static, Bytes>;

/// A process has one. Cheap to clone.
#[derive(Clone)]
pub(super) struct Figures(Arc<Inner>);

struct Inner {
    /// One at a time: what nobody waits for any more still takes its time.
    renderer: OwnThread,
    under_way: Mutex<Option<WeakShared<Rendering>>>,
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures").finish_non_exhaustive()
    }
}

impl Figures {
    pub(super) fn new(renderer: OwnThread) -> Self {
        Self(Arc::new(Inner {
            renderer,
            under_way: Mutex::default(),
        }))
    }

    /// As `render` shows them, or as somebody else is shown them just now.
    pub(super) async fn shown(&self, render: impl FnOnce() -> String + Send + 'static) -> Bytes {
        self.join(render).await
    }

    fn join(&self, render: impl FnOnce() -> String + Send + 'static) -> Shared<Rendering> {
        let mut under_way = self.0.under_way.lock();
        let joined = under_way.as_ref().and_then(WeakShared::upgrade);
        // What is done is of the past.
        if let Some(joined) = joined.filter(|rendering| rendering.peek().is_none()) {
            return joined;
        }
        let inner = Arc::clone(&self.0);
        let rendering = async move { Bytes::from(inner.renderer.run(render).await) };
        let rendering = rendering.boxed().shared();
        *under_way = rendering.downgrade();
        rendering
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use futures::poll;

    use super::*;
    use crate::tasks::Tasks;

    fn figures() -> Figures {
        Figures::new(OwnThread::start("figures").unwrap())
    }

    /// A scrape of half a million series stopped everything that its worker had to do.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn rendering_holds_up_nothing_else() {
        let (figures, tasks) = (figures(), Tasks::new());
        let (go_on, waits) = mpsc::channel::<()>();
        let scrape = tasks.spawn("scrape", async move {
            let shown = figures.shown(move || {
                waits.recv_timeout(Duration::from_secs(60)).unwrap();
                "figures".to_owned()
            });
            assert_eq!(shown.await, "figures");
            Ok(())
        });
        // On the same worker, behind it.
        let other = tasks.spawn("other", async move {
            go_on.send(()).unwrap();
            Ok(())
        });
        let both = futures::future::join(scrape, other);
        let (scrape, other) = both.await;
        scrape.unwrap();
        other.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn those_who_ask_at_once_are_shown_the_same_bytes() {
        let figures = figures();
        let rendered = Arc::new(AtomicUsize::new(0));
        let (go_on, waits) = mpsc::channel::<()>();
        let render = |waits: Option<mpsc::Receiver<()>>| {
            let rendered = Arc::clone(&rendered);
            move || {
                if let Some(waits) = waits {
                    waits.recv().unwrap();
                }
                format!("{}", rendered.fetch_add(1, Ordering::Relaxed))
            }
        };
        let mut first = Box::pin(figures.shown(render(Some(waits))));
        assert!(poll!(&mut first).is_pending());
        let mut second = Box::pin(figures.shown(render(None)));
        assert!(poll!(&mut second).is_pending());
        go_on.send(()).unwrap();
        let (first, second) = futures::join!(first, second);
        assert_eq!((first.as_ptr(), &*first), (second.as_ptr(), &b"0"[..]));
        assert_eq!(figures.shown(render(None)).await, "1", "anew");
    }
}
