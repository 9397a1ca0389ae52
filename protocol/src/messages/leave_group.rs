//! LeaveGroup (13): members leave a classic group, or are removed from it (KIP-345).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct LeaveGroupRequest {
    /// The group's name.
    pub group_id: String,
    /// Who leaves, as the coordinator named it.
    #[kafka(until = 2)]
    pub member_id: String,
    #[kafka(since = 3)]
    pub members: Vec<MemberIdentity>,
}

/// Who leaves.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct MemberIdentity {
    /// As the coordinator named the member; empty if a static one is removed by its name.
    #[kafka(since = 3)]
    pub member_id: String,
    /// The name of a static member (KIP-345).
    #[kafka(since = 3)]
    pub group_instance_id: Option<String>,
    /// Why it leaves, for a person (KIP-800).
    #[kafka(since = 5)]
    pub reason: Option<String>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct LeaveGroupResponse {
    /// For how long the client is asked to be silent, because of a quota.
    #[kafka(since = 1)]
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    #[kafka(since = 3)]
    pub members: Vec<MemberResponse>,
}

/// What became of one of them.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct MemberResponse {
    /// As the coordinator named the member.
    #[kafka(since = 3)]
    pub member_id: String,
    /// The name of a static member (KIP-345).
    #[kafka(since = 3)]
    pub group_instance_id: Option<String>,
    /// NONE, or why not.
    #[kafka(since = 3)]
    pub error_code: ErrorCode,
}
