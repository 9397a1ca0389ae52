//! ConsumerGroupHeartbeat (68): a member of a group of the consumer protocol joins, stays, leaves, and is told what
//! to read (KIP-848).

use protocol_derive::Message;

use crate::primitives::Nullable;
use crate::{ErrorCode, Uuid};

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ConsumerGroupHeartbeatRequest {
    /// The group's name.
    pub group_id: String,
    /// Made by the member itself from version 1 (KIP-1082); before, the coordinator may make one if it is empty.
    pub member_id: String,
    /// 0 to join, -1 to leave, -2 to leave for a while as a static member.
    pub member_epoch: i32,
    /// The name of a static member (KIP-345). Here and below null, or -1, is "as before".
    pub instance_id: Option<String>,
    /// The member's zone.
    pub rack_id: Option<String>,
    /// How long the member may take to give partitions back, in milliseconds.
    #[kafka(default = -1)]
    pub rebalance_timeout_ms: i32,
    pub subscribed_topic_names: Option<Vec<String>>,
    /// In RE2's syntax.
    #[kafka(since = 1)]
    pub subscribed_topic_regex: Option<String>,
    /// Who shares out the partitions: `uniform` or `range`.
    pub server_assignor: Option<String>,
    /// What the member holds.
    pub topic_partitions: Option<Vec<TopicPartitions>>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicPartitions {
    /// The topic's id; zero if none.
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ConsumerGroupHeartbeatResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    /// What the member is called from here on.
    pub member_id: Option<String>,
    /// The member's epoch, to be sent with all it asks.
    pub member_epoch: i32,
    /// After how many milliseconds it is to ask again.
    pub heartbeat_interval_ms: i32,
    /// Null if it is as before.
    pub assignment: Option<Assignment>,
}

/// What the member is to read.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Assignment {
    /// All that the member may read now.
    pub topic_partitions: Vec<TopicPartitions>,
}

impl Nullable for Assignment {}
