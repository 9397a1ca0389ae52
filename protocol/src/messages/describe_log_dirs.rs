//! DescribeLogDirs (35): how much of a broker's disks each partition takes (KIP-113).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeLogDirsRequest {
    /// Null for all.
    pub topics: Option<Vec<DescribableLogDirTopic>>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribableLogDirTopic {
    pub topic: String,
    pub partitions: Vec<i32>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeLogDirsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    #[kafka(since = 3)]
    pub error_code: ErrorCode,
    pub results: Vec<DescribeLogDirsResult>,
}

/// One folder with logs.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeLogDirsResult {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    pub log_dir: String,
    pub topics: Vec<DescribeLogDirsTopic>,
    /// Of the volume that the folder is on; -1 if not known.
    #[kafka(since = 4, default = -1)]
    pub total_bytes: i64,
    /// Of the volume that the folder is on; -1 if not known.
    #[kafka(since = 4, default = -1)]
    pub usable_bytes: i64,
    /// Whether no further logs come there (KIP-1066).
    #[kafka(since = 5)]
    pub is_cordoned: bool,
}

/// What of one topic lies there.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeLogDirsTopic {
    pub name: String,
    pub partitions: Vec<DescribeLogDirsPartition>,
}

/// What of one partition lies there.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeLogDirsPartition {
    pub partition_index: i32,
    /// In bytes.
    pub partition_size: i64,
    /// How many offsets the log lacks of the high watermark.
    pub offset_lag: i64,
    /// Whether the log is a copy that is to replace another.
    pub is_future_key: bool,
}
