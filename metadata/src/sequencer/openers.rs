//! Whose the open sessions of agents are: a machine that opens them without end leaves some to all others. The sequencer says
//! which are open, and `rpc` asks before it opens one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::origin::Origin;
use crate::said::Said;

/// Of one machine: twice the links that it may have, for all its agents may have been started again before the sessions of
/// those before fell silent.
const OF_A_MACHINE_MAX: usize = 2048;
/// Lines a minute on refusals.
const LINES_MAX: u32 = 4;

/// What an agent is told that finds no room.
pub(crate) const TOO_MANY: &str = "the agents of this machine have as many sessions as one machine may have; those of agents that \
                                   are gone are closed after a while";

/// Of all open sessions.
#[derive(Debug)]
pub(crate) struct Openers {
    known: Arc<Mutex<Known>>,
    refused: Said<()>,
}

#[derive(Debug, Default)]
struct Known {
    by_session: HashMap<u64, Origin>,
    /// Sessions of each machine, with those that are being opened.
    counts: HashMap<Origin, usize>,
}

/// A session that is being opened, until it is known to be open or this is dropped. It goes with the command, for whoever
/// asked may be gone when that is decided.
#[derive(Debug)]
pub(crate) struct Opening {
    of: Origin,
    known: Arc<Mutex<Known>>,
}

impl Default for Openers {
    fn default() -> Self {
        Self {
            known: Arc::default(),
            refused: Said::seldom(LINES_MAX),
        }
    }
}

impl Openers {
    /// One more of that machine, if it may have more.
    pub(crate) fn begin(&self, from: Option<IpAddr>) -> Option<Opening> {
        let of = Origin::of(from);
        let mut known = self.known.lock();
        if known
            .counts
            .get(&of)
            .is_some_and(|count| *count >= OF_A_MACHINE_MAX)
        {
            if let Some(unsaid) = self.refused.admit(()) {
                tracing::warn!(?from, unsaid, "turned an agent away: {TOO_MANY}");
            }
            return None;
        }
        *known.counts.entry(of).or_default() += 1;
        drop(known);
        let known = Arc::clone(&self.known);
        Some(Opening { of, known })
    }

    /// That session is open, and an agent at that machine has it.
    pub(super) fn has(&self, session: u64, from: Option<IpAddr>) {
        self.known.lock().has(session, Origin::of(from));
    }

    /// It is open no more.
    pub(super) fn closed(&self, session: u64) {
        let mut known = self.known.lock();
        if let Some(of) = known.by_session.remove(&session) {
            known.less(of);
        }
    }

    /// After the state was loaded.
    pub(super) fn retain(&self, is_open: impl Fn(u64) -> bool) {
        let mut known = self.known.lock();
        let gone: Vec<_> = known.by_session.extract_if(|id, _| !is_open(*id)).collect();
        gone.into_iter().for_each(|(_, of)| known.less(of));
    }
}

impl Known {
    fn has(&mut self, session: u64, of: Origin) {
        if let Some(before) = self.by_session.insert(session, of) {
            self.less(before);
        }
        *self.counts.entry(of).or_default() += 1;
    }

    fn less(&mut self, of: Origin) {
        if let Some(count) = self.counts.get_mut(&of) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&of);
            }
        }
    }
}

impl Opening {
    /// That session is open, whether or not anybody takes it up.
    pub(crate) fn opened(self, session: u64) {
        self.known.lock().has(session, self.of);
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.known.lock().less(self.of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(last: u8) -> Option<IpAddr> {
        Some([10, 0, 0, last].into())
    }

    #[test]
    fn a_machine_has_its_share_of_sessions_until_they_are_closed() {
        let openers = Openers::default();
        let most = u64::try_from(OF_A_MACHINE_MAX).unwrap();
        let opening = openers.begin(machine(1));
        (1..most).for_each(|session| openers.has(session, machine(1)));
        assert!(openers.begin(machine(1)).is_none(), "one is being opened");
        assert!(openers.begin(machine(2)).is_some());
        drop(opening);
        drop(openers.begin(machine(1)).expect("it was not opened"));
        openers.begin(machine(1)).expect("one more").opened(most);
        // Taken up again, on another link.
        openers.has(most, machine(1));
        assert!(openers.begin(machine(1)).is_none());
        openers.closed(7);
        openers.closed(7);
        assert!(openers.begin(machine(1)).is_some());
        openers.has(8, machine(2));
        openers.retain(|session| session == 8);
        let known = openers.known.lock();
        assert_eq!(known.counts, HashMap::from([(Origin::of(machine(2)), 1)]));
    }
}
