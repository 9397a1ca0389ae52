//! What a candidate saw of whoever holds the order, from look to look: whether its head stands still, and whether what lies
//! in the store counts.
//!
//! It counts once something vouches for it: the bucket, which was asked just before and remembers nothing that the store
//! lacks, or a holder that was seen to write, which it does only after it compared the store with all it knows. From then on
//! each look compares the store with the one before, so that what a candidate saw last is as new as anything that the bucket
//! could know by now, and it needs no bucket to take over. That holds as long as it looks all the while. One that was
//! frozen, or did not reach the store, does not know what was acknowledged and told to the bucket meanwhile: a store that is
//! newer than what it saw may still be older than that. So after a gap something must vouch for the store again.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::lineage::Past;
use crate::error::Error;
use crate::types::Lsn;
use crate::witness::WRITE_INTERVAL;

/// Looks further apart prove nothing of what was between them. Time for the slowest ones, which wait for a busy store, a
/// silent process and a silent bucket, and far less than the bucket's own memory may be old.
const GAP_MAX: Duration = Duration::from_secs(5);

/// What was seen last.
#[derive(Debug)]
pub(super) struct Seen {
    owner: Bytes,
    head: Bytes,
    lsn: Lsn,
    /// The head is as it is at least since then.
    since: Instant,
    /// What was read is not older than that.
    reading: Instant,
    counts: bool,
    /// When the bucket was last asked to vouch for it.
    asked: Option<Instant>,
}

impl Seen {
    /// Whether it is time to ask the bucket: not where something vouches for the store already, and seldom.
    pub(super) fn is_to_be_vouched_for(seen: Option<&Self>) -> bool {
        seen.is_none_or(|seen| {
            let lately = |asked: Instant| asked.elapsed() < WRITE_INTERVAL;
            !seen.counts && !seen.asked.is_some_and(lately)
        })
    }

    /// What is there now, after what was seen `before`; `reading` began to be read then.
    pub(super) fn next(before: Option<Self>, past: &Past, reading: Instant) -> Result<Self, Error> {
        let (now, lsn) = (Instant::now(), past.lsn()?);
        let mut next = Self {
            owner: past.owner.clone(),
            head: past.head.clone(),
            lsn,
            since: now,
            reading,
            counts: false,
            asked: None,
        };
        if let Some(before) = before {
            let same_owner = before.owner == next.owner;
            if same_owner && before.head == next.head {
                next.since = before.since;
            }
            // A store that was put back meanwhile was not written, whoever it names.
            let wrote = same_owner && before.lsn < lsn;
            if before.is_of_now() {
                next.counts = before.counts || wrote;
                next.asked = before.asked;
            }
        }
        Ok(next)
    }

    /// The bucket was asked, before this was read. Whether it remembers nothing that is not there.
    pub(super) fn asked(&mut self, begun: Instant, agrees: bool) {
        self.asked = Some(begun);
        self.counts |= agrees && begun.elapsed() <= GAP_MAX;
    }

    /// The holder could not write, perhaps: that its head stands still says nothing of it, and it has its time from the next
    /// look on.
    pub(super) fn store_failed(&mut self) {
        self.head = Bytes::new();
    }

    pub(super) fn counts(&self) -> bool {
        self.counts
    }

    /// Whether it was read just now: what is done by it joins on to this look.
    pub(super) fn is_of_now(&self) -> bool {
        self.reading.elapsed() <= GAP_MAX
    }

    /// How long the head has stood still.
    pub(super) fn still(&self) -> Duration {
        self.since.elapsed()
    }
}
