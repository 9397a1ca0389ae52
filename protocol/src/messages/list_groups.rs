//! ListGroups (16): the groups that a broker coordinates.

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListGroupsRequest {
    /// Groups in one of these states; all if empty (KIP-518).
    #[kafka(since = 4)]
    pub states_filter: Vec<String>,
    /// Groups of one of these types; all if empty (KIP-848).
    #[kafka(since = 5)]
    pub types_filter: Vec<String>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListGroupsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    #[kafka(since = 1)]
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    pub groups: Vec<ListedGroup>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListedGroup {
    /// The group's name.
    pub group_id: String,
    /// What the group is for, as `consumer`.
    pub protocol_type: String,
    /// In a word, as `Stable`.
    #[kafka(since = 4)]
    pub group_state: String,
    /// `Classic` or `Consumer`.
    #[kafka(since = 5)]
    pub group_type: String,
}
