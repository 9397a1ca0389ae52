//! Everything that can happen: the only content of the log. Effects say what was decided, so replay never decides again.
//!
//! **Row-local.** A crash may come between a checkpoint's transactions, so a log is replayed over rows of different ages,
//! each of which says as of when it is and skips what it already holds. That is only right if an effect changes one row,
//! from that row and the effect alone. So a command that touches many rows has an effect for each, or one that packs
//! them: a [`Committed`] is one object's, its partitions', their producers' and one session's, and each of these is
//! folded by its own table as if it came alone.
//!
//! Declared once in `codec`'s way, nested by concern, with tags that never change their meaning; `tests/golden/` holds
//! bytes that must stay readable for ever.

mod committed;
mod log;

use std::collections::BTreeMap;

use crate::command::Outcome;
use crate::types::{
    BucketId, HistoryId, LostRange, NamingEpoch, Offset, ProducerId, Timestamp, TopicId,
    TopicPartition,
};

pub(crate) use committed::{Asked, Block, Committed, Judged, Judgement, extents};
pub(crate) use log::{LogBytes, cut, decode_entry};

wire_enum! {
    /// Something that happened.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) enum Effect {
        /// An object became part of the metadata, with what was made of each of its batches.
        1 => Committed(committed: Committed),
        2 => Topic { topic: TopicId, what: TopicEffect },
        3 => Partition { partition: TopicPartition, what: PartitionEffect },
        /// To producers of that partition, each of which is a row.
        4 => Producers { partition: TopicPartition, what: ProducersEffect },
        5 => Session { session: u64, what: SessionEffect },
        6 => Cluster(what: ClusterEffect),
    }
}

wire_enum! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) enum TopicEffect {
        1 => Created(created: TopicCreated),
        /// Whether anything was known of its partitions, as of one that ever held a record: if not, nothing is left once its
        /// row is cleared.
        2 => Deleted { held: bool },
        3 => PartitionsCreated { total: i32 },
        /// An operator gave these records up. Their extents stay: readers do not get as far as those.
        4 => MarkedLost(range: LostRange),
    }
}

wire_enum! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) enum PartitionEffect {
        /// Records before that offset can no longer be read.
        1 => LogStartMoved { to: Offset },
        /// A leader epoch began: records from there on are of a history that was begun anew.
        2 => EpochBegan { epoch: i32, start: Offset },
        /// Its index is that generation from then on, which has all that the one before has in rows. Whoever made it writes
        /// this between two checkpoints, for one that is under way appends to the one before.
        3 => IndexSwapped { generation: u32 },
    }
}

wire_enum! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) enum ProducersEffect {
        /// They were silent for too long.
        1 => Forgotten(ids: Vec<ProducerId>),
    }
}

wire_enum! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) enum SessionEffect {
        /// The nonce tells it from another one that had this id, in a store that went back in time.
        1 => Opened { nonce: u64 },
        2 => Closed,
        /// A command of the session was answered; it has seen all outcomes up to `seen`, exclusive.
        3 => Answered { sequence: u64, seen: u64, outcome: Outcome },
    }
}

wire_enum! {
    /// To what there is one of.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) enum ClusterEffect {
        1 => ProducerIdsAllocated { next: ProducerId },
        /// Producers before that id, if any, were forgotten somewhere.
        2 => ProducersForgottenBefore { end: ProducerId },
        /// The last session so far.
        3 => SessionNumbered { last: u64 },
        /// Segments lie in that bucket, from now on and for ever.
        4 => BucketBound(bucket: BucketId),
        /// Objects are named in this epoch from then on.
        5 => NamingAdvanced { epoch: NamingEpoch, now: Timestamp },
        6 => FeatureLevelRaised { level: u32 },
        /// An operator accepted a store that had gone back in time.
        7 => OlderStoreAccepted {
            history: HistoryId,
            since: Timestamp,
            last_session: u64,
            next_producer: ProducerId,
            /// That of all partitions from here on, those that are made later included.
            leader_epoch: i32,
        },
        /// Objects that are not known may be deleted again.
        8 => HoldReleased,
        /// Says nothing: it is there to be met by versions that do not know it.
        200 => Trial(number: u64) if cfg(any(test, feature = "level-2")) && crate::level::known() >= 2,
    }
}

wire_struct! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct TopicCreated {
        pub(crate) name: String,
        pub(crate) partitions: i32,
        pub(crate) replication_factor: i16,
        pub(crate) configs: BTreeMap<String, String>,
        /// Producer ids from here on were handed out after the topic was made.
        pub(crate) first_producer: ProducerId,
        pub(crate) created: Timestamp,
    }
}

impl TopicEffect {
    /// How many partitions the topic has from here on, where that changes.
    pub(crate) fn partitions(&self) -> Option<i32> {
        match self {
            Self::Created(created) => Some(created.partitions),
            Self::PartitionsCreated { total } => Some(*total),
            Self::Deleted { .. } | Self::MarkedLost(_) => None,
        }
    }
}

impl Effect {
    pub(crate) fn topic(topic: TopicId, what: TopicEffect) -> Self {
        Self::Topic { topic, what }
    }

    pub(crate) fn session(session: u64, what: SessionEffect) -> Self {
        Self::Session { session, what }
    }
}
