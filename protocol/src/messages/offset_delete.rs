//! OffsetDelete (47): removes a group's offsets of partitions that it does not read (KIP-496).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetDeleteRequest {
    /// The group's name.
    pub group_id: String,
    pub topics: Vec<OffsetDeleteRequestTopic>,
}

/// Offsets in one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetDeleteRequestTopic {
    pub name: String,
    pub partitions: Vec<OffsetDeleteRequestPartition>,
}

/// The offset in one partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetDeleteRequestPartition {
    pub partition_index: i32,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetDeleteResponse {
    /// NONE, or why not, for the whole group.
    pub error_code: ErrorCode,
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetDeleteResponseTopic>,
}

/// What became of the offsets in one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetDeleteResponseTopic {
    pub name: String,
    pub partitions: Vec<OffsetDeleteResponsePartition>,
}

/// What became of the offset in one partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetDeleteResponsePartition {
    pub partition_index: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
}
