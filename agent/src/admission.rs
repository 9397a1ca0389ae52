//! Byte permits: how much of what clients send may be in memory at once, charged before the bytes are read.
//! `connection.rs` takes frame permits, `produce/` exchanges them for buffer permits once a batch is valid.
//!
//! Frames that are here already, and small, large and huge ones that are still to come, wait in separate lanes, so that
//! nobody who sends slowly or much delays the rest. Replies do so too, because a client that does not read holds its reply for a minute.
//! Produce requests have lanes of their own, arriving and here: they wait for room among batches, and nothing else waits for
//! them. Where a request may hold its permit for long, and where it waits for its answer's, no origin gets more of the lane
//! than it leaves free.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::arriving::{ArrivingLane, Room};
use crate::origin::Origin;

/// Bytes of a frame that are read before it needs a permit. A connection holds at most this much unadmitted, and a peer
/// that trickles never gets further.
pub(crate) const FIRST_CHUNK_BYTES: usize = 16 * 1024;
/// Frames that are here, Produce aside. No peer decides how long they take.
const WHOLE_FRAMES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Produce requests that are here, until they were looked into and there is room for their batches.
const WHOLE_PRODUCE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A frame up to this size waits in the lane of ordinary requests: Kafka's default `max.message.bytes` and some room.
const SMALL_FRAME_BYTES_MAX: usize = 1_400_000;
/// Those of Produce requests that are being read, and then until there is room for their batches.
const SMALL_PRODUCE_BYTES_MAX: usize = 24 * 1024 * 1024;
/// Those of other requests, until there is room for what they may grow into.
const SMALL_FRAMES_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A frame up to this size waits with other large ones.
const LARGE_FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
const LARGE_FRAMES_BYTES_MAX: usize = 12 * 1024 * 1024;
/// The same for those that are larger still. One that is larger than all of this goes alone.
const HUGE_FRAMES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// All of these.
const FRAMES_BYTES_MAX: usize = WHOLE_FRAMES_BYTES_MAX
    + WHOLE_PRODUCE_BYTES_MAX
    + SMALL_PRODUCE_BYTES_MAX
    + SMALL_FRAMES_BYTES_MAX
    + LARGE_FRAMES_BYTES_MAX
    + HUGE_FRAMES_BYTES_MAX;

/// What requests that came whole in a first chunk, Produce aside, may grow into while they are answered.
const SMALL_DECODED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The same for larger ones. One that may grow into more than all of this goes alone.
const LARGE_DECODED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Those of them that wait for the metadata to answer a question.
const ASKING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// All of these.
const DECODED_BYTES_MAX: usize =
    SMALL_DECODED_BYTES_MAX + LARGE_DECODED_BYTES_MAX + ASKING_BYTES_MAX;
/// How many times larger than its frame a request may be once decoded; `protocol`'s reader holds it to that.
const DECODED_FACTOR: usize = 16;

/// What a request takes of the agent besides the bytes that it carries, about: its names, its place in lines, its reply.
pub(crate) const REQUEST_BYTES: usize = 1024;
/// What is told of one batch besides its bytes, from its place in the request to the line that answers it, about.
const BATCH_BYTES: usize = 512;
/// Of the bytes that may wait for their acks, one connection has this part in flight, so that a few connections can fill
/// segments and none takes all.
const CONNECTION_SHARE: usize = 4;

/// Produce requests whose batches unpack into much and wait for their turn to be looked at.
const DENSE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What polls that wait for records may hold meanwhile: five thousand consumers of fifty partitions each, and some room.
const SMALL_POLLS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The same for those of very many partitions.
const LARGE_POLLS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A poll up to this size, which is one of about four hundred partitions, waits among the small ones.
const SMALL_POLL_BYTES_MAX: usize = 64 * 1024;

