//! Which connections still read what has arrived at their sockets. `produce/` seals no segment early while one of them may
//! add to it in a moment; for what is not here yet it does not wait. A client may send the rest only once it was heard:
//! Nagle's algorithm holds small requests back until earlier ones are acknowledged.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::task::coop::has_budget_remaining;

/// All connections of an agent. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    connections: AtomicUsize,
    /// For the one who waits for none.
    none: Notify,
}

/// One connection's part of it.
#[derive(Debug)]
pub(crate) struct Reader {
    all: Reading,
    reads: AtomicBool,
}

impl Reading {
    /// For one more connection, which does not read yet.
    pub(crate) fn reader(&self) -> Reader {
        Reader {
            all: self.clone(),
            reads: AtomicBool::new(false),
        }
    }

    /// Whether a connection may have more in its socket.
    pub(crate) fn any(&self) -> bool {
        self.0.connections.load(Ordering::Acquire) > 0
    }

    /// Resolves once no connection has. For one task only.
    pub(crate) async fn none(&self) {
        while self.any() {
            self.0.none.notified().await;
        }
    }
}

impl Reader {
    /// There may be more in the socket, until `while_working` has to wait.
    pub(crate) fn may_read_more(&self) {
        if !self.reads.swap(true, Ordering::Relaxed) {
            self.all.0.connections.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Does the connection's work. Whenever that has to wait, be it for the socket, for a permit or for a reply, there is
    /// nothing that others should wait for.
    pub(crate) async fn while_working<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let polled = work.as_mut().poll(cx);
            if polled.is_ready() || has_budget_remaining() {
                self.waits();
            } else {
                // The runtime may only let others have their turn; then what is here was not all read.
                cx.waker().wake_by_ref();
            }
            polled
        })
        .await
    }

    fn waits(&self) {
        if self.reads.swap(false, Ordering::Relaxed)
            && self.all.0.connections.fetch_sub(1, Ordering::AcqRel) == 1
        {
            self.all.0.none.notify_one();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.waits();
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn a_connection_reads_until_it_has_to_wait() {
        let all = Reading::default();
        let (first, second) = (all.reader(), all.reader());
        first.may_read_more();
        first.may_read_more();
        second.may_read_more();
        let mut none = pin!(all.none());
        assert!(poll!(&mut none).is_pending());
        let work = first.while_working(std::future::pending::<()>());
        assert!(poll!(pin!(work)).is_pending(), "its socket is empty");
        assert!(all.any(), "the other one reads");
        assert!(poll!(&mut none).is_pending());
        drop(second);
        assert!(!all.any());
        assert!(poll!(&mut none).is_ready());
    }

    #[tokio::test]
    async fn one_that_ends_reads_no_more() {
        let all = Reading::default();
        let reader = all.reader();
        reader.while_working(async { reader.may_read_more() }).await;
        assert!(!all.any());
    }
}
