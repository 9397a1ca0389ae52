//! Metadata (3): brokers, topics, and which broker to ask for each partition.

use protocol_derive::Message;

use crate::{ErrorCode, Uuid};

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct MetadataRequest {
    #[kafka(nullable_since = 1)]
    pub topics: Option<Vec<MetadataRequestTopic>>,
    /// Make topics that do not exist, if the broker is set to.
    #[kafka(since = 4, default = true)]
    pub allow_auto_topic_creation: bool,
    #[kafka(since = 8, until = 10)]
    pub include_cluster_authorized_operations: bool,
    #[kafka(since = 8)]
    pub include_topic_authorized_operations: bool,
}

/// One metadata request topic of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct MetadataRequestTopic {
    /// The topic's id; zero if none.
    #[kafka(since = 10)]
    pub topic_id: Uuid,
    #[kafka(nullable_since = 10)]
    pub name: Option<String>,
}

/// What the broker answers. Brokers and topics may be [`crate::Encoded`] already.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct MetadataResponse<
    Brokers = Vec<MetadataResponseBroker>,
    Topics = Vec<MetadataResponseTopic>,
> {
    /// For how long the client is asked to be silent, because of a quota.
    #[kafka(since = 3)]
    pub throttle_time_ms: i32,
    pub brokers: Brokers,
    /// The cluster's name for itself.
    #[kafka(since = 2)]
    pub cluster_id: Option<String>,
    #[kafka(since = 1, default = -1)]
    pub controller_id: i32,
    pub topics: Topics,
    #[kafka(since = 8, until = 10, default = i32::MIN)]
    pub cluster_authorized_operations: i32,
    /// NONE, or why not.
    #[kafka(since = 13)]
    pub error_code: ErrorCode,
}

/// One metadata response broker of the response.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
pub struct MetadataResponseBroker {
    /// The broker's id.
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    /// The broker's zone.
    #[kafka(since = 1)]
    pub rack: Option<String>,
}

/// One metadata response topic of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct MetadataResponseTopic {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    #[kafka(nullable_since = 12)]
    pub name: Option<String>,
    /// The topic's id; zero if none.
    #[kafka(since = 10)]
    pub topic_id: Uuid,
    #[kafka(since = 1)]
    pub is_internal: bool,
    pub partitions: Vec<MetadataResponsePartition>,
    #[kafka(since = 8, default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

/// One metadata response partition of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct MetadataResponsePartition {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    pub partition_index: i32,
    pub leader_id: i32,
    /// Epoch of the leadership; 0 here, for agents lead nothing.
    #[kafka(since = 7, default = -1)]
    pub leader_epoch: i32,
    pub replica_nodes: Vec<i32>,
    pub isr_nodes: Vec<i32>,
    #[kafka(since = 5)]
    pub offline_replicas: Vec<i32>,
}