/// A reply up to this size waits in the lane of small ones, which have a quarter of the bytes that replies may take.
const SMALL_REPLY_BYTES_MAX: usize = 256 * 1024;
/// Of what is left of its lane a reply may have one part, of as many as there are replies and this.
const REPLY_SHARES: usize = 3;
/// Answers other than fetched bytes, and what making them takes. One up to this size waits among the small ones.
const SMALL_ANSWER_BYTES_MAX: usize = 64 * 1024;
const SMALL_ANSWERS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// All larger ones. Where an answer would take more, less can be asked for; one that must be given all the same goes alone.
pub(crate) const ANSWER_BYTES_MAX: usize = 96 * 1024 * 1024;
/// The same for those that are given to many: three of a million partitions.
const SHARED_ANSWERS_BYTES_MAX: usize = 96 * 1024 * 1024;
/// All of these.
const ANSWERS_BYTES_MAX: usize =
    SMALL_ANSWERS_BYTES_MAX + ANSWER_BYTES_MAX + SHARED_ANSWERS_BYTES_MAX;

/// Where less than this part of a lane is left, who holds it is in the way of others.
const CROWDED_SHARE: usize = 8;

/// The permits of one agent. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    whole_frames: ArrivingLane,
    whole_produce: ArrivingLane,
    small_produce: ArrivingLane,
    small_frames: ArrivingLane,
    large_frames: ArrivingLane,
    huge_frames: ArrivingLane,
    small_decoded: ArrivingLane,
    large_decoded: ArrivingLane,
    asking: ArrivingLane,
    dense: ArrivingLane,
    /// Validated batches waiting for their ack.
    buffered: Lane,
    /// Requests that wait for records.
    small_polls: Lane,
    large_polls: Lane,
    /// Fetched bytes on their way to clients.
    small_replies: Lane,
    large_replies: Lane,
    /// Answers other than those.
    small_answers: ArrivingLane,
    large_answers: ArrivingLane,
    shared_answers: Lane,
}

/// Given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit(Held);

#[derive(Debug)]
enum Held {
    Taken(Taken),
    Arriving(Room),
    /// For what many hold at once, and is there once.
    Shared(Arc<Permit>),
    /// Of a request that may ask the metadata: whoever does, waits in a lane of their own.
    Decoded {
        room: Room,
        asking: ArrivingLane,
    },
}

/// Of a lane in which whoever has bytes keeps them.
#[derive(Debug)]
struct Taken {
    bytes: OwnedSemaphorePermit,
    lane: Lane,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.lane.line.holders.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Permit {
    /// How many bytes it is for.
    pub(crate) fn bytes(&self) -> usize {
        match &self.0 {
            Held::Taken(taken) => taken.bytes.num_permits(),
            Held::Arriving(room) | Held::Decoded { room, .. } => room.bytes(),
            Held::Shared(permit) => permit.bytes(),
        }
    }

    /// One of several for the same bytes, given back with the last of them.
    pub(crate) fn shared(permit: &Arc<Self>) -> Self {
        Self(Held::Shared(Arc::clone(permit)))
    }

    fn merge(&mut self, more: OwnedSemaphorePermit) {
        if let Held::Taken(taken) = &mut self.0 {
            taken.bytes.merge(more);
        }
    }

    /// Whether others wait in its lane, or get little because hardly anything is left.
    pub(crate) fn is_wanted(&self) -> bool {
        match &self.0 {
            Held::Taken(taken) => taken.lane.is_crowded(),
            Held::Arriving(room) | Held::Decoded { room, .. } => room.is_wanted(),
            Held::Shared(permit) => permit.is_wanted(),
        }
    }

    /// Gives its room to others, for some among those who wait for the metadata. False where there is none: then its request
    /// asks nothing, for many would have all the room while the metadata does not answer.
    pub(crate) fn step_aside(&mut self) -> bool {
        let Held::Decoded { room, asking } = &self.0 else {
            return true;
        };
        let bytes = room.bytes().min(ASKING_BYTES_MAX / 2);
        let Some(aside) = asking.take_now(room.origin(), bytes) else {
            return false;
        };
        self.0 = Held::Arriving(aside);
        true
    }

    /// Gives back what is not needed.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        match &mut self.0 {
            Held::Taken(taken) => {
                let more = taken.bytes.num_permits().saturating_sub(bytes);
                drop(taken.bytes.split(more));
            }
            Held::Arriving(room) | Held::Decoded { room, .. } => room.shrink(bytes),
            // It is for others, too.
            Held::Shared(_) => {}
        }
    }

    /// Of a frame that arrives: how long its sender was waited for, and how many bytes came. True where it is to be given
    /// up, because it comes too slowly for those who wait for its permit.
    pub(crate) fn must_leave(&self, waited: Duration, arrived: usize) -> bool {
        matches!(&self.0, Held::Arriving(room) if room.must_leave(waited, arrived))
    }

    /// Resolves when that is so, as soon as others wait and it is known to come too slowly.
    pub(crate) async fn told_to_leave(&self) {
        match &self.0 {
            Held::Arriving(room) => room.told_to_leave().await,
            Held::Taken(_) | Held::Decoded { .. } | Held::Shared(_) => std::future::pending().await,
        }
    }

    /// The frame is here.
    pub(crate) fn is_whole(&self) {
        if let Held::Arriving(room) = &self.0 {
            room.is_whole();
        }
    }
}

