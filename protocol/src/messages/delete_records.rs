//! DeleteRecords (21): moves the starts of logs (KIP-107).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteRecordsRequest {
    pub topics: Vec<DeleteRecordsTopic>,
    /// How long the client waits, in milliseconds.
    pub timeout_ms: i32,
}

/// Logs of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteRecordsTopic {
    pub name: String,
    pub partitions: Vec<DeleteRecordsPartition>,
}

/// The log of one partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteRecordsPartition {
    pub partition_index: i32,
    /// The first offset that is to stay; -1 for the high watermark.
    pub offset: i64,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteRecordsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    pub topics: Vec<DeleteRecordsTopicResult>,
}

/// What became of the logs of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteRecordsTopicResult {
    pub name: String,
    pub partitions: Vec<DeleteRecordsPartitionResult>,
}

/// What became of the log of one partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteRecordsPartitionResult {
    pub partition_index: i32,
    /// The first offset that can be read now; -1 with an error.
    pub low_watermark: i64,
    /// NONE, or why not.
    pub error_code: ErrorCode,
}
