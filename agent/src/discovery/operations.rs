//! What a client may do, as Kafka tells those who ask (KIP-430).

use protocol::ErrorCode;
use protocol::acl::Operation;
use protocol::messages::metadata::MetadataResponseTopic;

use crate::call::{Call, Resource};

/// What "not asked for" looks like.
const NOT_ASKED: i32 = i32::MIN;

const TOPIC: [Operation; 8] = [
    Operation::Read,
    Operation::Write,
    Operation::Create,
    Operation::Delete,
    Operation::Alter,
    Operation::Describe,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
];
const CLUSTER: [Operation; 7] = [
    Operation::Create,
    Operation::Alter,
    Operation::Describe,
    Operation::ClusterAction,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
    Operation::IdempotentWrite,
];

/// With a topic; nothing is said of one that was not found.
pub(super) fn topic(call: &Call, topic: &MetadataResponseTopic) -> i32 {
    match topic.name.as_deref() {
        Some(name) if topic.error_code == ErrorCode::NONE => {
            call.authorized(Resource::Topic(name), &TOPIC)
        }
        _ => NOT_ASKED,
    }
}

/// With the cluster, if asked for: nothing, for those who may not know of it.
pub(super) fn cluster(call: &Call, asked: bool) -> i32 {
    match asked {
        false => NOT_ASKED,
        true if call.allow(Resource::Cluster, Operation::Describe).is_err() => 0,
        true => call.authorized(Resource::Cluster, &CLUSTER),
    }
}