#[derive(Clone, Debug)]
struct Lane {
    bytes: Arc<Semaphore>,
    total: u32,
    line: Arc<Line>,
}

#[derive(Debug, Default)]
struct Line {
    /// How many wait in line.
    waiting: AtomicUsize,
    /// How many have a permit.
    holders: AtomicUsize,
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
            whole_frames: ArrivingLane::shared(WHOLE_FRAMES_BYTES_MAX),
            whole_produce: ArrivingLane::shared(WHOLE_PRODUCE_BYTES_MAX),
            small_produce: ArrivingLane::new(SMALL_PRODUCE_BYTES_MAX),
            small_frames: ArrivingLane::shared_by_arriving(SMALL_FRAMES_BYTES_MAX),
            large_frames: ArrivingLane::new(LARGE_FRAMES_BYTES_MAX),
            huge_frames: ArrivingLane::new(HUGE_FRAMES_BYTES_MAX),
            small_decoded: ArrivingLane::shared(SMALL_DECODED_BYTES_MAX),
            large_decoded: ArrivingLane::shared(LARGE_DECODED_BYTES_MAX),
            asking: ArrivingLane::shared(ASKING_BYTES_MAX),
            dense: ArrivingLane::shared(DENSE_BYTES_MAX),
            buffered: Lane::new(buffered_bytes_max),
            small_polls: Lane::new(SMALL_POLLS_BYTES_MAX),
            large_polls: Lane::new(LARGE_POLLS_BYTES_MAX),
            small_replies: Lane::new(reply_bytes_max / 4),
            large_replies: Lane::new(reply_bytes_max - reply_bytes_max / 4),
            small_answers: ArrivingLane::shared(SMALL_ANSWERS_BYTES_MAX),
            large_answers: ArrivingLane::shared(ANSWER_BYTES_MAX),
            shared_answers: Lane::new(SHARED_ANSWERS_BYTES_MAX),
        }
    }

    /// What all requests together may take, by what for; batches that wait for their ack aside. `loadtest abuse` holds an
    /// agent to it.
    pub(crate) fn budgets(&self) -> [(&'static str, usize); 6] {
        let replies = self.small_replies.total as usize + self.large_replies.total as usize;
        [
            ("frames", FRAMES_BYTES_MAX),
            ("decoded", DECODED_BYTES_MAX),
            ("dense", DENSE_BYTES_MAX),
            ("polls", SMALL_POLLS_BYTES_MAX + LARGE_POLLS_BYTES_MAX),
            ("replies", replies),
            ("answers", ANSWERS_BYTES_MAX),
        ]
    }

    /// For a frame that is here, of any request but Produce.
    pub(crate) async fn frame(&self, origin: Origin, bytes: usize) -> Permit {
        Permit(Held::Arriving(self.whole_frames.take(origin, bytes).await))
    }

    /// For a Produce request that is here. It waits for others of its kind, and nobody else for it.
    pub(crate) async fn produce_frame(&self, origin: Origin, bytes: usize) -> Permit {
        Permit(Held::Arriving(self.whole_produce.take(origin, bytes).await))
    }

    /// For a frame that is still to be read, from there, of any request but Produce.
    pub(crate) async fn arriving_frame(&self, origin: Origin, bytes: usize) -> Permit {
        self.arriving(&self.small_frames, origin, bytes).await
    }

    /// For a Produce request that is still to be read. Those of ordinary size wait for no other requests, nor these for them.
    pub(crate) async fn arriving_produce(&self, origin: Origin, bytes: usize) -> Permit {
        self.arriving(&self.small_produce, origin, bytes).await
    }

    async fn arriving(&self, small: &ArrivingLane, origin: Origin, bytes: usize) -> Permit {
        let lane = if is_small(bytes) {
            small
        } else if bytes <= LARGE_FRAME_BYTES_MAX {
            &self.large_frames
        } else {
            &self.huge_frames
        };
        Permit(Held::Arriving(lane.take(origin, bytes).await))
    }

    /// For a request that arrived whole in a frame of so many bytes, until its reply is written.
    pub(crate) async fn decode(&self, origin: Origin, frame_bytes: usize) -> Permit {
        let lane = match frame_bytes <= FIRST_CHUNK_BYTES {
            true => &self.small_decoded,
            false => &self.large_decoded,
        };
        let bytes = frame_bytes.saturating_mul(DECODED_FACTOR);
        Permit(Held::Decoded {
            room: lane.take(origin, bytes).await,
            asking: self.asking.clone(),
        })
    }

    /// For a request's batches of so many bytes together that unpack into much, until they were looked at. None where there
    /// is no room: nobody waits for it with a permit in hand that others need. No one takes more than half of it.
    pub(crate) fn dense(&self, origin: Origin, bytes: usize) -> Option<Permit> {
        let bytes = bytes.saturating_add(REQUEST_BYTES);
        let place = self.dense.take_now(origin, bytes.min(DENSE_BYTES_MAX / 2));
        place.map(|place| Permit(Held::Arriving(place)))
    }

    /// For so many batches of a request, of so many bytes together, until they are acknowledged. However few and small they
    /// are, they do not come for nothing.
    pub(crate) async fn buffer(&self, batches: usize, bytes: usize) -> Permit {
        let about = REQUEST_BYTES.saturating_add(batches.saturating_mul(BATCH_BYTES));
        self.buffered.take(about.saturating_add(bytes)).await
    }

    /// Bytes of requests that one connection may have in flight, one request aside.
    pub(crate) fn connection_bytes_max(&self) -> usize {
        self.buffered.total as usize / CONNECTION_SHARE
    }

    /// For a poll that holds so much while it waits for records. Where there is no room, nobody waits for it: who stands in
    /// line holds as much as who waits for records.
    pub(crate) fn poll(&self, bytes: usize) -> Option<Permit> {
        let lane = match bytes <= SMALL_POLL_BYTES_MAX {
            true => &self.small_polls,
            false => &self.large_polls,
        };
        lane.take_now(bytes)
    }

    /// For a reply that carries at least `least` bytes and at most `wanted`, as far as there are. Its share is of what is
    /// left when its turn has come, and smaller the more replies there are: however many do not read, a next one finds
    /// something.
    pub(crate) async fn reply(&self, least: usize, wanted: usize) -> Permit {
        let (lane, wanted) = self.reply_lane(least, wanted);
        let mut permit = lane.take(least).await;
        lane.grow(&mut permit, wanted);
        permit
    }

    /// The same where nobody stands in line.
    pub(crate) fn reply_now(&self, least: usize, wanted: usize) -> Option<Permit> {
        let (lane, wanted) = self.reply_lane(least, wanted);
        let mut permit = lane.take_now(least)?;
        lane.grow(&mut permit, wanted);
        Some(permit)
    }

    /// Its lane, and what it may have there. Who would get little among the large ones is small.
    fn reply_lane(&self, least: usize, wanted: usize) -> (&Lane, usize) {
        let small = wanted.min(SMALL_REPLY_BYTES_MAX);
        let crowded = self.large_replies.share() < small;
        match wanted == small || (crowded && least <= small) {
            true => (&self.small_replies, small),
            false => (&self.large_replies, wanted),
        }
    }

    /// For an answer that takes so many bytes, with what making it takes, until it is written.
    pub(crate) async fn answer(&self, origin: Origin, bytes: usize) -> Permit {
        let lane = match bytes <= SMALL_ANSWER_BYTES_MAX {
            true => &self.small_answers,
            false => &self.large_answers,
        };
        Permit(Held::Arriving(lane.take(origin, bytes).await))
    }

    /// The same for one that is given to many. Who keeps such answers makes room for it first.
    pub(crate) async fn shared_answer(&self, bytes: usize) -> Permit {
        self.shared_answers.take(bytes).await
    }

    /// How much must be given back before there are so many bytes for an answer that is given to many.
    pub(crate) fn shared_answers_short_of(&self, bytes: usize) -> usize {
        let wanted = bytes.min(self.shared_answers.total as usize);
        wanted.saturating_sub(self.shared_answers.available())
    }

    /// As if there had never been more of them.
    #[cfg(test)]
    pub(crate) fn leave_for_shared_answers(&self, bytes: usize) {
        let surplus = self.shared_answers.available() - bytes;
        self.shared_answers.bytes.forget_permits(surplus);
    }

    /// Bytes of answers that are made or not written yet, fetched ones aside.
    #[cfg(test)]
    pub(crate) fn answer_bytes(&self) -> usize {
        self.small_answers.taken() + self.large_answers.taken() + self.shared_answers.taken()
    }

    /// Bytes of batches waiting for their ack right now.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffered.taken()
    }
}

