//! What the links of a process take in memory, all together: frames that are coming in, what was asked and is not answered,
//! and what waits for peers to take it. Each link has bounds of its own, and there may be thousands of links: when all of them
//! take too much, those end that take more than their share of a machine that takes more than its own. Links cost a machine
//! nothing, so that shares of links alone would leave little to those who have one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::origin::Origin;

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
    /// Those that have links.
    machines: Mutex<HashMap<Origin, Arc<Machine>>>,
}

/// The links of one machine.
#[derive(Debug, Default)]
struct Machine {
    bytes: AtomicUsize,
    /// Changed only with the lock on all machines.
    links: AtomicUsize,
}

/// What one link takes, until it is dropped.
#[derive(Debug)]
pub(super) struct Part {
    all: Arc<All>,
    of: Origin,
    machine: Arc<Machine>,
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
            machines: Mutex::default(),
        }))
    }

    /// A new link's, from that machine.
    pub(super) fn part(&self, from: Option<IpAddr>) -> Arc<Part> {
        let of = Origin::of(from);
        let mut machines = self.0.machines.lock();
        let machine = Arc::clone(machines.entry(of).or_default());
        machine.links.fetch_add(1, Ordering::Relaxed);
        Arc::new(Part {
            all: Arc::clone(&self.0),
            of,
            machine,
            own: AtomicUsize::new(0),
        })
    }
}

impl Part {
    pub(super) fn add(&self, bytes: usize) {
        for count in self.counts() {
            count.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// No more than was added.
    pub(super) fn sub(&self, bytes: usize) {
        for count in self.counts() {
            count.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn counts(&self) -> [&AtomicUsize; 3] {
        [&self.own, &self.machine.bytes, &self.all.bytes]
    }

    /// Whether all take too much, its machine more than most, and this one more than most of its machine.
    pub(super) fn is_over(&self) -> bool {
        let [own, of_machine, all] = self.counts().map(|count| count.load(Ordering::Relaxed));
        if all <= self.all.max {
            return false;
        }
        let share = self.all.max / self.all.machines.lock().len().max(1);
        let links = self.machine.links.load(Ordering::Relaxed).max(1);
        of_machine > share && own > share / links
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.sub(self.own.load(Ordering::Relaxed));
        let mut machines = self.all.machines.lock();
        if self.machine.links.fetch_sub(1, Ordering::Relaxed) == 1 {
            machines.remove(&self.of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> Option<IpAddr> {
        Some([10, 0, 0, last].into())
    }

    #[test]
    fn only_those_that_take_more_than_their_share_are_over_and_only_while_all_take_too_much() {
        let budget = Budget::default();
        let parts: Vec<_> = (0..4).map(|_| budget.part(from(1))).collect();
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
        assert!(budget.0.machines.lock().is_empty(), "nothing is left");
        let part = budget.part(from(1));
        part.add(BYTES_MAX);
        assert!(!part.is_over(), "what is gone takes nothing");
    }

    /// Whoever has a thousand links of a machine has the room of that machine.
    #[test]
    fn many_links_of_one_machine_take_nothing_from_another_machine() {
        const LINKS: usize = 1_000;
        let budget = Budget::default();
        let greedy: Vec<_> = (0..LINKS).map(|_| budget.part(from(1))).collect();
        let (agent, other) = (budget.part(from(2)), budget.part(from(3)));
        greedy
            .iter()
            .for_each(|part| part.add(BYTES_MAX / LINKS - 200));
        other.add(BYTES_MAX / 8);
        agent.add(BYTES_MAX / 8);
        assert!(!agent.is_over() && !other.is_over());
        assert!(greedy.iter().all(|part| part.is_over()));
    }
}
