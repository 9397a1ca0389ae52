//! JoinGroup (11): a member enters a group of the classic protocol, and waits until all others have.

use bytes::Bytes;
use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct JoinGroupRequest {
    /// The group's name.
    pub group_id: String,
    /// For how long the member may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// For how long the others wait for it when all join again, in milliseconds; -1 for as long as the session.
    #[kafka(since = 1, default = -1)]
    pub rebalance_timeout_ms: i32,
    /// As the coordinator named the member; empty if it did not yet.
    pub member_id: String,
    /// The name of a static member (KIP-345).
    #[kafka(since = 5)]
    pub group_instance_id: Option<String>,
    /// What the group is for, as `consumer`; the same for all members.
    pub protocol_type: String,
    /// In the order of preference.
    pub protocols: Vec<JoinGroupRequestProtocol>,
    /// Why it joins, for a person (KIP-800).
    #[kafka(since = 8)]
    pub reason: Option<String>,
}

/// A way to share out partitions that the member knows.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct JoinGroupRequestProtocol {
    pub name: String,
    /// What the leader is to know of the member: for consumers a subscription (`consumer_protocol.rs`). A slice of
    /// the frame.
    pub metadata: Bytes,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct JoinGroupResponse {
    /// For how long the client is asked to be silent, because of a quota.
    #[kafka(since = 2)]
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// Which generation begins; -1 with an error.
    #[kafka(default = -1)]
    pub generation_id: i32,
    /// What the group is for.
    #[kafka(since = 7)]
    pub protocol_type: Option<String>,
    /// The protocol that all members know and most prefer.
    #[kafka(nullable_since = 7)]
    pub protocol_name: Option<String>,
    /// The member that shares out the partitions.
    pub leader: String,
    /// Tells the leader to leave all as it is (KIP-814).
    #[kafka(since = 9)]
    pub skip_assignment: bool,
    /// What the member is called from here on.
    pub member_id: String,
    /// For the leader alone; empty for the others.
    pub members: Vec<JoinGroupResponseMember>,
}

/// A member, as the leader is told of it.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct JoinGroupResponseMember {
    /// As the coordinator named the member.
    pub member_id: String,
    /// The name of a static member (KIP-345).
    #[kafka(since = 5)]
    pub group_instance_id: Option<String>,
    /// As it came from the member.
    pub metadata: Bytes,
}
