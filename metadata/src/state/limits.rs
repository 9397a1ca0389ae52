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

/// About what a state takes in memory that has as much of everything as [`Limits::default`] lets it have.
pub const STATE_BYTES_MAX: u64 = 3 * 1024 * 1024 * 1024;
/// Less would not do for a small cluster.
pub const STATE_BYTES_MIN: u64 = 64 * 1024 * 1024;

impl Limits {
    /// For a state that is to take no more than about so many bytes of memory, between [`STATE_BYTES_MIN`] and
    /// [`STATE_BYTES_MAX`]: the same part of everything. What is there already stays, however much it is.
    #[must_use]
    pub fn within(bytes: u64) -> Self {
        let all = Self::default();
        let bytes = bytes.clamp(STATE_BYTES_MIN, STATE_BYTES_MAX);
        let part = |most: u64| {
            let part = u128::from(most) * u128::from(bytes) / u128::from(STATE_BYTES_MAX);
            u64::try_from(part).unwrap_or(most)
        };
        let count = |most: usize| usize::try_from(part(most as u64)).unwrap_or(most);
        Self {
            topics: count(all.topics),
            topic_bytes: part(all.topic_bytes),
            partitions: part(all.partitions),
            topic_partitions: all.topic_partitions,
            deleted_topics: count(all.deleted_topics),
            sessions: all.sessions,
            session_outcomes: all.session_outcomes,
            outcome_bytes: part(all.outcome_bytes),
            producer_bytes: part(all.producer_bytes),
        }
    }
}

/// What is there of which there may be less, and what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    /// As in `partitions: 50000 of 41666`, with commas between kinds.
    pub(crate) kinds: String,
    /// [`Limits::within`] so many bytes it is not exceeded.
    pub(crate) bytes: u64,
}

impl Limits {
    /// Whether there is more than these allow, as where they were higher before: nothing new of it is taken. Outcomes are
    /// left out, which go by themselves, and sessions, whose limit does not follow from memory.
    pub(crate) fn exceeded(&self, usage: &Usage) -> Option<Exceeded> {
        let all = Self::default();
        let wide = |count: usize| count as u64;
        let mut over = vec![
            ("topics", usage.topics, wide(self.topics), wide(all.topics)),
            (
                "bytes of topics' names and settings",
                usage.topic_bytes,
                self.topic_bytes,
                all.topic_bytes,
            ),
            (
                "partitions",
                usage.partitions,
                self.partitions,
                all.partitions,
            ),
            (
                "deleted topics",
                usage.deleted_topics,
                wide(self.deleted_topics),
                wide(all.deleted_topics),
            ),
            (
                "bytes of idempotent producers",
                usage.producer_bytes,
                self.producer_bytes,
                all.producer_bytes,
            ),
        ];
        over.retain(|(_, is, may_be, _)| is > may_be);
        let needs = over.iter().map(|(_, is, _, most)| {
            let bytes = u128::from(*is) * u128::from(STATE_BYTES_MAX);
            u64::try_from(bytes.div_ceil(u128::from(*most))).unwrap_or(u64::MAX)
        });
        let bytes = needs.max()?;
        let kinds = over.iter();
        let kinds = kinds.map(|(kind, is, may_be, _)| format!("{kind}: {is} of {may_be}"));
        Some(Exceeded {
            kinds: kinds.collect::<Vec<_>>().join(", "),
            bytes,
        })
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_a_third_of_the_memory_has_a_third_of_everything() {
        let all = Limits::default();
        assert_eq!(Limits::within(STATE_BYTES_MAX), all);
        assert_eq!(Limits::within(u64::MAX), all);
        let third = Limits::within(STATE_BYTES_MAX / 3);
        assert_eq!(third.partitions, all.partitions / 3);
        assert_eq!(third.producer_bytes, all.producer_bytes / 3);
        let least = Limits::within(0);
        assert_eq!(least, Limits::within(STATE_BYTES_MIN));
        assert!(
            least.topics >= 4_000 && least.partitions >= 40_000,
            "{least:?}"
        );
    }

    #[test]
    fn what_is_more_than_may_be_is_told_with_the_memory_that_it_needs() {
        let little = Limits::within(STATE_BYTES_MIN);
        let mut usage = Usage {
            partitions: little.partitions,
            ..Usage::default()
        };
        assert_eq!(little.exceeded(&usage), None, "it may be full");
        usage.partitions = 50_000;
        usage.producer_bytes = little.producer_bytes + 1;
        let Exceeded { kinds, bytes } = little.exceeded(&usage).expect("more than may be");
        let producers = format!(
            "bytes of idempotent producers: {} of {}",
            usage.producer_bytes, little.producer_bytes
        );
        assert_eq!(kinds, format!("partitions: 50000 of 41666, {producers}"));
        assert_eq!(Limits::within(bytes).exceeded(&usage), None);
        assert!(Limits::within(bytes - 1).exceeded(&usage).is_some());
    }
}
