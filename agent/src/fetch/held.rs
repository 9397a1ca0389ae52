//! Whose waiting polls hold how many of the views that an agent keeps. No origin gets more of them than it leaves free, so
//! that whatever one machine waits for, others find views of what they read; and polls of few partitions find some whatever
//! others of their machine, or behind the same address, wait for. Called by `handler`.
//!
//! A view that several hold is there once, and counted for whom it was held first, until nobody holds it: any number of
//! consumers of the same partitions take no more than one of them.

use std::collections::HashMap;

use metadata::{TopicPartition, VIEWS_MAX};
use parking_lot::Mutex;

use super::want::Want;
use crate::origin::Origin;
use crate::said::warn_seldom;

/// A poll of no more partitions is small.
const FEW: usize = 64;
/// Views that small polls may hold past what is their origin's, all together.
const SPARE_MAX: usize = VIEWS_MAX / 8;
/// Partitions counted at once: a poll may have very many, and others are not to wait for it.
const AT_ONCE: usize = 256;
/// What counting takes at the most.
pub(crate) const HELD_BYTES_MAX: usize = 2 * VIEWS_MAX * size_of::<(TopicPartition, Holders)>();

/// The views that polls of one agent hold.
#[derive(Debug, Default)]
pub(super) struct HeldViews(Mutex<Counted>);

/// Those of one poll. Given back when dropped.
#[derive(Debug)]
pub(super) struct Hold<'a> {
    views: &'a HeldViews,
    wants: &'a [Want],
    /// So many of them are counted.
    count: usize,
}

#[derive(Debug, Default)]
struct Counted {
    held: HashMap<TopicPartition, Holders>,
    by_origin: HashMap<Origin, usize>,
    /// Held past what is an origin's.
    spare: usize,
}

/// Of one view.
#[derive(Debug)]
struct Holders {
    /// For whom it is counted; nobody where it is held past what is his.
    first: Option<Origin>,
    polls: u32,
}

impl HeldViews {
    /// For a poll that waits for these. Where they would be more than its origin may hold, it is not to wait.
    pub(super) fn hold<'a>(&'a self, origin: Origin, wants: &'a [Want]) -> Option<Hold<'a>> {
        let mut hold = Hold {
            views: self,
            wants,
            count: 0,
        };
        let is_small = wants.len() <= FEW;
        for some in wants.chunks(AT_ONCE) {
            let mut counted = self.0.lock();
            for want in some {
                if !counted.add(origin, want.partition, is_small) {
                    drop(counted);
                    warn_seldom!(
                        ?origin,
                        partitions = wants.len(),
                        "polls of one address wait for as many partitions as they leave to others; more of them are \
                         answered at once"
                    );
                    return None;
                }
                hold.count += 1;
            }
        }
        Some(hold)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut wants = self.wants.iter().take(self.count).peekable();
        while wants.peek().is_some() {
            let mut counted = self.views.0.lock();
            let some = wants.by_ref().take(AT_ONCE);
            some.for_each(|want| counted.remove(want.partition));
        }
    }
}

impl Counted {
    /// False where its origin would have more than it leaves free, and there is none to spare.
    fn add(&mut self, origin: Origin, partition: TopicPartition, is_small: bool) -> bool {
        if let Some(holders) = self.held.get_mut(&partition) {
            holders.polls += 1;
            return true;
        }
        let own = self.by_origin.get(&origin).map_or(1, |count| count + 1);
        let first = if own + self.held.len() < VIEWS_MAX {
            self.by_origin.insert(origin, own);
            Some(origin)
        } else if is_small && self.spare < SPARE_MAX && self.held.len() < VIEWS_MAX {
            self.spare += 1;
            None
        } else {
            return false;
        };
        let polls = 1;
        self.held.insert(partition, Holders { first, polls });
        true
    }

    fn remove(&mut self, partition: TopicPartition) {
        let Some(holders) = self.held.get_mut(&partition) else {
            return;
        };
        holders.polls -= 1;
        if holders.polls > 0 {
            return;
        }
        let first = holders.first;
        self.held.remove(&partition);
        let Some(first) = first else {
            self.spare -= 1;
            return;
        };
        if let Some(count) = self.by_origin.get_mut(&first) {
            *count -= 1;
            if *count == 0 {
                self.by_origin.remove(&first);
            }
        }
    }
}

/// So many partitions of that topic.
#[cfg(test)]
pub(super) fn wants(topic: u128, count: usize) -> Vec<Want> {
    let want = |index| Want {
        partition: TopicPartition {
            topic: metadata::TopicId(topic),
            partition: metadata::PartitionIndex(index),
        },
        offset: metadata::Offset(0),
        bytes_max: 1,
    };
    (0..i32::try_from(count).unwrap()).map(want).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_A_POLL: usize = 2048;

    /// The polls of an origin that may wait, of these.
    fn hold<'a>(views: &'a HeldViews, last: u8, polls: &'a [Vec<Want>]) -> Vec<Hold<'a>> {
        let origin = Origin::of(Some([10, 0, 0, last].into()));
        let held = polls.iter().map(|wants| views.hold(origin, wants));
        held.take_while(Option::is_some).flatten().collect()
    }

    #[test]
    fn no_origin_holds_more_views_than_it_leaves_free() {
        let views = HeldViews::default();
        let polls: Vec<_> = (0..64).map(|topic| wants(topic, OF_A_POLL)).collect();
        let (some, others) = polls.split_at(32);
        let first = hold(&views, 1, some);
        assert_eq!(first.len() * OF_A_POLL, VIEWS_MAX / 2);
        let second = hold(&views, 2, others);
        assert_eq!(second.len() * OF_A_POLL, VIEWS_MAX / 4);
        drop(first);
        assert_eq!(hold(&views, 2, some).len() * OF_A_POLL, VIEWS_MAX / 4);
        drop(second);
        let counted = views.0.lock();
        assert!(counted.held.is_empty() && counted.by_origin.is_empty());
    }

    /// As of a client beside them, or behind the same address.
    #[test]
    fn few_find_views_whatever_their_origin_holds() {
        let views = HeldViews::default();
        let many: Vec<_> = (0..64).map(|topic| wants(topic, OF_A_POLL)).collect();
        let _held = hold(&views, 1, &many);
        let few: Vec<_> = (64..1000).map(|topic| wants(topic, FEW)).collect();
        let small = hold(&views, 1, &few);
        assert_eq!(small.len() * FEW, SPARE_MAX);
        assert!(hold(&views, 1, &[wants(2000, FEW + 1)]).is_empty());
        drop(small);
        assert_eq!(views.0.lock().spare, 0);
    }

    /// They are there once.
    #[test]
    fn any_number_of_polls_hold_the_same_views() {
        let views = HeldViews::default();
        let polls: Vec<_> = (0..16).map(|topic| wants(topic, OF_A_POLL)).collect();
        let all: Vec<_> = (1..20).map(|last| hold(&views, last, &polls)).collect();
        assert!(all.iter().all(|held| held.len() == polls.len()));
        let more: Vec<_> = (16..32).map(|topic| wants(topic, OF_A_POLL)).collect();
        assert!(hold(&views, 1, &more).is_empty(), "all are its own");
        assert_eq!(hold(&views, 2, &more).len(), more.len() / 2);
    }
}