/// Whether a frame is of ordinary size.
pub(crate) fn is_small(bytes: usize) -> bool {
    bytes <= SMALL_FRAME_BYTES_MAX
}

impl Lane {
    fn new(bytes: usize) -> Self {
        let total = u32::try_from(bytes.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self {
            bytes: Arc::new(Semaphore::new(total as usize)),
            total,
            line: Arc::default(),
        }
    }

    /// Waits in line for that many bytes; one who wants more than there are gets them all.
    async fn take(&self, bytes: usize) -> Permit {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.total);
        let in_line = InLine::stand(&self.line.waiting);
        let bytes = Arc::clone(&self.bytes)
            .acquire_many_owned(wanted)
            .await
            .expect("the lanes are never closed");
        drop(in_line);
        self.permit(bytes)
    }

    /// That many bytes, if they are there and nobody stands in line for them.
    fn take_now(&self, bytes: usize) -> Option<Permit> {
        let wanted = u32::try_from(bytes).ok()?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(wanted);
        bytes.ok().map(|bytes| self.permit(bytes))
    }

    fn permit(&self, bytes: OwnedSemaphorePermit) -> Permit {
        self.line.holders.fetch_add(1, Ordering::Relaxed);
        let lane = self.clone();
        Permit(Held::Taken(Taken { bytes, lane }))
    }

