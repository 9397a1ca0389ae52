//! Which agents still live: each session's stream says when it was last heard of, and a session that was silent for too
//! long is closed by a command, so that nothing of it can be committed any more. Time is this process's own; a
//! sequencer that was itself away blames nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A look at the sessions that comes later than this says that the sequencer was away.
const AWAY: Duration = Duration::from_secs(2);

/// When a session was last heard of. Written by its stream.
#[derive(Debug)]
pub(crate) struct Heard(Mutex<Instant>);

impl Heard {
    pub(crate) fn now() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    pub(crate) fn again(&self) {
        *self.0.lock() = Instant::now();
    }

    fn at(&self) -> Instant {
        *self.0.lock()
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

    pub(super) fn attach(&mut self, session: u64, heard: Arc<Heard>) {
        heard.again();
        self.heard.insert(session, heard);
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
