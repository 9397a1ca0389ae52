//! ConsumerGroupDescribe (69): groups of the consumer protocol, their members and what these read (KIP-848).

use protocol_derive::Message;

use crate::{ErrorCode, Uuid};

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ConsumerGroupDescribeRequest {
    pub group_ids: Vec<String>,
    /// Whether to say what the client may do.
    pub include_authorized_operations: bool,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ConsumerGroupDescribeResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup>,
}

/// One of the groups asked for.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribedGroup {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    /// The group's name.
    pub group_id: String,
    /// In a word, as `Stable`.
    pub group_state: String,
    /// Grows with each change of members or of what they want.
    pub group_epoch: i32,
    /// The epoch of the group for which partitions were shared out.
    pub assignment_epoch: i32,
    /// Who shares out the partitions.
    pub assignor_name: String,
    pub members: Vec<Member>,
    /// What the client may do to the group, a bit for each operation; `i32::MIN` if it did not ask.
    #[kafka(default = i32::MIN)]
    pub authorized_operations: i32,
}

/// A member of the group.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Member {
    pub member_id: String,
    /// The name of a static member (KIP-345).
    pub instance_id: Option<String>,
    /// The member's zone.
    pub rack_id: Option<String>,
    /// The epoch of the group that the member has caught up with.
    pub member_epoch: i32,
    /// How the client calls itself.
    pub client_id: String,
    /// Where the client is, with a slash before the address.
    pub client_host: String,
    pub subscribed_topic_names: Vec<String>,
    /// In RE2's syntax.
    pub subscribed_topic_regex: Option<String>,
    /// What it reads now.
    pub assignment: Assignment,
    /// What it is to read.
    pub target_assignment: Assignment,
    /// 0: classic protocol; 1: consumer protocol; -1: not known.
    #[kafka(since = 1, default = -1)]
    pub member_type: i8,
}

/// What a member reads.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Assignment {
    pub topic_partitions: Vec<TopicPartitions>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicPartitions {
    /// The topic's id; zero if none.
    pub topic_id: Uuid,
    pub topic_name: String,
    pub partitions: Vec<i32>,
}
