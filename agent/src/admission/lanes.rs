//! All lanes of an agent, and who waits in which.

use super::budgets::{
    ANSWER_BYTES_MAX, ANSWERS_BYTES_MAX, ASKING_BYTES_MAX, BATCH_BYTES, CONNECTION_SHARE,
    DECODED_BYTES_MAX, DECODED_FACTOR, DENSE_BYTES_MAX, FIRST_CHUNK_BYTES, FRAMES_BYTES_MAX,
    HUGE_PRODUCE_BYTES_MAX, LARGE_DECODED_BYTES_MAX, LARGE_FRAMES_BYTES_MAX,
    LARGE_PLACES_BYTES_MAX, LARGE_POLLS_BYTES_MAX, LARGE_PRODUCE_BYTES_MAX,
    LARGE_PRODUCE_FRAME_BYTES_MAX, LOCATED_BYTES_MAX, REQUEST_BYTES, SEARCHES_AT_ONCE,
    SEARCHES_BYTES_MAX, SHARED_ANSWERS_BYTES_MAX, SMALL_ANSWER_BYTES_MAX, SMALL_ANSWERS_BYTES_MAX,
    SMALL_ASKING_BYTES_MAX, SMALL_DECODED_BYTES_MAX, SMALL_FRAME_BYTES_MAX, SMALL_FRAMES_BYTES_MAX,
    SMALL_PLACE_BYTES_MAX, SMALL_PLACES_BYTES_MAX, SMALL_POLL_BYTES_MAX, SMALL_POLLS_BYTES_MAX,
    SMALL_PRODUCE_BYTES_MAX, WHOLE_FRAMES_BYTES_MAX, WHOLE_PRODUCE_BYTES_MAX,
};
use super::lane::Lane;
use super::permit::{Held, Permit};
use super::replies::{Replies, ReplyBytes};
use crate::arriving::ArrivingLane;
use crate::origin::Origin;

/// The permits of one agent. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    whole_frames: ArrivingLane,
    whole_produce: ArrivingLane,
    small_produce: ArrivingLane,
    large_produce: ArrivingLane,
    huge_produce: ArrivingLane,
    small_frames: ArrivingLane,
    large_frames: ArrivingLane,
    small_decoded: ArrivingLane,
    large_decoded: ArrivingLane,
    small_asking: ArrivingLane,
    asking: ArrivingLane,
    searches: ArrivingLane,
    searching: ArrivingLane,
    dense: ArrivingLane,
    /// Validated batches waiting for their ack.
    buffered: Lane,
    /// Requests that wait for records.
    small_polls: Lane,
    large_polls: ArrivingLane,
    /// What was found for those that wait for room among the next.
    located: ArrivingLane,
    /// Fetched bytes on their way to clients.
    replies: Replies,
    /// Answers other than those.
    small_answers: ArrivingLane,
    large_answers: ArrivingLane,
    shared_answers: Lane,
    /// What Produce requests hold until their replies are written.
    small_places: ArrivingLane,
    large_places: ArrivingLane,
}

impl Admission {
    /// `buffered_bytes_max`: batches waiting for their ack; `reply_bytes_max`: fetched bytes not yet written.
    pub(crate) fn new(buffered_bytes_max: usize, reply_bytes_max: usize) -> Self {
        Self {
            whole_frames: ArrivingLane::shared(WHOLE_FRAMES_BYTES_MAX),
            whole_produce: ArrivingLane::shared(WHOLE_PRODUCE_BYTES_MAX),
            small_produce: ArrivingLane::new(SMALL_PRODUCE_BYTES_MAX),
            large_produce: ArrivingLane::new(LARGE_PRODUCE_BYTES_MAX),
            huge_produce: ArrivingLane::new(HUGE_PRODUCE_BYTES_MAX),
            small_frames: ArrivingLane::shared_by_arriving(SMALL_FRAMES_BYTES_MAX),
            large_frames: ArrivingLane::shared_by_arriving(LARGE_FRAMES_BYTES_MAX),
            small_decoded: ArrivingLane::shared(SMALL_DECODED_BYTES_MAX),
            large_decoded: ArrivingLane::shared(LARGE_DECODED_BYTES_MAX),
            small_asking: ArrivingLane::shared(SMALL_ASKING_BYTES_MAX),
            asking: ArrivingLane::shared(ASKING_BYTES_MAX),
            searches: ArrivingLane::shared(SEARCHES_BYTES_MAX),
            searching: ArrivingLane::shared(SEARCHES_AT_ONCE),
            dense: ArrivingLane::shared(DENSE_BYTES_MAX),
            buffered: Lane::new(buffered_bytes_max),
            small_polls: Lane::new(SMALL_POLLS_BYTES_MAX),
            large_polls: ArrivingLane::shared(LARGE_POLLS_BYTES_MAX),
            located: ArrivingLane::shared(LOCATED_BYTES_MAX),
            replies: Replies::new(reply_bytes_max),
            small_answers: ArrivingLane::shared(SMALL_ANSWERS_BYTES_MAX),
            large_answers: ArrivingLane::shared(ANSWER_BYTES_MAX),
            shared_answers: Lane::new(SHARED_ANSWERS_BYTES_MAX),
            small_places: ArrivingLane::shared(SMALL_PLACES_BYTES_MAX),
            large_places: ArrivingLane::shared(LARGE_PLACES_BYTES_MAX),
        }
    }

