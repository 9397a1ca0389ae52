//! OffsetFetch (9): how far groups have read, many at once from version 8 (KIP-709). By topic id from version 10.

use protocol_derive::Message;

use crate::{ErrorCode, Uuid};

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchRequest {
    /// The group's name.
    #[kafka(until = 7)]
    pub group_id: String,
    /// Null for all.
    #[kafka(until = 7, nullable_since = 2)]
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    #[kafka(since = 8)]
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// Answer UNSTABLE_OFFSET_COMMIT where a transaction has an offset to commit (KIP-447).
    #[kafka(since = 7)]
    pub require_stable: bool,
}

/// Partitions of one topic, up to version 7.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchRequestTopic {
    #[kafka(until = 7)]
    pub name: String,
    #[kafka(until = 7)]
    pub partition_indexes: Vec<i32>,
}

/// One of the groups asked for.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchRequestGroup {
    /// The group's name.
    #[kafka(since = 8)]
    pub group_id: String,
    /// Of a group of the consumer protocol; null if the client is no member.
    #[kafka(since = 9)]
    pub member_id: Option<String>,
    /// -1 if the client is no member.
    #[kafka(since = 9, default = -1)]
    pub member_epoch: i32,
    /// Null for all.
    #[kafka(since = 8)]
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchRequestTopics {
    #[kafka(since = 8, until = 9)]
    pub name: String,
    /// The topic's id; zero if none.
    #[kafka(since = 10)]
    pub topic_id: Uuid,
    #[kafka(since = 8)]
    pub partition_indexes: Vec<i32>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchResponse {
    /// For how long the client is asked to be silent, because of a quota.
    #[kafka(since = 3)]
    pub throttle_time_ms: i32,
    #[kafka(until = 7)]
    pub topics: Vec<OffsetFetchResponseTopic>,
    /// NONE, or why not, for the whole group.
    #[kafka(since = 2, until = 7)]
    pub error_code: ErrorCode,
    #[kafka(since = 8)]
    pub groups: Vec<OffsetFetchResponseGroup>,
}

/// Offsets in one topic, up to version 7.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchResponseTopic {
    #[kafka(until = 7)]
    pub name: String,
    #[kafka(until = 7)]
    pub partitions: Vec<OffsetFetchResponsePartition>,
}

/// The offsets of one group.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchResponseGroup {
    /// The group's name.
    #[kafka(since = 8)]
    pub group_id: String,
    #[kafka(since = 8)]
    pub topics: Vec<OffsetFetchResponseTopics>,
    /// NONE, or why not, for the whole group.
    #[kafka(since = 8)]
    pub error_code: ErrorCode,
}

/// The offset in one partition, up to version 7.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchResponsePartition {
    #[kafka(until = 7)]
    pub partition_index: i32,
    /// The offset to go on from; -1 if none was committed.
    #[kafka(until = 7)]
    pub committed_offset: i64,
    /// Epoch of the record before; -1 if not known.
    #[kafka(since = 5, until = 7, default = -1)]
    pub committed_leader_epoch: i32,
    /// What the client wanted to remember beside it.
    #[kafka(until = 7)]
    pub metadata: Option<String>,
    /// NONE, or why not.
    #[kafka(until = 7)]
    pub error_code: ErrorCode,
}

/// Offsets in one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchResponseTopics {
    #[kafka(since = 8, until = 9)]
    pub name: String,
    /// The topic's id; zero if none.
    #[kafka(since = 10)]
    pub topic_id: Uuid,
    #[kafka(since = 8)]
    pub partitions: Vec<OffsetFetchResponsePartitions>,
}

/// The offset in one partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchResponsePartitions {
    #[kafka(since = 8)]
    pub partition_index: i32,
    /// The offset to go on from; -1 if none was committed.
    #[kafka(since = 8)]
    pub committed_offset: i64,
    /// Epoch of the record before; -1 if not known.
    #[kafka(since = 8, default = -1)]
    pub committed_leader_epoch: i32,
    /// What the client wanted to remember beside it.
    #[kafka(since = 8)]
    pub metadata: Option<String>,
    /// NONE, or why not.
    #[kafka(since = 8)]
    pub error_code: ErrorCode,
}
