//! DescribeGroups (15): classic groups, their members and what these read.

use bytes::Bytes;
use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeGroupsRequest {
    pub groups: Vec<String>,
    /// Whether to say what the client may do.
    #[kafka(since = 3)]
    pub include_authorized_operations: bool,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeGroupsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    #[kafka(since = 1)]
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup>,
}

/// One of the groups asked for.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribedGroup {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    #[kafka(since = 6)]
    pub error_message: Option<String>,
    /// The group's name.
    pub group_id: String,
    /// In a word, as `Stable`.
    pub group_state: String,
    /// What the group is for, as `consumer`; empty if nothing is known of it.
    pub protocol_type: String,
    /// The protocol that was chosen; empty unless the group is stable.
    pub protocol_data: String,
    pub members: Vec<DescribedGroupMember>,
    /// What the client may do to the group, a bit for each operation; `i32::MIN` if it did not ask.
    #[kafka(since = 3, default = i32::MIN)]
    pub authorized_operations: i32,
}

/// A member of the group.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribedGroupMember {
    /// As the coordinator named the member.
    pub member_id: String,
    /// The name of a static member (KIP-345).
    #[kafka(since = 4)]
    pub group_instance_id: Option<String>,
    /// How the client calls itself.
    pub client_id: String,
    /// Where the client is, with a slash before the address.
    pub client_host: String,
    /// As it came from the member; empty unless the group is stable.
    pub member_metadata: Bytes,
    /// As it came from the leader; empty unless the group is stable.
    pub member_assignment: Bytes,
}
