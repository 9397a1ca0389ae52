//! FindCoordinator (10): who coordinates a group or a transactional id.

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FindCoordinatorRequest {
    #[kafka(until = 3)]
    pub key: String,
    /// 0: group; 1: transactional id; 2, from version 6: a partition of a share group, as `group:topic-id:partition`.
    #[kafka(since = 1)]
    pub key_type: i8,
    #[kafka(since = 4)]
    pub coordinator_keys: Vec<String>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FindCoordinatorResponse {
    /// For how long the client is asked to be silent, because of a quota.
    #[kafka(since = 1)]
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    #[kafka(until = 3)]
    pub error_code: ErrorCode,
    /// A sentence for a person.
    #[kafka(since = 1, until = 3)]
    pub error_message: Option<String>,
    /// The broker's id.
    #[kafka(until = 3)]
    pub node_id: i32,
    #[kafka(until = 3)]
    pub host: String,
    #[kafka(until = 3)]
    pub port: i32,
    #[kafka(since = 4)]
    pub coordinators: Vec<Coordinator>,
}

/// One coordinator of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Coordinator {
    #[kafka(since = 4)]
    pub key: String,
    /// The broker's id.
    #[kafka(since = 4)]
    pub node_id: i32,
    #[kafka(since = 4)]
    pub host: String,
    #[kafka(since = 4)]
    pub port: i32,
    /// NONE, or why not.
    #[kafka(since = 4)]
    pub error_code: ErrorCode,
    /// A sentence for a person.
    #[kafka(since = 4)]
    pub error_message: Option<String>,
}
