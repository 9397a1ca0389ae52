//! What one connection has in flight: requests that were read and are not answered yet. Bounded in bytes, so that a client
//! which sends many small batches at once can fill segments, and one that sends large ones does not fill the agent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::admission::REQUEST_BYTES;

/// No connection has more, however small they are.
pub(super) const REQUESTS_MAX: usize = 4096;

/// One connection's. Its reader and its writer each have it.
#[derive(Clone, Debug)]
pub(super) struct InFlight(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes: AtomicUsize,
    bytes_max: usize,
    /// For the reader, where something was answered.
    answered: Notify,
}

/// A request's part, given back when dropped.
#[derive(Debug)]
pub(super) struct Charge {
    shared: Arc<Shared>,
    bytes: usize,
}

impl InFlight {
    /// Another request is read only while there are fewer bytes than that; so there are never more by one request.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Shared {
            bytes: AtomicUsize::new(0),
            bytes_max,
            answered: Notify::new(),
        }))
    }

    /// Resolves once another request may be read. For one task only.
    pub(super) async fn room(&self) {
        while self.0.bytes.load(Ordering::Acquire) >= self.0.bytes_max {
            self.0.answered.notified().await;
        }
    }

    /// Resolves once everything is answered. For the same task only.
    pub(super) async fn none(&self) {
        while self.0.bytes.load(Ordering::Acquire) > 0 {
            self.0.answered.notified().await;
        }
    }

    /// For a request whose frame has so many bytes, until it is answered.
    pub(super) fn charge(&self, frame_bytes: usize) -> Charge {
        let bytes = frame_bytes.saturating_add(REQUEST_BYTES);
        self.0.bytes.fetch_add(bytes, Ordering::AcqRel);
        Charge {
            shared: Arc::clone(&self.0),
            bytes,
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shared.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.shared.answered.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn there_is_room_until_the_bytes_are_there_and_again_once_some_are_answered() {
        let all = InFlight::new(10 * REQUEST_BYTES);
        let mut charges: Vec<Charge> = Vec::new();
        while poll!(Box::pin(all.room())).is_ready() {
            charges.push(all.charge(0));
        }
        assert_eq!(charges.len(), 10, "tiny requests count, too");
        let mut room = Box::pin(all.room());
        assert!(poll!(&mut room).is_pending());
        charges.pop();
        assert!(poll!(&mut room).is_ready());
        let _large = all.charge(1 << 30);
        drop(charges);
        assert!(poll!(Box::pin(all.room())).is_pending(), "by one request");
    }

    #[tokio::test]
    async fn nothing_is_in_flight_once_the_last_request_is_answered() {
        let all = InFlight::new(10 * REQUEST_BYTES);
        assert!(poll!(Box::pin(all.none())).is_ready());
        let (first, second) = (all.charge(0), all.charge(100));
        let mut none = Box::pin(all.none());
        assert!(poll!(&mut none).is_pending());
        drop(second);
        assert!(poll!(&mut none).is_pending());
        drop(first);
        assert!(poll!(&mut none).is_ready());
    }
}
