//! How many connections each machine has: one that opens them without end leaves some to all others. Used by
//! `peers` and `gate`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::origin::Origin;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    max: usize,
    taken: Arc<Mutex<HashMap<Origin, usize>>>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    of: Origin,
    taken: Arc<Mutex<HashMap<Origin, usize>>>,
}

impl Shares {
    /// So many for each.
    pub(super) fn of(max: usize) -> Self {
        Self {
            max,
            taken: Arc::default(),
        }
    }

    /// A place, if that machine has not all of its own.
    pub(super) fn take(&self, peer: IpAddr) -> Option<Place> {
        let of = Origin::of(Some(peer));
        let mut taken = self.taken.lock();
        let count = taken.entry(of).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        let taken = Arc::clone(&self.taken);
        Some(Place { of, taken })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        if let Some(count) = taken.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_has_all_its_places_takes_none_of_others() {
        let shares = Shares::of(2);
        let take = |peer: &str| shares.take(peer.parse().unwrap());
        let (first, second) = (take("10.0.0.1"), take("::ffff:10.0.0.1"));
        assert!(first.is_some() && second.is_some());
        assert!(take("10.0.0.1").is_none(), "however it is written");
        assert!(take("10.0.0.2").is_some());
        drop(first);
        let again = take("10.0.0.1");
        assert!(again.is_some());
        let of_one = [take("2001:db8::1"), take("2001:db8::2:1")];
        assert!(of_one.iter().all(Option::is_some));
        assert!(take("2001:db8::3").is_none(), "one machine has many");
        assert!(take("2001:db8:0:1::3").is_some());
        drop((second, again, of_one));
        assert!(shares.taken.lock().is_empty(), "nothing is left behind");
    }
}
