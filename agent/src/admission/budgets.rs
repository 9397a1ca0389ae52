//! How much there is of everything, in bytes, and which size belongs where.

/// Bytes of a frame that are read before it needs a permit. A connection holds at most this much unadmitted, and a peer
/// that trickles never gets further.
pub(crate) const FIRST_CHUNK_BYTES: usize = 16 * 1024;
/// Frames that are here, Produce aside. No peer decides how long they take.
pub(super) const WHOLE_FRAMES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Produce requests that are here, until they were looked into and there is room for their batches.
pub(super) const WHOLE_PRODUCE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A frame up to this size waits in the lane of ordinary requests: Kafka's default `max.message.bytes` and some room.
pub(super) const SMALL_FRAME_BYTES_MAX: usize = 1_400_000;
/// Those of Produce requests that are being read, and then until there is room for their batches.
pub(super) const SMALL_PRODUCE_BYTES_MAX: usize = 24 * 1024 * 1024;
/// Those of other requests, until there is room for what they may grow into.
pub(super) const SMALL_FRAMES_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Other requests than Produce that are larger: two of the largest.
pub(super) const LARGE_FRAMES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A Produce request up to this size waits with other large ones.
pub(super) const LARGE_PRODUCE_FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
pub(super) const LARGE_PRODUCE_BYTES_MAX: usize = 12 * 1024 * 1024;
/// The same for those that are larger still. One that is larger than all of this goes alone.
pub(super) const HUGE_PRODUCE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// All of these.
pub(super) const FRAMES_BYTES_MAX: usize = WHOLE_FRAMES_BYTES_MAX
    + WHOLE_PRODUCE_BYTES_MAX
    + SMALL_PRODUCE_BYTES_MAX
    + SMALL_FRAMES_BYTES_MAX
    + LARGE_FRAMES_BYTES_MAX
    + LARGE_PRODUCE_BYTES_MAX
    + HUGE_PRODUCE_BYTES_MAX;

/// What requests that came whole in a first chunk, Produce aside, may grow into while they are answered.
pub(super) const SMALL_DECODED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The same for larger ones. One that may grow into more than all of this goes alone.
pub(super) const LARGE_DECODED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Those of them that wait for the metadata to answer a question.
pub(super) const ASKING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The same of small ones, which find room however many large ones wait.
pub(super) const SMALL_ASKING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Those of them that search by time.
pub(super) const SEARCHES_BYTES_MAX: usize = 32 * 1024 * 1024;
/// All of these.
pub(super) const DECODED_BYTES_MAX: usize = SMALL_DECODED_BYTES_MAX
    + LARGE_DECODED_BYTES_MAX
    + SMALL_ASKING_BYTES_MAX
    + ASKING_BYTES_MAX
    + SEARCHES_BYTES_MAX;
/// Searches by time under way. Each asks the metadata, has a block read and keeps it until it was looked into: what is in line
/// before others' questions and reads, and in memory besides the cache, is no more than that of so many.
pub(super) const SEARCHES_AT_ONCE: usize = 32;
/// How many times larger than its frame a request may be once decoded; `protocol`'s reader holds it to that.
pub(super) const DECODED_FACTOR: usize = 16;

/// What a request takes of the agent besides the bytes that it carries, about: its names, its place in lines, its reply.
pub(crate) const REQUEST_BYTES: usize = 1024;
/// What is told of one batch besides its bytes, from its place in the request to the line that answers it, about.
pub(super) const BATCH_BYTES: usize = 512;
/// Of the bytes that may wait for their acks, one connection has this part in flight, so that a few connections can fill
/// segments and none takes all.
pub(super) const CONNECTION_SHARE: usize = 4;

/// Produce requests whose batches unpack into much and wait for their turn to be looked at.
pub(super) const DENSE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What polls that wait for records may hold meanwhile: five thousand consumers of fifty partitions each, and some room.
pub(super) const SMALL_POLLS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The same for those of very many partitions, of which a few fill it: shared by origin.
pub(super) const LARGE_POLLS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A poll up to this size, which is one of about four hundred partitions, waits among the small ones.
pub(super) const SMALL_POLL_BYTES_MAX: usize = 64 * 1024;

/// A reply up to this size waits in the lane of small ones.
pub(super) const SMALL_REPLY_BYTES_MAX: usize = 256 * 1024;
/// Which has this part of the bytes that replies may take. As much is kept for clients that take what they ask for.
pub(super) const KEPT_SHARE: usize = 4;
/// A client may hold so many times as much of that as it took before: a reply holds whole blocks, and carries a part of them.
pub(super) const HELD_FOR_TAKEN: usize = 2;
/// A reply up to this size has some of it on trust, while one part in so many is free: what a consumer gets of one partition
/// by default, and a block more.
pub(super) const ORDINARY_REPLY_BYTES_MAX: usize = 2 * 1024 * 1024;
pub(super) const ON_TRUST_SHARE: usize = 2;
/// What was found for replies that stand in line for their bytes: some kilobytes for most.
pub(super) const LOCATED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Of what is left of its lane a reply may have one part, of as many as there are replies and this.
pub(super) const REPLY_SHARES: usize = 3;
/// Answers other than fetched bytes, and what making them takes. One up to this size waits among the small ones.
pub(super) const SMALL_ANSWER_BYTES_MAX: usize = 64 * 1024;
pub(super) const SMALL_ANSWERS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// All larger ones. Where an answer would take more, less can be asked for; one that must be given all the same goes alone.
pub(crate) const ANSWER_BYTES_MAX: usize = 96 * 1024 * 1024;
/// The same for those that are given to many: three of a million partitions.
pub(super) const SHARED_ANSWERS_BYTES_MAX: usize = 96 * 1024 * 1024;
/// What Produce requests hold from the time that they are looked into until their replies are written, others being read behind
/// them: fifty thousand ordinary ones.
pub(super) const SMALL_PLACES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The same for those of very many partitions.
pub(super) const LARGE_PLACES_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A place up to this size, which is one of about fifty batches, waits among the small ones.
pub(super) const SMALL_PLACE_BYTES_MAX: usize = 64 * 1024;
/// All of these.
pub(super) const ANSWERS_BYTES_MAX: usize = SMALL_ANSWERS_BYTES_MAX
    + ANSWER_BYTES_MAX
    + SHARED_ANSWERS_BYTES_MAX
    + SMALL_PLACES_BYTES_MAX
    + LARGE_PLACES_BYTES_MAX;

/// Where less than this part of a lane is left, who holds it is in the way of others.
pub(super) const CROWDED_SHARE: usize = 8;
