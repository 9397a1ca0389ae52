//! What a sequencer is told by its process.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::Steps;
use crate::state::Limits;
use crate::types::Timestamp;
use crate::witness::Witness;

/// What the sequencer needs from its process.
#[derive(Clone)]
pub struct Options {
    /// Reads the wall clock, at which only a process that takes over looks. Injected, so that simulation owns time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Random numbers for nonces and the cluster id.
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Between checkpoints, while there is something to write.
    pub checkpoint_interval: Duration,
    /// A checkpoint begins at once when so many bytes of log piled up.
    pub checkpoint_log_bytes: u64,
    /// What one transaction of a checkpoint takes.
    pub checkpoint_steps: Steps,
    /// Commits are slowed down so that no more log than this piles up that is not in rows yet, but for a drain or two:
    /// memory holds what it says, and the next process replays it.
    pub log_bytes_max: u64,
    /// How often it is looked for producers that were silent for a day.
    pub expiry_interval: Duration,
    /// How often it is looked for index rows that deleted topics left.
    pub leftovers_interval: Duration,
    /// Whom it serves.
    pub serves: Serves,
    /// An agent's session is closed when nothing was heard of it for so long.
    pub session_timeout: Duration,
    /// How much there may be of everything.
    pub limits: Limits,
    /// What the bucket remembers; none where nothing but the store is reached.
    pub witness: Option<Witness>,
}

/// Whom a sequencer serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serves {
    /// The agent in its own process, which has the store to itself.
    ThisProcess,
    /// Agents over the network, which reach it at this address; others like it wait for their turn.
    Network(String),
}

impl Options {
    /// A checkpoint every 15 s or 64 MiB, and twice as much log at the most.
    #[must_use]
    pub fn new(now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self {
            now,
            random: Arc::new(|| RandomState::new().build_hasher().finish()),
            checkpoint_interval: Duration::from_secs(15),
            checkpoint_log_bytes: 64 * 1024 * 1024,
            checkpoint_steps: Steps::default(),
            log_bytes_max: 128 * 1024 * 1024,
            expiry_interval: Duration::from_secs(3600),
            leftovers_interval: Duration::from_secs(60),
            serves: Serves::ThisProcess,
            session_timeout: Duration::from_secs(10),
            limits: Limits::default(),
            witness: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("checkpoint_interval", &self.checkpoint_interval)
            .field("checkpoint_log_bytes", &self.checkpoint_log_bytes)
            .field("log_bytes_max", &self.log_bytes_max)
            .finish_non_exhaustive()
    }
}
