//! DeleteTopics (20), by name or id (KIP-516).

use protocol_derive::Message;

use crate::{ErrorCode, Uuid};

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteTopicsRequest {
    #[kafka(since = 6)]
    pub topics: Vec<DeleteTopicState>,
    #[kafka(until = 5)]
    pub topic_names: Vec<String>,
    /// How long the client waits, in milliseconds.
    pub timeout_ms: i32,
}

/// One delete topic state of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteTopicState {
    #[kafka(since = 6)]
    pub name: Option<String>,
    /// The topic's id; zero if none.
    #[kafka(since = 6)]
    pub topic_id: Uuid,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteTopicsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    pub responses: Vec<DeletableTopicResult>,
}

/// One deletable topic result of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeletableTopicResult {
    #[kafka(nullable_since = 6)]
    pub name: Option<String>,
    /// The topic's id; zero if none.
    #[kafka(since = 6)]
    pub topic_id: Uuid,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    #[kafka(since = 5)]
    pub error_message: Option<String>,
}
