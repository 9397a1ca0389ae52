//! Heartbeat (12): a member of a classic group says that it is alive, and hears whether it has to join again.

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct HeartbeatRequest {
    /// The group's name.
    pub group_id: String,
    /// The generation in which the member takes itself to be.
    pub generation_id: i32,
    /// As the coordinator named the member.
    pub member_id: String,
    /// The name of a static member (KIP-345).
    #[kafka(since = 3)]
    pub group_instance_id: Option<String>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct HeartbeatResponse {
    /// For how long the client is asked to be silent, because of a quota.
    #[kafka(since = 1)]
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
}
