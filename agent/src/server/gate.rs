//! Who comes in at the clients' ports, and what is said of those who do not or are thrown out: all are counted, by reason,
//! and the log names each once in a while.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::shares::{self, Shares};
use crate::call::Close;
use crate::metrics::{self, Turned};
use crate::origin::Origin;
use crate::said::Said;

/// The same client is named again for the same reason after so long.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Lines a minute.
const LINES_MAX: u32 = 60;

/// Of all ports for clients. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connections_max: usize,
    /// Connections that are inside.
    all: Mutex<usize>,
    shares: Shares,
    said: Said<(Origin, Turned)>,
}

/// A connection's, until it ends.
#[derive(Debug)]
pub(super) struct Place {
    gate: Gate,
    _share: shares::Place,
}

impl Gate {
    pub(super) fn new(connections_max: usize, per_origin_max: usize) -> Self {
        Self(Arc::new(Shared {
            connections_max,
            all: Mutex::default(),
            shares: Shares::of(per_origin_max),
            said: Said::new(SAY_AGAIN, LINES_MAX),
        }))
    }

    /// None where there are too many already.
    pub(super) fn admit(&self, peer: SocketAddr) -> Option<Place> {
        let turned = match self.enter(peer.ip()) {
            Ok(place) => return Some(place),
            Err(turned) => turned,
        };
        metrics::count_turned(turned);
        let flag = match turned {
            Turned::AddressFull => "--connections-max-per-address",
            _ => "--connections-max",
        };
        if let Some(unsaid) = self.0.said.admit((Origin::of(Some(peer.ip())), turned)) {
            tracing::warn!(%peer, unsaid, "turned away: as many connections as {flag} allows");
        }
        None
    }

    fn enter(&self, peer: IpAddr) -> Result<Place, Turned> {
        let mut all = self.0.all.lock();
        if *all >= self.0.connections_max {
            return Err(Turned::Full);
        }
        let share = self.0.shares.take(peer).ok_or(Turned::AddressFull)?;
        *all += 1;
        Ok(Place {
            gate: self.clone(),
            _share: share,
        })
    }

    /// A connection ended for that reason.
    pub(super) fn closed(&self, peer: Option<IpAddr>, close: &Close) {
        let turned = match close {
            Close::Gone | Close::Socket(_) | Close::Idle => return,
            Close::TooSlow => Turned::TooSlow,
            Close::MadeRoom => Turned::MadeRoom,
            Close::NotReading => Turned::NotReading,
            Close::ReadsSlowly => Turned::ReadsSlowly,
            Close::Malformed(_) => Turned::Malformed,
            Close::Refused(_) => Turned::Refused,
        };
        metrics::count_turned(turned);
        if let Some(unsaid) = self.0.said.admit((Origin::of(peer), turned)) {
            let peer = peer.map(tracing::field::display);
            match turned {
                // It will be refused again, until somebody changes what it asks for.
                Turned::Refused => tracing::warn!(peer, %close, unsaid, "closed a connection"),
                _ => tracing::info!(peer, %close, unsaid, "closed a connection"),
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.gate.0.all.lock() -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 4000)
    }

    #[tokio::test]
    async fn an_address_leaves_room_for_others_and_all_have_a_bound() {
        let gate = Gate::new(5, 3);
        let mut inside: Vec<Place> = (0..3).filter_map(|_| gate.admit(at("10.0.0.1"))).collect();
        assert_eq!(inside.len(), 3);
        assert!(gate.admit(at("10.0.0.1")).is_none());
        assert!(gate.admit(at("::ffff:10.0.0.1")).is_none());
        inside.push(gate.admit(at("10.0.0.2")).expect("room for others"));
        inside.push(gate.admit(at("10.0.0.3")).expect("room for others"));
        assert!(gate.admit(at("10.0.0.4")).is_none());
        inside.remove(0);
        let again = gate.admit(at("10.0.0.1"));
        assert!(again.is_some(), "one left");
        drop((inside, again));
        assert_eq!(*gate.0.all.lock(), 0);
    }
}
