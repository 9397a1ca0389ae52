//! What a client may do, as the bits that Kafka sends when nobody restricts it (KIP-430).

use protocol::ErrorCode;

/// What "not asked for" looks like.
pub(super) const NOT_ASKED: i32 = i32::MIN;

/// READ 3, WRITE 4, CREATE 5, DELETE 6, ALTER 7, DESCRIBE 8, DESCRIBE_CONFIGS 10, ALTER_CONFIGS 11.
const TOPIC: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
/// CREATE 5, ALTER 7, DESCRIBE 8, CLUSTER_ACTION 9, DESCRIBE_CONFIGS 10, ALTER_CONFIGS 11, IDEMPOTENT_WRITE 12.
const CLUSTER: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

/// For a topic that was found.
pub(super) fn topic(asked: bool, code: ErrorCode) -> i32 {
    if asked && code == ErrorCode::NONE {
        TOPIC
    } else {
        NOT_ASKED
    }
}

/// For the cluster.
pub(super) fn cluster(asked: bool) -> i32 {
    if asked { CLUSTER } else { NOT_ASKED }
}
