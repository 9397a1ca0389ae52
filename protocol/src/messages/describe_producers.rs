//! DescribeProducers (61): the producers that a partition remembers (KIP-664).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeProducersRequest {
    pub topics: Vec<TopicRequest>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicRequest {
    pub name: String,
    pub partition_indexes: Vec<i32>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeProducersResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    pub topics: Vec<TopicResponse>,
}

/// The producers of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicResponse {
    pub name: String,
    pub partitions: Vec<PartitionResponse>,
}

/// The producers of one partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PartitionResponse {
    pub partition_index: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    pub active_producers: Vec<ProducerState>,
}

/// What is remembered of one producer.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ProducerState {
    pub producer_id: i64,
    pub producer_epoch: i32,
    /// The sequence number of its last record; -1 if none.
    #[kafka(default = -1)]
    pub last_sequence: i32,
    /// When it last appended, in milliseconds since 1970; -1 if not known.
    #[kafka(default = -1)]
    pub last_timestamp: i64,
    /// Epoch of the coordinator that last ended a transaction of it; -1 if none.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins; -1 if there is none.
    #[kafka(default = -1)]
    pub current_txn_start_offset: i64,
}
