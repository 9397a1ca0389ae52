//! Byte permits: how much of what clients send may be in memory at once, charged before the bytes are read.
//! `connection.rs` takes frame permits, `produce/` exchanges them for buffer permits once a batch is valid.
//!
//! Frames that are here already, small and large ones wait in separate lanes, so that nobody who sends slowly or much
//! delays the rest. Replies do so too, because a client that does not read holds its reply for a minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a frame that are read before it needs a permit. A connection holds at most this much unadmitted, and a peer
/// that trickles never gets further.
pub(crate) const FIRST_CHUNK_BYTES: usize = 16 * 1024;
/// Frames that were read whole on credit. No peer decides how long they take.
const WHOLE_FRAMES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A frame up to this size waits in the lane of ordinary requests: Kafka's default `max.message.bytes` and some room.
const SMALL_FRAME_BYTES_MAX: usize = 1_400_000;
/// Frames being read and not yet handed to a room, together.
const SMALL_FRAMES_BYTES_MAX: usize = 24 * 1024 * 1024;
/// The same for large ones; one larger than all of this goes alone.
const LARGE_FRAMES_BYTES_MAX: usize = 24 * 1024 * 1024;

/// What requests that are here, Produce aside, may grow into while they are answered.
const DECODED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How many times larger than its frame a request may be once decoded; `protocol`'s reader holds it to that.
const DECODED_FACTOR: usize = 16;

/// What a request takes of the agent besides the bytes that it carries, about: its names, its place in lines, its reply.
pub(crate) const REQUEST_BYTES: usize = 1024;
/// Of the bytes that may wait for their acks, one connection has this part in flight, so that a few connections can fill
/// segments and none takes all.
const CONNECTION_SHARE: usize = 4;

/// A reply up to this size waits in the lane of small ones, which have a quarter of the bytes that replies may take.
const SMALL_REPLY_BYTES_MAX: usize = 256 * 1024;

/// The permits of one agent. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    whole_frames: Lane,
    small_frames: Lane,
    large_frames: Lane,
    decoded: Lane,
    /// Validated batches waiting for their ack.
    buffered: Lane,
    /// Fetched bytes on their way to clients.
    small_replies: Lane,
    large_replies: Lane,
}

/// Given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _bytes: OwnedSemaphorePermit,
    waiting: Arc<AtomicUsize>,
}

impl Permit {
    /// Whether others wait in its lane.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

#[derive(Clone, Debug)]
struct Lane {
    bytes: Arc<Semaphore>,
    total: u32,
    /// How many wait in line.
    waiting: Arc<AtomicUsize>,
}

/// Counted until dropped, also where the wait is cancelled.
struct InLine<'a>(&'a AtomicUsize);

impl<'a> InLine<'a> {
    fn stand(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// `buffered_bytes_max`: batches waiting for their ack; `reply_bytes_max`: fetched bytes not yet written.
    pub(crate) fn new(buffered_bytes_max: usize, reply_bytes_max: usize) -> Self {
        Self {
            whole_frames: Lane::new(WHOLE_FRAMES_BYTES_MAX),
            small_frames: Lane::new(SMALL_FRAMES_BYTES_MAX),
            large_frames: Lane::new(LARGE_FRAMES_BYTES_MAX),
            decoded: Lane::new(DECODED_BYTES_MAX),
            buffered: Lane::new(buffered_bytes_max),
            small_replies: Lane::new(reply_bytes_max / 4),
            large_replies: Lane::new(reply_bytes_max - reply_bytes_max / 4),
        }
    }

    pub(crate) async fn frame(&self, bytes: usize) -> Permit {
        if bytes <= FIRST_CHUNK_BYTES {
            self.whole_frames.take(bytes).await
        } else if bytes <= SMALL_FRAME_BYTES_MAX {
            self.small_frames.take(bytes).await
        } else {
            self.large_frames.take(bytes).await
        }
    }

    /// For a request that arrived whole in a frame of so many bytes, until its reply is written.
    pub(crate) async fn decode(&self, frame_bytes: usize) -> Permit {
        self.decoded
            .take(frame_bytes.saturating_mul(DECODED_FACTOR))
            .await
    }

    /// For a request's batches of so many bytes together, until they are acknowledged. However few they are, they do not
    /// come for nothing.
    pub(crate) async fn buffer(&self, bytes: usize) -> Permit {
        self.buffered
            .take(bytes.saturating_add(REQUEST_BYTES))
            .await
    }

    /// Bytes of requests that one connection may have in flight, one request aside.
    pub(crate) fn connection_bytes_max(&self) -> usize {
        self.buffered.total as usize / CONNECTION_SHARE
    }

    pub(crate) async fn reply(&self, bytes: usize) -> Permit {
        if bytes <= SMALL_REPLY_BYTES_MAX {
            self.small_replies.take(bytes).await
        } else {
            self.large_replies.take(bytes).await
        }
    }

    /// How much the next reply should carry at the most: part of what is left, so that a few clients that do not read
    /// cannot take it all.
    pub(crate) fn reply_share(&self) -> usize {
        (self.large_replies.available() / 4).max(SMALL_REPLY_BYTES_MAX)
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
            waiting: Arc::default(),
        }
    }

    /// Waits in line for that many bytes; one who wants more than there are gets them all.
    async fn take(&self, bytes: usize) -> Permit {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.total);
        let in_line = InLine::stand(&self.waiting);
        let bytes = Arc::clone(&self.bytes)
            .acquire_many_owned(wanted)
            .await
            .expect("the lanes are never closed");
        drop(in_line);
        Permit {
            _bytes: bytes,
            waiting: Arc::clone(&self.waiting),
        }
    }

    fn taken(&self) -> usize {
        (self.total as usize).saturating_sub(self.available())
    }

    fn available(&self) -> usize {
        self.bytes.available_permits()
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
    async fn frames_that_are_here_wait_for_none_that_come_slowly() {
        let admission = Admission::new(1 << 20, 1 << 20);
        let slow = futures::future::join_all((0..24).map(|_| admission.frame(1 << 20))).await;
        assert!(futures::poll!(Box::pin(admission.frame(1 << 20))).is_pending());
        assert!(futures::poll!(Box::pin(admission.frame(FIRST_CHUNK_BYTES))).is_ready());
        drop(slow);
    }

    #[tokio::test]
    async fn replies_that_nobody_reads_leave_room_for_others() {
        let admission = Admission::new(1 << 20, 256 << 20);
        let mut unread = Vec::new();
        for _ in 0..100 {
            let share = admission.reply_share();
            if share <= SMALL_REPLY_BYTES_MAX {
                break;
            }
            unread.push(admission.reply(share.min(50 << 20)).await);
        }
        assert!(unread.len() > 10, "{}", unread.len());
        for _ in 0..100 {
            unread.push(admission.reply(admission.reply_share()).await);
        }
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

    #[tokio::test]
    async fn whoever_has_a_permit_sees_whether_others_wait_for_it() {
        let admission = Admission::new(1 << 20, 1 << 20);
        let first = admission.reply(1 << 20).await;
        assert!(!first.is_wanted());
        let mut second = Box::pin(admission.reply(1 << 20));
        assert!(futures::poll!(&mut second).is_pending());
        assert!(first.is_wanted());
        drop(second);
        assert!(!first.is_wanted());
    }
}
