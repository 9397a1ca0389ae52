//! Whose waiting polls hold how many of the views that an agent keeps. No origin gets more of them than it leaves free, so
//! that whatever one machine waits for, others find views of what they read. Called by `handler`.
//!
//! A view that several hold is there once, and counted for whom it was held first, until nobody holds it: any number of
//! consumers of the same partitions take no more than one of them.

use std::collections::HashMap;

use metadata::{TopicPartition, VIEWS_MAX};
use parking_lot::Mutex;

use super::want::Want;
use crate::origin::Origin;
use crate::said::warn_seldom;

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
}

/// Of one view.
#[derive(Debug)]
struct Holders {
    first: Origin,
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
        for some in wants.chunks(AT_ONCE) {
            let mut counted = self.0.lock();
            for want in some {
                if !counted.add(origin, want.partition) {
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
    /// False where its origin would have more than it leaves free.
    fn add(&mut self, origin: Origin, partition: TopicPartition) -> bool {
        if let Some(holders) = self.held.get_mut(&partition) {
            holders.polls += 1;
            return true;
        }
        let own = self.by_origin.get(&origin).map_or(1, |count| count + 1);
        if own + self.held.len() + 1 > VIEWS_MAX {
            return false;
        }
        self.by_origin.insert(origin, own);
        let (first, polls) = (origin, 1);
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
