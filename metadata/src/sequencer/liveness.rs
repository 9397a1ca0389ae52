//! Which agents still live: each session's stream says when it was last heard of, and a session that was silent for too
//! long is closed by a command, so that nothing of it can be committed any more. Time is this process's own; a
//! sequencer that was itself away blames nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A look at the sessions that comes later than this says that the sequencer was away.
const AWAY: Duration = Duration::from_secs(2);

/// When a session was last heard of, and on which of its streams. Written by these. An agent that looks for the sequencer
/// greets whoever may be it, perhaps one process by two names, and goes on with the link on which it is welcomed first:
/// which of them that is shows when it says something there.
#[derive(Debug)]
pub(crate) struct Heard {
    at: Mutex<Instant>,
    /// The subscriber that came last, of those on whose streams something was said.
    by: AtomicU64,
}

impl Heard {
    fn now() -> Self {
        Self {
            at: Mutex::new(Instant::now()),
            by: AtomicU64::new(0),
        }
    }

    /// Its agent lives, whatever it says.
    pub(crate) fn again(&self) {
        *self.at.lock() = Instant::now();
    }

    /// Its agent said something on that stream.
    pub(crate) fn on(&self, subscriber: u64) {
        self.again();
        self.by.fetch_max(subscriber, Ordering::AcqRel);
    }

    /// Whether its agent has left that stream for a later one.
    pub(crate) fn has_left(&self, subscriber: u64) -> bool {
        self.by.load(Ordering::Acquire) > subscriber
    }

    fn at(&self) -> Instant {
        *self.at.lock()
    }
}

/// The sessions of all agents.
#[derive(Debug)]
pub(super) struct Liveness {
    timeout: Duration,
    looked: Instant,
    heard: BTreeMap<u64, Arc<Heard>>,
}

impl Liveness {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            looked: Instant::now(),
            heard: BTreeMap::new(),
        }
    }

    /// One more stream of that session: all of them write the same.
    pub(super) fn attach(&mut self, session: u64) -> Arc<Heard> {
        let heard = self.heard.entry(session);
        let heard = heard.or_insert_with(|| Arc::new(Heard::now()));
        heard.again();
        Arc::clone(heard)
    }

    /// Sessions that were silent for too long, among those that are open.
    pub(super) fn silent(&mut self, open: impl Iterator<Item = u64>) -> Vec<u64> {
        let now = Instant::now();
        let was_away = now - self.looked > AWAY;
        self.looked = now;
        let mut known = std::mem::take(&mut self.heard);
        for session in open {
            // Opened under another sequencer, or its stream never came: it has its time from now on.
            let heard = known.remove(&session);
            let heard = heard.unwrap_or_else(|| Arc::new(Heard::now()));
            if was_away {
                heard.again();
            }
            self.heard.insert(session, heard);
        }
        let silent = self.heard.iter();
        silent
            .filter(|(_, heard)| now.saturating_duration_since(heard.at()) >= self.timeout)
            .map(|(session, _)| *session)
            .collect()
    }
}
