//! What a candidate is right now, for those who serve agents and those who watch it.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::handle::{Metadata, Stats};

/// What this process is to agents.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Somebody else holds the order, as far as is known at this address.
    Waiting { holder: String },
    /// Agents are served here.
    Holding(Metadata),
}

/// Why a candidate can neither watch nor take over, if it cannot.
pub(super) type Trouble = Arc<Mutex<Option<String>>>;

/// See the file. Cheap to clone.
#[derive(Clone)]
pub struct Status {
    roles: watch::Receiver<Role>,
    /// Drawn by the process when it started, which it is told apart by.
    nonce: u64,
    random: Arc<dyn Fn() -> u64 + Send + Sync>,
    trouble: Trouble,
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Status")
            .field("role", &*self.roles.borrow())
            .finish_non_exhaustive()
    }
}

impl Status {
    pub(super) fn new(
        roles: watch::Receiver<Role>,
        nonce: u64,
        random: Arc<dyn Fn() -> u64 + Send + Sync>,
        trouble: Trouble,
    ) -> Self {
        Self {
            roles,
            nonce,
            random,
            trouble,
        }
    }

    pub(crate) fn role(&self) -> Role {
        self.roles.borrow().clone()
    }

    pub(crate) fn nonce(&self) -> u64 {
        self.nonce
    }

    pub(crate) fn random(&self) -> u64 {
        (self.random)()
    }

    fn holding(&self) -> Option<Metadata> {
        match self.role() {
            Role::Holding(metadata) => Some(metadata),
            Role::Waiting { .. } => None,
        }
    }

    /// Whether this process holds the order.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.holding().is_some()
    }

    /// Whether it holds the order and the store can be written.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.holding().is_some_and(|metadata| metadata.ready())
    }

    /// [`Metadata::displaced`], of one that holds the order.
    #[must_use]
    pub fn displaced(&self) -> Option<String> {
        self.holding()?.displaced()
    }

    /// Why a process that waits can neither watch the holder nor take over, if it cannot: a sentence for the operator.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Counters since it took over; zeros while it waits.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.holding()
            .map_or_else(Stats::default, |metadata| metadata.stats())
    }
}
