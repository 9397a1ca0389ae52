//! ListPartitionReassignments (46): partitions that are being moved to other brokers (KIP-455).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListPartitionReassignmentsRequest {
    /// How long the client waits, in milliseconds.
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
    /// Null for all.
    pub topics: Option<Vec<ListPartitionReassignmentsTopics>>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListPartitionReassignmentsTopics {
    pub name: String,
    pub partition_indexes: Vec<i32>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListPartitionReassignmentsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    pub topics: Vec<OngoingTopicReassignment>,
}

/// Partitions of one topic that are being moved.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OngoingTopicReassignment {
    pub name: String,
    pub partitions: Vec<OngoingPartitionReassignment>,
}

/// One partition that is being moved.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OngoingPartitionReassignment {
    pub partition_index: i32,
    pub replicas: Vec<i32>,
    pub adding_replicas: Vec<i32>,
    pub removing_replicas: Vec<i32>,
}
