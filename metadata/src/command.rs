//! Everything that can be asked of the metadata, what it answers, and the lawful refusals.

use std::collections::BTreeMap;

use crate::types::{
    BatchFlags, BlockRange, BucketId, HistoryId, LostRange, Lsn, ObjectKey, Offset, PartitionIndex,
    ProducerEpoch, ProducerId, Sequence, Share, Timestamp, TopicId,
};

/// Something asked of the sequencer. Judged by `decide`, in the order of submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    CommitObject(CommitObject),
    CreateTopic(CreateTopic),
    DeleteTopic(TopicId),
    CreatePartitions(CreatePartitions),
    /// A block of producer ids for the asking agent to hand out, `1..=1_000_000` of them.
    AllocateProducerIds {
        count: u32,
    },
    /// Makes that bucket the one in which segments lie, unless one is already; `None` only asks which one is.
    BindBucket(Option<BucketId>),
    /// From now on the cluster writes what that level allows; `None`: the highest one that the sequencer knows. Answered
    /// with the level that is.
    RaiseFeatureLevel(Option<u32>),
    /// An operator accepts a store that went back in time: see `state::agreed`. The sequencer's own.
    AcceptOlderStore {
        /// The history that begins.
        history: HistoryId,
        /// The leader epoch of all partitions from then on.
        epoch: i32,
    },
    /// In place of a level that somebody cannot read, in whose name the sentence says why it stays. The sequencer's own.
    KeepFeatureLevel(String),
    /// Objects that are not known may be deleted again.
    ReleaseHold,
    /// An operator gives records up that cannot be read: readers step over them from then on.
    MarkLost {
        topic: TopicId,
        range: LostRange,
    },
    /// A new session for an agent, in which its commands are numbered; earlier ones of the same process are closed.
    OpenSession {
        closing: Vec<u64>,
        /// Random: a store that went back in time may hand out the same id twice, but not with the same nonce.
        nonce: u64,
    },
    /// Ends a session whose agent is silent or has left.
    CloseSession(u64),
    /// Forgets some of the producers silent since `before`, so that their state does not pile up. To be asked until there
    /// is nothing more to be written.
    ExpireProducers {
        before: Timestamp,
    },
}

/// A command with its place in its agent's session, by which asking again is recognized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    pub session: u64,
    /// Dense from 1 within the session.
    pub sequence: u64,
    /// The agent has the outcomes of all sequences below this one; they need not be kept.
    pub seen: u64,
    pub command: Command,
}

impl Submission {
    /// A command of the sequencer's own, which it never asks twice.
    pub(crate) fn own(command: Command) -> Self {
        Self {
            session: 0,
            sequence: 0,
            seen: 0,
            command,
        }
    }
}

/// Makes the record batches of one stored segment part of their partitions, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitObject {
    pub object: ObjectKey,
    /// Size of the stored object in bytes.
    pub size: u64,
    /// Blocks in object order.
    pub blocks: Vec<CommitBlock>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitBlock {
    pub topic: TopicId,
    pub partition: PartitionIndex,
    pub range: BlockRange,
    /// The block's record batches in order; their `raw_length`s add up to the block's.
    pub batches: Vec<CommitBatch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitBatch {
    /// Bytes of the batch, header included.
    pub raw_length: u32,
    /// Offsets the batch takes (`last_offset_delta + 1`), at least 1.
    pub record_count: u32,
    pub max_timestamp: Timestamp,
    /// `None` for a producer without idempotence.
    pub producer: Option<BatchProducer>,
    /// What its header says.
    pub flags: BatchFlags,
    /// Its producer was told that one before it failed, and will send both again: its bytes are dead.
    pub withheld: bool,
}

/// What a batch says of its idempotent producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchProducer {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
    pub base_sequence: Sequence,
    /// On whose account the cluster remembers it, if it is new to the partition.
    pub share: Share,
}

wire_fields!(BatchProducer {
    id,
    epoch,
    base_sequence,
    share
});

