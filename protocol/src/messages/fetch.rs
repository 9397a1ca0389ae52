//! Fetch (1): record batches from an offset on, waiting for them if there are none.

use protocol_derive::Message;

use crate::{ErrorCode, Records};

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FetchRequest {
    /// The cluster's name for itself.
    #[kafka(since = 12, tag = 0)]
    pub cluster_id: Option<String>,
    #[kafka(default = -1)]
    pub replica_id: i32,
    /// How long to wait for `min_bytes`.
    pub max_wait_ms: i32,
    /// Wait until there are as many.
    pub min_bytes: i32,
    /// Bytes of records in the whole response, but for the first batch.
    #[kafka(default = i32::MAX)]
    pub max_bytes: i32,
    /// 0: read uncommitted; 1: read committed (KIP-98).
    pub isolation_level: i8,
    /// Fetch session (KIP-227); 0 says none.
    #[kafka(since = 7)]
    pub session_id: i32,
    /// 0 asks for a session, -1 ends or does without one.
    #[kafka(since = 7, default = -1)]
    pub session_epoch: i32,
    pub topics: Vec<FetchTopic>,
    #[kafka(since = 7)]
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// The client's zone (KIP-392).
    #[kafka(since = 11)]
    pub rack_id: String,
}

/// One fetch topic of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FetchTopic {
    pub topic: String,
    pub partitions: Vec<FetchPartition>,
}

/// One forgotten topic of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ForgottenTopic {
    #[kafka(since = 7)]
    pub topic: String,
    #[kafka(since = 7)]
    pub partitions: Vec<i32>,
}

/// One fetch partition of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FetchPartition {
    pub partition: i32,
    /// The epoch the client knows; -1 if none.
    #[kafka(since = 9, default = -1)]
    pub current_leader_epoch: i32,
    /// The first offset wanted.
    pub fetch_offset: i64,
    /// Epoch of the last record the client has; -1 if none.
    #[kafka(since = 12, default = -1)]
    pub last_fetched_epoch: i32,
    /// The first offset that can be read.
    #[kafka(since = 5, default = -1)]
    pub log_start_offset: i64,
    /// Bytes of records for this partition, but for the first batch.
    pub partition_max_bytes: i32,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FetchResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    #[kafka(since = 7)]
    pub error_code: ErrorCode,
    /// Fetch session (KIP-227); 0 says none.
    #[kafka(since = 7)]
    pub session_id: i32,
    pub responses: Vec<FetchableTopicResponse>,
}

/// One fetchable topic response of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FetchableTopicResponse {
    pub topic: String,
    pub partitions: Vec<PartitionData>,
}

/// One partition data of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PartitionData {
    pub partition_index: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// One past the last committed offset.
    pub high_watermark: i64,
    /// End of what read-committed consumers see.
    #[kafka(default = -1)]
    pub last_stable_offset: i64,
    /// The first offset that can be read.
    #[kafka(since = 5, default = -1)]
    pub log_start_offset: i64,
    #[kafka(since = 12, tag = 0)]
    pub diverging_epoch: EpochEndOffset,
    #[kafka(since = 12, tag = 1)]
    pub current_leader: LeaderIdAndEpoch,
    #[kafka(since = 12, tag = 2)]
    pub snapshot_id: SnapshotId,
    /// Transactions to skip, for read-committed consumers.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    #[kafka(since = 11, default = -1)]
    pub preferred_read_replica: i32,
    /// Record batches, opaque here.
    pub records: Option<Records>,
}

/// One epoch end offset of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct EpochEndOffset {
    #[kafka(since = 12, default = -1)]
    pub epoch: i32,
    #[kafka(since = 12, default = -1)]
    pub end_offset: i64,
}

/// One leader id and epoch of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct LeaderIdAndEpoch {
    #[kafka(since = 12, default = -1)]
    pub leader_id: i32,
    /// Epoch of the leadership; 0 here, for agents lead nothing.
    #[kafka(since = 12, default = -1)]
    pub leader_epoch: i32,
}

/// One snapshot id of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct SnapshotId {
    #[kafka(default = -1)]
    pub end_offset: i64,
    #[kafka(default = -1)]
    pub epoch: i32,
}

/// One aborted transaction of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
}
