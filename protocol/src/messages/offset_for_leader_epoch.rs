//! OffsetForLeaderEpoch (23): where an epoch ended, asked by consumers that check for truncation (KIP-320).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetForLeaderEpochRequest {
    #[kafka(since = 3, default = -2)]
    pub replica_id: i32,
    pub topics: Vec<OffsetForLeaderTopic>,
}

/// One offset for leader topic of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetForLeaderTopic {
    pub topic: String,
    pub partitions: Vec<OffsetForLeaderPartition>,
}

/// One offset for leader partition of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetForLeaderPartition {
    pub partition: i32,
    /// The epoch the client knows; -1 if none.
    #[kafka(default = -1)]
    pub current_leader_epoch: i32,
    /// Epoch of the leadership; 0 here, for agents lead nothing.
    pub leader_epoch: i32,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetForLeaderEpochResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetForLeaderTopicResult>,
}

/// One offset for leader topic result of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetForLeaderTopicResult {
    pub topic: String,
    pub partitions: Vec<EpochEndOffset>,
}

/// One epoch end offset of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct EpochEndOffset {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    pub partition: i32,
    /// Epoch of the leadership; 0 here, for agents lead nothing.
    #[kafka(default = -1)]
    pub leader_epoch: i32,
    #[kafka(default = -1)]
    pub end_offset: i64,
}