    /// What all requests together may take, by what for; batches that wait for their ack aside. `loadtest abuse` holds an
    /// agent to it.
    pub(crate) fn budgets(&self) -> [(&'static str, usize); 6] {
        [
            ("frames", FRAMES_BYTES_MAX),
            ("decoded", DECODED_BYTES_MAX),
            ("dense", DENSE_BYTES_MAX),
            ("polls", SMALL_POLLS_BYTES_MAX + LARGE_POLLS_BYTES_MAX),
            ("replies", self.replies.bytes_max() + LOCATED_BYTES_MAX),
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
        let lane = match is_small(bytes) {
            true => &self.small_frames,
            false => &self.large_frames,
        };
        Permit(Held::Arriving(lane.take(origin, bytes).await))
    }

    /// For a Produce request that is still to be read. They wait for no other requests, nor these for them: one that is here
    /// keeps its permit until there is room among batches, which in an outage is as long as that.
    pub(crate) async fn arriving_produce(&self, origin: Origin, bytes: usize) -> Permit {
        let lane = if is_small(bytes) {
            &self.small_produce
        } else if bytes <= LARGE_PRODUCE_FRAME_BYTES_MAX {
            &self.large_produce
        } else {
            &self.huge_produce
        };
        Permit(Held::Arriving(lane.take(origin, bytes).await))
    }

    /// For a request that arrived whole in a frame of so many bytes, until its reply is written.
    pub(crate) async fn decode(&self, origin: Origin, frame_bytes: usize) -> Permit {
        let (lane, asking) = match frame_bytes <= FIRST_CHUNK_BYTES {
            true => (&self.small_decoded, &self.small_asking),
            false => (&self.large_decoded, &self.asking),
        };
        let bytes = frame_bytes.saturating_mul(DECODED_FACTOR);
        Permit(Held::Decoded {
            room: lane.take(origin, bytes).await,
            asking: asking.clone(),
            aside: None,
        })
    }

    /// For a request that searches by time and takes so much meanwhile, in place of what it came with. None where there is no
    /// room: nobody waits for it with a permit in hand that others need. No one takes more than half of it.
    pub(crate) fn searches(&self, origin: Origin, bytes: usize) -> Option<Permit> {
        let bytes = bytes.min(SEARCHES_BYTES_MAX / 2);
        let place = self.searches.take_now(origin, bytes);
        place.map(|place| Permit(Held::Arriving(place)))
    }

    /// For one of its searches, in its turn.
    pub(crate) async fn searching(&self, origin: Origin) -> Permit {
        Permit(Held::Arriving(self.searching.take(origin, 1).await))
    }

    /// For a request's batches of so many bytes together that unpack into much, until they were looked at. None where there
    /// is no room: nobody waits for it with a permit in hand that others need. No one takes more than half of it.
    pub(crate) fn dense(&self, origin: Origin, bytes: usize) -> Option<Permit> {
        let bytes = bytes.saturating_add(REQUEST_BYTES);
        let place = self.dense.take_now(origin, bytes.min(DENSE_BYTES_MAX / 2));
        place.map(|place| Permit(Held::Arriving(place)))
    }

    /// For what a Produce request holds besides its batches, from the time that it is looked into until its reply is written:
    /// others are read behind it, and its client may never take a reply. Whoever has it may wait for room among batches and
    /// for an answer's, but for no frame's.
    pub(crate) async fn place(&self, origin: Origin, bytes: usize) -> Permit {
        let (lane, other) = match bytes <= SMALL_PLACE_BYTES_MAX {
            true => (&self.small_places, &self.large_places),
            false => (&self.large_places, &self.small_places),
        };
        Permit(Held::Place {
            room: lane.take(origin, bytes).await,
            other: other.clone(),
        })
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
    pub(crate) fn poll(&self, origin: Origin, bytes: usize) -> Option<Permit> {
        if bytes <= SMALL_POLL_BYTES_MAX {
            return self.small_polls.take_now(bytes);
        }
        let fits = bytes <= LARGE_POLLS_BYTES_MAX;
        let place = fits.then(|| self.large_polls.take_now(origin, bytes));
        place.flatten().map(|place| Permit(Held::Arriving(place)))
    }

    /// For what was found for a reply that is going to stand in line. Where there is no room it is not to be kept.
    pub(crate) fn located(&self, origin: Origin, bytes: usize) -> Option<Permit> {
        let fits = bytes <= LOCATED_BYTES_MAX;
        let place = fits.then(|| self.located.take_now(origin, bytes));
        place.flatten().map(|place| Permit(Held::Arriving(place)))
    }

    /// For a reply, as far as there are bytes.
    pub(crate) async fn reply(&self, bytes: ReplyBytes) -> Permit {
        self.replies.in_line(bytes).await
    }

    /// The same where nobody stands in line.
    pub(crate) fn reply_now(&self, bytes: ReplyBytes) -> Option<Permit> {
        self.replies.now(bytes)
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

    /// Bytes of requests that are decoded, of those that wait for the metadata among them.
    #[cfg(test)]
    pub(crate) fn decoded_bytes(&self) -> usize {
        let lanes = [
            &self.small_decoded,
            &self.large_decoded,
            &self.small_asking,
            &self.asking,
        ];
        lanes.into_iter().map(ArrivingLane::taken).sum()
    }

    /// Bytes of answers that are going to be made, are made, or not written yet, fetched ones aside.
    #[cfg(test)]
    pub(crate) fn answer_bytes(&self) -> usize {
        let own = [&self.small_answers, &self.large_answers];
        let places = [&self.small_places, &self.large_places];
        let taken = own.into_iter().chain(places).map(ArrivingLane::taken);
        taken.sum::<usize>() + self.shared_answers.taken()
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
