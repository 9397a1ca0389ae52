//! OffsetCommit (8): how far a group has read. By topic id from version 10.

use protocol_derive::Message;

use crate::{ErrorCode, Uuid};

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetCommitRequest {
    /// The group's name.
    pub group_id: String,
    /// The generation of a classic group, the epoch of a member of another; -1 if the client is no member.
    #[kafka(default = -1)]
    pub generation_id_or_member_epoch: i32,
    /// As the coordinator named the member; empty if the client is no member.
    pub member_id: String,
    /// The name of a static member (KIP-345).
    #[kafka(since = 7)]
    pub group_instance_id: Option<String>,
    /// For how long the offsets are kept, in milliseconds; -1 for as long as the broker keeps them.
    #[kafka(until = 4, default = -1)]
    pub retention_time_ms: i64,
    pub topics: Vec<OffsetCommitRequestTopic>,
}

/// Offsets in one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetCommitRequestTopic {
    #[kafka(until = 9)]
    pub name: String,
    /// The topic's id; zero if none.
    #[kafka(since = 10)]
    pub topic_id: Uuid,
    pub partitions: Vec<OffsetCommitRequestPartition>,
}

/// The offset in one partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetCommitRequestPartition {
    pub partition_index: i32,
    /// The offset to go on from.
    pub committed_offset: i64,
    /// Epoch of the record before; -1 if not known.
    #[kafka(since = 6, default = -1)]
    pub committed_leader_epoch: i32,
    /// What the client wants to remember beside it.
    pub committed_metadata: Option<String>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetCommitResponse {
    /// For how long the client is asked to be silent, because of a quota.
    #[kafka(since = 3)]
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetCommitResponseTopic>,
}

/// What became of the offsets in one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetCommitResponseTopic {
    #[kafka(until = 9)]
    pub name: String,
    /// The topic's id; zero if none.
    #[kafka(since = 10)]
    pub topic_id: Uuid,
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

/// What became of the offset in one partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetCommitResponsePartition {
    pub partition_index: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
}