    /// Adds to a permit what is missing to `wanted`, as far as that is its share. Who has something waits for no more.
    fn grow(&self, permit: &mut Permit, wanted: usize) {
        let more = wanted.min(self.share()).saturating_sub(permit.bytes());
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if let Ok(more) = Arc::clone(&self.bytes).try_acquire_many_owned(more) {
            permit.merge(more);
        }
    }

    /// Of what is left: however many have theirs already, something remains for one more.
    fn share(&self) -> usize {
        self.available() / (REPLY_SHARES + self.line.holders.load(Ordering::Relaxed))
    }

    fn is_crowded(&self) -> bool {
        let little = self.available() < self.total as usize / CROWDED_SHARE;
        let others = self.line.holders.load(Ordering::Relaxed) > 1;
        self.line.waiting.load(Ordering::Relaxed) > 0 || (little && others)
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

    fn somewhere() -> Origin {
        Origin::of(None)
    }

    #[tokio::test]
    async fn a_crowd_of_large_frames_does_not_delay_smaller_ones() {
        let admission = Admission::new(1 << 20, 1 << 20);
        let arriving = |bytes| admission.arriving_produce(somewhere(), bytes);
        let _first = arriving(20 << 20).await;
        let mut second = Box::pin(arriving(20 << 20));
        assert!(futures::poll!(&mut second).is_pending());
        let _large = arriving(2 << 20).await;
        let _small = arriving(1 << 20).await;
        drop(_first);
        second.await;
    }

    #[tokio::test]
    async fn frames_that_are_here_wait_for_none_that_come_slowly() {
        let admission = Admission::new(1 << 20, 1 << 20);
        let arriving = || admission.arriving_produce(somewhere(), 1 << 20);
        let slow = futures::future::join_all((0..24).map(|_| arriving())).await;
        assert!(futures::poll!(Box::pin(arriving())).is_pending());
        let here = admission.frame(somewhere(), FIRST_CHUNK_BYTES);
        assert!(futures::poll!(Box::pin(here)).is_ready());
        drop(slow);
    }

    /// Permits of an origin, until it waits for the next. The runtime would have whoever is ready so often wait for a turn.
    async fn crowd<F: Future<Output = Permit>>(take: impl Fn() -> F) -> Vec<Permit> {
        let mut crowd = Vec::new();
        let take = || Box::pin(tokio::task::unconstrained(take()));
        while let std::task::Poll::Ready(permit) = futures::poll!(take()) {
            crowd.push(permit);
        }
        crowd
    }

    #[tokio::test]
    async fn produce_that_waits_delays_no_other_request_nor_that_of_other_origins() {
        let admission = Admission::new(1 << 20, 1 << 20);
        let other = Origin::of(Some([10, 0, 0, 1].into()));
        let produce = |origin| admission.produce_frame(origin, FIRST_CHUNK_BYTES);
        let crowd = crowd(|| produce(somewhere())).await;
        assert!(futures::poll!(Box::pin(admission.frame(somewhere(), 100))).is_ready());
        assert!(futures::poll!(Box::pin(produce(other))).is_ready());
        drop(crowd);
    }

    #[tokio::test]
    async fn a_request_of_very_many_partitions_delays_no_small_one() {
        let admission = Admission::new(1 << 20, 1 << 20);
        let wide = admission.decode(somewhere(), 8 << 20).await;
        let mut next = Box::pin(admission.decode(somewhere(), 8 << 20));
        assert!(futures::poll!(&mut next).is_pending());
        let small = admission.decode(somewhere(), FIRST_CHUNK_BYTES);
        assert!(futures::poll!(Box::pin(small)).is_ready());
        drop(wide);
        assert!(futures::poll!(&mut next).is_ready());
    }

    /// Whoever waits for the metadata holds nothing that others need, or does not wait.
    #[tokio::test]
    async fn those_who_ask_the_metadata_step_aside_or_do_not_ask() {
        let admission = Admission::new(1 << 20, 1 << 20);
        let other = Origin::of(Some([10, 0, 0, 1].into()));
        let decode = |origin| admission.decode(origin, FIRST_CHUNK_BYTES);
        let mut asking = Vec::new();
        loop {
            let mut permit = decode(somewhere()).await;
            if !permit.step_aside() {
                break;
            }
            assert!(permit.step_aside(), "it has");
            asking.push(permit);
        }
        assert_eq!(asking.len(), 64, "half of that lane");
        let crowd = crowd(|| decode(somewhere())).await;
        assert!(!crowd.is_empty());
        assert!(decode(other).await.step_aside());
    }

    /// Nobody stands in line behind hundreds who asked for much and do not read.
    #[tokio::test]
    async fn replies_that_nobody_reads_leave_room_for_others() {
        let admission = Admission::new(1 << 20, 256 << 20);
        let mut unread = Vec::new();
        for count in 0..300 {
            let permit = admission.reply_now(16 << 10, 50 << 20);
            let permit = permit.unwrap_or_else(|| panic!("no room behind {count}"));
            assert!(permit.bytes() >= 16 << 10);
            unread.push(permit);
        }
        assert!(unread[0].bytes() > 40 << 20, "{}", unread[0].bytes());
        assert!(unread[0].is_wanted(), "they are in the way");
        drop(unread);
        assert!(!admission.reply(1, 1).await.is_wanted());
    }

    /// What is left when they stood in line was nothing.
    #[tokio::test]
    async fn a_share_is_of_what_is_left_after_standing_in_line() {
        let admission = Admission::new(1 << 20, 4 << 20);
        let first = admission.reply(3 << 20, 3 << 20).await;
        let mut line: Vec<_> = (0..3)
            .map(|_| Box::pin(admission.reply(300 << 10, 50 << 20)))
            .collect();
        for waits in &mut line {
            assert!(futures::poll!(waits).is_pending());
        }
        drop(first);
        let shares = futures::future::join_all(line).await;
        let shares: Vec<usize> = shares.iter().map(Permit::bytes).collect();
        assert!(shares.iter().all(|share| *share >= 300 << 10), "{shares:?}");
        assert!(shares.iter().sum::<usize>() <= 3 << 20, "{shares:?}");
    }

    #[tokio::test]
    async fn polls_wait_in_no_line_and_few_large_ones_leave_room_for_many_small_ones() {
        let admission = Admission::new(1 << 20, 1 << 20);
        assert!(admission.poll(100 << 20).is_none(), "more than there is");
        let large = admission.poll(LARGE_POLLS_BYTES_MAX);
        assert!(large.is_some());
        assert!(admission.poll(SMALL_POLL_BYTES_MAX + 1).is_none());
        let small: Vec<_> = (0..5000).map(|_| admission.poll(12_000)).collect();
        assert!(small.iter().all(Option::is_some));
        drop(large);
        let mut other = admission.poll(SMALL_POLL_BYTES_MAX + 1).unwrap();
        other.shrink(1);
        assert!(admission.poll(LARGE_POLLS_BYTES_MAX - 1).is_some());
    }

    #[tokio::test]
    async fn a_frame_larger_than_the_lane_goes_alone() {
        let admission = Admission::new(1 << 20, 1 << 20);
        let huge = admission.arriving_produce(somewhere(), 100 << 20).await;
        let mut next = Box::pin(admission.arriving_produce(somewhere(), 5 << 20));
        assert!(futures::poll!(&mut next).is_pending());
        drop(huge);
        next.await;
        assert_eq!(admission.buffered_bytes(), 0);
    }

    #[tokio::test]
    async fn whoever_has_a_permit_sees_whether_others_wait_for_it() {
        let admission = Admission::new(1 << 20, 1 << 20);
        let first = admission.reply(1 << 20, 1 << 20).await;
        assert!(!first.is_wanted());
        let mut second = Box::pin(admission.reply(1 << 20, 1 << 20));
        assert!(futures::poll!(&mut second).is_pending());
        assert!(first.is_wanted());
        drop(second);
        assert!(!first.is_wanted());
    }
}