impl BatchProducer {
    /// No number is negative.
    pub(crate) fn is_possible(&self) -> bool {
        self.id.0 >= 0 && self.epoch.0 >= 0 && self.base_sequence.0 >= 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTopic {
    /// As [`crate::check_topic_name`] has it.
    pub name: String,
    /// Fresh and random: `decide` has no randomness of its own.
    pub id: TopicId,
    /// At least 1.
    pub partitions: i32,
    /// At least 1. Stored and echoed; object storage replicates.
    pub replication_factor: i16,
    /// Only what the user set; already checked by the agent.
    pub configs: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreatePartitions {
    pub topic: TopicId,
    /// The new total; must be larger than the old one.
    pub total: i32,
}

wire_enum! {
    /// What became of a command, once durable.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Outcome {
        /// One verdict per batch, in the command's order (blocks, then batches).
        1 => Committed(verdicts: Vec<Verdict>),
        2 => TopicCreated(topic: TopicId),
        3 => TopicDeleted,
        4 => PartitionsCreated,
        5 => ProducerIds { first: ProducerId, count: u32 },
        /// The whole command was refused.
        6 => Rejected(rejected: Rejected),
        7 => SessionOpened(session: u64),
        8 => ProducersExpired,
        9 => SessionClosed,
        /// The bucket that is bound, whichever was asked for; none if nobody ever bound one.
        10 => BucketBound(bucket: Option<BucketId>),
        /// The feature level that is.
        11 => FeatureLevel(level: u32),
        12 => OlderStoreAccepted,
        13 => HoldReleased,
        /// The feature level stays as it is, and the sentence says why.
        14 => FeatureLevelKept(why: String),
        15 => MarkedLost,
        /// There was none to release.
        16 => NoHold,
    }
}

/// What became of one record batch.
pub type Verdict = Result<Placed, Rejected>;

wire_struct! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Placed {
        /// Offset of the batch's first record; of the original one for a duplicate.
        pub base_offset: Offset,
        /// The partition's log start offset at that moment.
        pub log_start_offset: Offset,
        /// The batch had been committed before; nothing was appended.
        pub duplicate: bool,
    }
}

wire_enum! {
    /// A lawful no.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
    pub enum Rejected {
        #[error("no topic with that id")]
        1 => UnknownTopic,
        #[error("the topic has no such partition")]
        2 => UnknownPartition,
        #[error("a topic with that name exists")]
        3 => TopicExists,
        #[error("the name collides with a topic whose name differs only in '.' and '_'")]
        4 => TopicNameCollides,
        #[error("the number of partitions must be positive and may only grow")]
        5 => InvalidPartitions,
        #[error("the batch does not follow its producer's last one")]
        6 => OutOfOrderSequence,
        #[error("the producer's epoch is older than the one known")]
        7 => InvalidProducerEpoch,
        #[error("the object was named too long ago to be committed")]
        8 => ObjectTooOld,
        #[error("the object was committed before")]
        9 => ObjectCommitted,
        #[error("the agent's session is closed")]
        10 => SessionClosed,
        #[error("the command contradicts itself")]
        11 => InvalidCommand,
        #[error("the agent withheld the batch behind one that it could not store")]
        12 => Withheld,
        #[error("no producer was ever given that id")]
        13 => UnknownProducerId,
        #[error("the cluster remembers as many idempotent producers as it may")]
        14 => TooManyProducers,
        #[error("the cluster has as many topics as it may")]
        15 => TooManyTopics,
        #[error("the cluster or the topic would have more partitions than it may")]
        16 => TooManyPartitions,
        #[error("as many agents have sessions as may")]
        17 => TooManySessions,
        #[error("as many outcomes that agents have not seen are kept as may")]
        18 => TooManyOutcomes,
        #[error("deleted topics have left as much to be cleared as they may")]
        19 => TooManyDeletedTopics,
        #[error("the process that holds the order is of a version that cannot read that level")]
        20 => LevelTooHigh,
        #[error("the partition does not have all of those offsets")]
        21 => NotInLog,
        #[error("the topic has as many ranges of lost records as it may")]
        22 => TooManyLost,
    }
}

/// An outcome with the place in the log from which it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub lsn: Lsn,
    pub outcome: Outcome,
}
