//! ElectLeaders (43): has partitions led by a replica that should lead them (KIP-460).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ElectLeadersRequest {
    /// 0: the preferred replica; 1: any that lives, should none be in sync.
    #[kafka(since = 1)]
    pub election_type: i8,
    /// Null for all.
    pub topic_partitions: Option<Vec<TopicPartitions>>,
    /// How long the client waits, in milliseconds.
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicPartitions {
    pub topic: String,
    pub partitions: Vec<i32>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ElectLeadersResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    #[kafka(since = 1)]
    pub error_code: ErrorCode,
    pub replica_election_results: Vec<ReplicaElectionResult>,
}

/// What became of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ReplicaElectionResult {
    pub topic: String,
    pub partition_result: Vec<PartitionResult>,
}

/// What became of one partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PartitionResult {
    pub partition_id: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
}
