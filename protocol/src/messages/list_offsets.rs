//! ListOffsets (2): the first and last offsets of partitions, and offsets by timestamp (KIP-79, KIP-734).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListOffsetsRequest {
    pub replica_id: i32,
    /// 0: read uncommitted; 1: read committed (KIP-98).
    #[kafka(since = 2)]
    pub isolation_level: i8,
    pub topics: Vec<ListOffsetsTopic>,
    /// How long the client waits, in milliseconds.
    #[kafka(since = 10)]
    pub timeout_ms: i32,
}

/// One list offsets topic of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListOffsetsTopic {
    pub name: String,
    pub partitions: Vec<ListOffsetsPartition>,
}

/// One list offsets partition of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListOffsetsPartition {
    pub partition_index: i32,
    /// The epoch the client knows; -1 if none.
    #[kafka(since = 4, default = -1)]
    pub current_leader_epoch: i32,
    /// Milliseconds, or -1 latest, -2 earliest, -3 largest timestamp, -4 and -5 local and remote ends.
    pub timestamp: i64,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListOffsetsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    #[kafka(since = 2)]
    pub throttle_time_ms: i32,
    pub topics: Vec<ListOffsetsTopicResponse>,
}

/// One list offsets topic response of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListOffsetsTopicResponse {
    pub name: String,
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

/// One list offsets partition response of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListOffsetsPartitionResponse {
    pub partition_index: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// Milliseconds, or -1 latest, -2 earliest, -3 largest timestamp, -4 and -5 local and remote ends.
    #[kafka(default = -1)]
    pub timestamp: i64,
    #[kafka(default = -1)]
    pub offset: i64,
    /// Epoch of the leadership; 0 here, for agents lead nothing.
    #[kafka(since = 4, default = -1)]
    pub leader_epoch: i32,
}
