//! DescribeTopicPartitions (75): topics and partitions, a page at a time (KIP-966).

use protocol_derive::Message;

use crate::primitives::Nullable;
use crate::{ErrorCode, Uuid};

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeTopicPartitionsRequest {
    /// All if empty.
    pub topics: Vec<TopicRequest>,
    /// How many partitions fit on the page.
    #[kafka(default = 2000)]
    pub response_partition_limit: i32,
    /// Where the page begins; null for the first one.
    pub cursor: Option<Cursor>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicRequest {
    pub name: String,
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Cursor {
    pub topic_name: String,
    pub partition_index: i32,
}

impl Nullable for Cursor {}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeTopicPartitionsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    pub topics: Vec<DescribeTopicPartitionsResponseTopic>,
    /// Where the next page begins; null if there is none.
    pub next_cursor: Option<Cursor>,
}

/// One topic, or as much of it as the page had room for.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeTopicPartitionsResponseTopic {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    pub name: Option<String>,
    /// The topic's id; zero if none.
    pub topic_id: Uuid,
    pub is_internal: bool,
    pub partitions: Vec<DescribeTopicPartitionsResponsePartition>,
    /// What the client may do to the topic, a bit for each operation; `i32::MIN` if not known.
    #[kafka(default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeTopicPartitionsResponsePartition {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    pub partition_index: i32,
    pub leader_id: i32,
    /// Epoch of the leadership; 0 here, for agents lead nothing.
    #[kafka(default = -1)]
    pub leader_epoch: i32,
    pub replica_nodes: Vec<i32>,
    pub isr_nodes: Vec<i32>,
    /// Null where it is not known.
    pub eligible_leader_replicas: Option<Vec<i32>>,
    /// Null where it is not known.
    pub last_known_elr: Option<Vec<i32>>,
    pub offline_replicas: Vec<i32>,
}
