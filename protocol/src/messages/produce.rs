//! Produce (0): record batches to append, and the offsets they got.

use protocol_derive::Message;

use crate::{ErrorCode, Records};

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ProduceRequest {
    /// The transactional producer's name.
    pub transactional_id: Option<String>,
    /// 0: no answer; 1 and -1 (all) are the same here: stored and committed.
    pub acks: i16,
    /// How long the client waits, in milliseconds.
    pub timeout_ms: i32,
    pub topic_data: Vec<TopicProduceData>,
}

/// One topic produce data of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicProduceData {
    pub name: String,
    pub partition_data: Vec<PartitionProduceData>,
}

/// One partition produce data of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PartitionProduceData {
    pub index: i32,
    /// Record batches, opaque here.
    pub records: Option<Records>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ProduceResponse {
    pub responses: Vec<TopicProduceResponse>,
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    #[kafka(since = 10, tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// One topic produce response of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicProduceResponse {
    pub name: String,
    pub partition_responses: Vec<PartitionProduceResponse>,
}

/// One node endpoint of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct NodeEndpoint {
    /// The broker's id.
    #[kafka(since = 10)]
    pub node_id: i32,
    #[kafka(since = 10)]
    pub host: String,
    #[kafka(since = 10)]
    pub port: i32,
    /// The broker's zone.
    #[kafka(since = 10)]
    pub rack: Option<String>,
}

/// One partition produce response of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PartitionProduceResponse {
    pub index: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// The offset of the first batch's first record.
    pub base_offset: i64,
    /// When it was appended, for topics with `LogAppendTime`; else -1.
    #[kafka(default = -1)]
    pub log_append_time_ms: i64,
    /// The first offset that can be read.
    #[kafka(since = 5, default = -1)]
    pub log_start_offset: i64,
    #[kafka(since = 8)]
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    /// A sentence for a person.
    #[kafka(since = 8)]
    pub error_message: Option<String>,
    #[kafka(since = 10, tag = 0)]
    pub current_leader: LeaderIdAndEpoch,
}

/// One batch index and error message of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct BatchIndexAndErrorMessage {
    #[kafka(since = 8)]
    pub batch_index: i32,
    #[kafka(since = 8)]
    pub batch_index_error_message: Option<String>,
}

/// One leader id and epoch of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct LeaderIdAndEpoch {
    #[kafka(since = 10, default = -1)]
    pub leader_id: i32,
    /// Epoch of the leadership; 0 here, for agents lead nothing.
    #[kafka(since = 10, default = -1)]
    pub leader_epoch: i32,
}
