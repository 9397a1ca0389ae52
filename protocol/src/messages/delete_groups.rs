//! DeleteGroups (42): removes groups without members, and their offsets (KIP-229).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteGroupsRequest {
    pub groups_names: Vec<String>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteGroupsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    pub results: Vec<DeletableGroupResult>,
}

/// What became of one group.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeletableGroupResult {
    /// The group's name.
    pub group_id: String,
    /// NONE, or why not.
    pub error_code: ErrorCode,
}
