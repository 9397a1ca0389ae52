//! SyncGroup (14): the leader hands in what each member of a classic group is to read, and each gets its part.

use bytes::Bytes;
use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct SyncGroupRequest {
    /// The group's name.
    pub group_id: String,
    /// The generation in which the member takes itself to be.
    pub generation_id: i32,
    /// As the coordinator named the member.
    pub member_id: String,
    /// The name of a static member (KIP-345).
    #[kafka(since = 3)]
    pub group_instance_id: Option<String>,
    /// As the join was answered (KIP-559).
    #[kafka(since = 5)]
    pub protocol_type: Option<String>,
    /// As the join was answered (KIP-559).
    #[kafka(since = 5)]
    pub protocol_name: Option<String>,
    /// From the leader alone; empty from the others.
    pub assignments: Vec<SyncGroupRequestAssignment>,
}

/// What one member is to read.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct SyncGroupRequestAssignment {
    /// As the coordinator named the member.
    pub member_id: String,
    /// For consumers an assignment (`consumer_protocol.rs`). A slice of the frame.
    pub assignment: Bytes,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct SyncGroupResponse {
    /// For how long the client is asked to be silent, because of a quota.
    #[kafka(since = 1)]
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// The group's (KIP-559).
    #[kafka(since = 5)]
    pub protocol_type: Option<String>,
    /// The group's (KIP-559).
    #[kafka(since = 5)]
    pub protocol_name: Option<String>,
    /// What the member is to read, as the leader wrote it.
    pub assignment: Bytes,
}
