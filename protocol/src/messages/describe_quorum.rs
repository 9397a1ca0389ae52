//! DescribeQuorum (55): who votes on the cluster's metadata, and how far each has got (KIP-595).

use protocol_derive::Message;

use crate::{ErrorCode, Uuid};

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeQuorumRequest {
    pub topics: Vec<RequestTopicData>,
}

/// Partitions of one topic. Kafka calls it TopicData, as what answers it.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct RequestTopicData {
    pub topic_name: String,
    pub partitions: Vec<RequestPartitionData>,
}

/// One partition. Kafka calls it PartitionData, as what answers it.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct RequestPartitionData {
    pub partition_index: i32,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeQuorumResponse {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    #[kafka(since = 2)]
    pub error_message: Option<String>,
    pub topics: Vec<TopicData>,
    #[kafka(since = 2)]
    pub nodes: Vec<Node>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicData {
    pub topic_name: String,
    pub partitions: Vec<PartitionData>,
}

/// Where one controller is.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Node {
    #[kafka(since = 2)]
    pub node_id: i32,
    #[kafka(since = 2)]
    pub listeners: Vec<Listener>,
}

/// Who votes on one partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PartitionData {
    pub partition_index: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    #[kafka(since = 2)]
    pub error_message: Option<String>,
    /// -1 if not known.
    pub leader_id: i32,
    pub leader_epoch: i32,
    /// One past the last committed offset.
    pub high_watermark: i64,
    pub current_voters: Vec<ReplicaState>,
    pub observers: Vec<ReplicaState>,
}

/// One of its listeners.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Listener {
    #[kafka(since = 2)]
    pub name: String,
    #[kafka(since = 2)]
    pub host: String,
    #[kafka(since = 2)]
    pub port: u16,
}

/// How far one replica has got.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ReplicaState {
    pub replica_id: i32,
    #[kafka(since = 2)]
    pub replica_directory_id: Uuid,
    /// -1 if not known.
    pub log_end_offset: i64,
    /// When it last asked, in milliseconds since 1970; -1 for the leader, or if not known.
    #[kafka(since = 1, default = -1)]
    pub last_fetch_timestamp: i64,
    /// When it last had all there was, in milliseconds since 1970; -1 if not known.
    #[kafka(since = 1, default = -1)]
    pub last_caught_up_timestamp: i64,
}
