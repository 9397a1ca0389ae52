//! What a client may do, as Kafka tells those who ask (KIP-430).

use protocol::acl::Operation;

use crate::call::{Call, Resource};

/// What "not asked for" looks like.
pub(super) const NOT_ASKED: i32 = i32::MIN;

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

/// With a topic that was found.
pub(super) fn topic(call: &Call, name: &str) -> i32 {
    call.authorized(Resource::Topic(name), &TOPIC)
}

/// With the cluster, if asked for: nothing, for those who may not know of it.
pub(super) fn cluster(call: &Call, asked: bool) -> i32 {
    match asked {
        false => NOT_ASKED,
        true if call.allow(Resource::Cluster, Operation::Describe).is_err() => 0,
        true => call.authorized(Resource::Cluster, &CLUSTER),
    }
}
