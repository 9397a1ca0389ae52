//! AlterPartitionReassignments (45): has partitions moved to other brokers (KIP-455).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterPartitionReassignmentsRequest {
    /// How long the client waits, in milliseconds.
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
    /// Whether there may be more or fewer replicas than before.
    #[kafka(since = 1, default = true)]
    pub allow_replication_factor_change: bool,
    pub topics: Vec<ReassignableTopic>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ReassignableTopic {
    pub name: String,
    pub partitions: Vec<ReassignablePartition>,
}

/// Where one partition is to be.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ReassignablePartition {
    pub partition_index: i32,
    /// Brokers; null ends a move that is under way.
    pub replicas: Option<Vec<i32>>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterPartitionReassignmentsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    /// Whether there may be more or fewer replicas than before.
    #[kafka(since = 1, default = true)]
    pub allow_replication_factor_change: bool,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    pub responses: Vec<ReassignableTopicResponse>,
}

/// What became of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ReassignableTopicResponse {
    pub name: String,
    pub partitions: Vec<ReassignablePartitionResponse>,
}

/// What became of one partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ReassignablePartitionResponse {
    pub partition_index: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
}
