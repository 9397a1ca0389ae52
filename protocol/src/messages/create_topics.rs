//! CreateTopics (19).

use protocol_derive::Message;

use crate::{ErrorCode, Uuid};

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreateTopicsRequest {
    pub topics: Vec<CreatableTopic>,
    /// How long the client waits, in milliseconds.
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
    /// Judge, change nothing.
    pub validate_only: bool,
}

/// One creatable topic of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatableTopic {
    pub name: String,
    /// Partitions; -1 for the broker's default.
    pub num_partitions: i32,
    /// Accepted and echoed; object storage replicates.
    pub replication_factor: i16,
    pub assignments: Vec<CreatableReplicaAssignment>,
    pub configs: Vec<CreatableTopicConfig>,
}

/// One creatable replica assignment of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatableReplicaAssignment {
    pub partition_index: i32,
    pub broker_ids: Vec<i32>,
}

/// One creatable topic config of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatableTopicConfig {
    pub name: String,
    pub value: Option<String>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreateTopicsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    pub topics: Vec<CreatableTopicResult>,
}

/// One creatable topic result of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatableTopicResult {
    pub name: String,
    /// The topic's id; zero if none.
    #[kafka(since = 7)]
    pub topic_id: Uuid,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    #[kafka(since = 5, tag = 0)]
    pub topic_config_error_code: ErrorCode,
    /// Partitions; -1 for the broker's default.
    #[kafka(since = 5, default = -1)]
    pub num_partitions: i32,
    /// Accepted and echoed; object storage replicates.
    #[kafka(since = 5, default = -1)]
    pub replication_factor: i16,
    #[kafka(since = 5)]
    pub configs: Option<Vec<CreatableTopicConfigs>>,
}

/// One creatable topic configs of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatableTopicConfigs {
    #[kafka(since = 5)]
    pub name: String,
    #[kafka(since = 5)]
    pub value: Option<String>,
    #[kafka(since = 5)]
    pub read_only: bool,
    /// 1: set on the topic; 5: the default.
    #[kafka(since = 5, default = -1)]
    pub config_source: i8,
    #[kafka(since = 5)]
    pub is_sensitive: bool,
}
