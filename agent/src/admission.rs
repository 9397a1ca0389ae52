//! Byte permits: how much of what clients send may be in memory at once, charged before the bytes are read.
//! `connection.rs` takes frame permits, `produce/` exchanges them for buffer permits once a batch is valid.
//!
//! Small and large frames wait in separate lanes, so that a crowd sending huge frames cannot delay ordinary ones.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a frame that are read before it needs a permit. A connection holds at most this much unadmitted, and a peer
/// that trickles never gets further.
pub(crate) const FIRST_CHUNK_BYTES: usize = 16 * 1024;
/// A frame up to this size waits in the lane of ordinary requests: Kafka's default `max.message.bytes` and some room.
const SMALL_FRAME_BYTES_MAX: usize = 1_400_000;
/// Frames being read and not yet handed to a room, together.
const SMALL_FRAMES_BYTES_MAX: usize = 24 * 1024 * 1024;
/// The same for large ones; one larger than all of this goes alone.
const LARGE_FRAMES_BYTES_MAX: usize = 24 * 1024 * 1024;

/// The permits of one agent. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    small_frames: Lane,
    large_frames: Lane,
    /// Validated batches waiting for their ack.
    buffered: Lane,
    /// Fetched bytes on their way to clients.
    replies: Lane,
}

/// Given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _bytes: OwnedSemaphorePermit,
}

#[derive(Clone, Debug)]
struct Lane {
    bytes: Arc<Semaphore>,
    total: u32,
}

impl Admission {
    /// `buffered_bytes_max`: batches waiting for their ack; `reply_bytes_max`: fetched bytes not yet written.
    pub(crate) fn new(buffered_bytes_max: usize, reply_bytes_max: usize) -> Self {
        Self {
            small_frames: Lane::new(SMALL_FRAMES_BYTES_MAX),
            large_frames: Lane::new(LARGE_FRAMES_BYTES_MAX),
            buffered: Lane::new(buffered_bytes_max),
            replies: Lane::new(reply_bytes_max),
        }
    }

    pub(crate) async fn frame(&self, bytes: usize) -> Permit {
        if bytes <= SMALL_FRAME_BYTES_MAX {
            self.small_frames.take(bytes).await
        } else {
            self.large_frames.take(bytes).await
        }
    }

    pub(crate) async fn buffer(&self, bytes: usize) -> Permit {
        self.buffered.take(bytes).await
    }

    pub(crate) async fn reply(&self, bytes: usize) -> Permit {
        self.replies.take(bytes).await
    }

    /// Bytes of batches waiting for their ack right now.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffered.taken()
    }
}

impl Lane {
    fn new(bytes: usize) -> Self {
        let total = u32::try_from(bytes.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self {
            bytes: Arc::new(Semaphore::new(total as usize)),
            total,
        }
    }

    /// Waits in line for that many bytes; one who wants more than there are gets them all.
    async fn take(&self, bytes: usize) -> Permit {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.total);
        let bytes = Arc::clone(&self.bytes)
            .acquire_many_owned(wanted)
            .await
            .expect("the lanes are never closed");
        Permit { _bytes: bytes }
    }

    fn taken(&self) -> usize {
        (self.total as usize).saturating_sub(self.bytes.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_crowd_of_large_frames_does_not_delay_small_ones() {
        let admission = Admission::new(1 << 20, 1 << 20);
        let _first = admission.frame(20 << 20).await;
        let mut second = Box::pin(admission.frame(20 << 20));
        assert!(futures::poll!(&mut second).is_pending());
        let _small = admission.frame(1 << 20).await;
        drop(_first);
        second.await;
    }

    #[tokio::test]
    async fn a_frame_larger_than_the_lane_goes_alone() {
        let admission = Admission::new(1 << 20, 1 << 20);
        let huge = admission.frame(100 << 20).await;
        let mut next = Box::pin(admission.frame(2 << 20));
        assert!(futures::poll!(&mut next).is_pending());
        drop(huge);
        next.await;
        assert_eq!(admission.buffered_bytes(), 0);
    }
}
