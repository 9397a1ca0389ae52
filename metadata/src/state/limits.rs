//! How much there may be of everything, so that nobody can make a state that no process could load.

/// Named bounds. Past each, what would add to it is refused; nothing that is there is ever given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Topics in the cluster.
    pub topics: usize,
    /// Bytes of their names and settings, all topics together: every agent has them in memory.
    pub topic_bytes: u64,
    /// Partitions in the cluster.
    pub partitions: u64,
    /// Partitions of one topic.
    pub topic_partitions: u32,
    /// Deleted topics of which anything is left in the store: rows to be cleared, or extents to be given back.
    pub deleted_topics: usize,
    /// Sessions of agents.
    pub sessions: usize,
    /// Outcomes that one session has not seen yet.
    pub session_outcomes: usize,
    /// Bytes of all outcomes that are kept for sessions to ask again. One session may take as much as it leaves to others.
    pub outcome_bytes: u64,
    /// Bytes of idempotent producers, [`PRODUCER_BYTES`] each. One share may take as much as it leaves to others.
    pub producer_bytes: u64,
}

/// What a producer counts for in a partition that remembers it: its window, and its part of what holds it.
pub const PRODUCER_BYTES: u64 = 256;

impl Default for Limits {
    fn default() -> Self {
        Self {
            topics: 200_000,
            topic_bytes: 256 * 1024 * 1024,
            partitions: 2_000_000,
            topic_partitions: 1_000_000,
            deleted_topics: 1_000_000,
            sessions: 10_000,
            session_outcomes: 64 * 1024,
            outcome_bytes: 256 * 1024 * 1024,
            producer_bytes: 256 * 1024 * 1024,
        }
    }
}

/// How much there is of what [`Limits`] bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub topics: u64,
    pub topic_bytes: u64,
    pub partitions: u64,
    pub deleted_topics: u64,
    pub sessions: u64,
    pub outcome_bytes: u64,
    pub producers: u64,
    pub producer_bytes: u64,
}
