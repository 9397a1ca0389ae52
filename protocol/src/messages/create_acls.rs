//! CreateAcls (30): adds rules of access control (KIP-140).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreateAclsRequest {
    pub creations: Vec<AclCreation>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AclCreation {
    /// 2: topic; 3: group; 4: cluster; 5: transactional id; 6: delegation token; 7: user.
    pub resource_type: i8,
    pub resource_name: String,
    /// 3: literal; 4: prefixed.
    #[kafka(default = 3)]
    pub resource_pattern_type: i8,
    /// As `User:alice`.
    pub principal: String,
    /// An address, or `*` for all.
    pub host: String,
    /// 2: all; else as `Operation` in `acl.rs`.
    pub operation: i8,
    /// 2: deny; 3: allow.
    pub permission_type: i8,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreateAclsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    pub results: Vec<AclCreationResult>,
}

/// What became of one rule.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AclCreationResult {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
}
