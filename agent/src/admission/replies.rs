//! The room for replies: fetched bytes on their way to clients. Whoever never reads holds what he has until he is dropped, and
//! then comes back; those who read are not to stand in one line with him.

use super::budgets::{
    HELD_FOR_TAKEN, KEPT_SHARE, ON_TRUST_SHARE, ORDINARY_REPLY_BYTES_MAX, SMALL_REPLY_BYTES_MAX,
};
use super::lane::Lane;
use super::permit::Permit;

/// What a reply is to hold until it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyBytes {
    /// Without which it is none: what its first block takes.
    pub(crate) least: usize,
    pub(crate) wanted: usize,
    /// What its client took of earlier replies, on the same connection.
    pub(crate) taken: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Replies {
    small: Lane,
    large: Lane,
    /// Large ones, of clients that take what they ask for.
    kept: Lane,
}

impl Replies {
    pub(super) fn new(bytes_max: usize) -> Self {
        let share = bytes_max / KEPT_SHARE;
        let large = Lane::new(bytes_max - 2 * share);
        Self {
            small: Lane::new(share),
            kept: Lane::new(share).behind(&large, ON_TRUST_SHARE),
            large,
        }
    }

    pub(super) fn bytes_max(&self) -> usize {
        let lanes = [&self.small, &self.large, &self.kept];
        lanes.iter().map(|lane| lane.total as usize).sum()
    }

    /// Its share is of what is left when its turn has come, and smaller the more replies there are: however many do not read,
    /// a next one finds something.
    pub(super) async fn in_line(&self, bytes: ReplyBytes) -> Permit {
        let (lane, wanted) = self.lane(bytes);
        let mut permit = lane.take(bytes.least).await;
        lane.grow(&mut permit, wanted);
        permit
    }

    /// The same where nobody stands in line.
    pub(super) fn now(&self, bytes: ReplyBytes) -> Option<Permit> {
        let (lane, wanted) = self.lane(bytes);
        let mut permit = lane.take_now(bytes.least)?;
        lane.grow(&mut permit, wanted);
        Some(permit)
    }

    /// Its lane, and what it may have there. Who would get little among the large ones is small. Whoever may have some of what
    /// is kept takes it only where there is less for him among all, and stands in line for it rather than with those who may
    /// not.
    fn lane(&self, bytes: ReplyBytes) -> (&Lane, usize) {
        let ReplyBytes { least, wanted, .. } = bytes;
        let small = wanted.min(SMALL_REPLY_BYTES_MAX);
        let kept = self.kept_for(bytes);
        let kept_now = kept.min(self.kept.offers(least));
        let crowded = self.large.share() < small && kept_now < small;
        if wanted == small || (crowded && least <= small) {
            return (&self.small, small);
        }
        let large_now = self.large.offers(least);
        match kept > 0 && large_now < wanted && (large_now == 0 || kept_now > large_now) {
            true => (&self.kept, kept),
            false => (&self.large, wanted),
        }
    }

    /// How much of what is kept it may have. That follows from what its client took before, who holds up nobody for
    /// nothing then; or it is all of what is of ordinary size, as long as there is enough for those.
    fn kept_for(&self, bytes: ReplyBytes) -> usize {
        let ReplyBytes { least, wanted, .. } = bytes;
        let total = self.kept.total as usize;
        let enough = self.kept.available() >= total / ON_TRUST_SHARE;
        let most = match enough && wanted <= ORDINARY_REPLY_BYTES_MAX {
            true => wanted,
            false => wanted.min(bytes.taken.saturating_mul(HELD_FOR_TAKEN)),
        };
        // What is larger than all of it goes alone among the others.
        match least <= most && least <= total {
            true => most,
            false => 0,
        }
    }
}
