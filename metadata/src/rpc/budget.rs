//! What the links of a process take in memory, all together: frames that are coming in, what was asked and is not answered,
//! and what waits for peers to take it. Each link has bounds of its own, and there may be thousands of links: when all of them
//! take too much, those end that take more than their share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of all links together.
const BYTES_MAX: usize = 512 * 1024 * 1024;

/// Why a link was cut that took more than its share.
pub(super) const OVER: &str = "the links of this process take too much memory, and this one more than its share: it sends more than is \
                               done, or takes less than it asks for";

/// All links of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget(Arc<All>);

#[derive(Debug)]
struct All {
    max: usize,
    bytes: AtomicUsize,
    links: AtomicUsize,
}

/// What one link takes, until it is dropped.
#[derive(Debug)]
pub(super) struct Part {
    all: Arc<All>,
    own: AtomicUsize,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(BYTES_MAX)
    }
}

impl Budget {
    /// Of so many bytes.
    pub(super) fn of(max: usize) -> Self {
        Self(Arc::new(All {
            max,
            bytes: AtomicUsize::new(0),
            links: AtomicUsize::new(0),
        }))
    }

    /// A new link's.
    pub(super) fn part(&self) -> Arc<Part> {
        self.0.links.fetch_add(1, Ordering::Relaxed);
        Arc::new(Part {
            all: Arc::clone(&self.0),
            own: AtomicUsize::new(0),
        })
    }
}

impl Part {
    pub(super) fn add(&self, bytes: usize) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.all.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// No more than was added.
    pub(super) fn sub(&self, bytes: usize) {
        self.own.fetch_sub(bytes, Ordering::Relaxed);
        self.all.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether all take too much, and this one more than most.
    pub(super) fn is_over(&self) -> bool {
        let links = self.all.links.load(Ordering::Relaxed).max(1);
        self.all.bytes.load(Ordering::Relaxed) > self.all.max
            && self.own.load(Ordering::Relaxed) > self.all.max / links
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let own = *self.own.get_mut();
        self.all.bytes.fetch_sub(own, Ordering::Relaxed);
        self.all.links.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_that_take_more_than_their_share_are_over_and_only_while_all_take_too_much() {
        let budget = Budget::default();
        let parts: Vec<_> = (0..4).map(|_| budget.part()).collect();
        parts[0].add(BYTES_MAX / 2);
        assert!(!parts[0].is_over(), "there is room for it");
        parts[1].add(BYTES_MAX / 2);
        parts[2].add(BYTES_MAX / 8);
        let over: Vec<_> = parts.iter().map(|part| part.is_over()).collect();
        assert_eq!(over, [true, true, false, false]);
        parts[0].sub(BYTES_MAX / 4);
        assert!(!parts[1].is_over());
        parts[0].add(BYTES_MAX / 4);
        assert!(parts[1].is_over());
        drop(parts);
        let part = budget.part();
        part.add(BYTES_MAX);
        assert!(!part.is_over(), "what is gone takes nothing");
    }
}
