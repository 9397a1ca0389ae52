//! DeleteAcls (31): removes the rules of access control that filters match (KIP-140).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteAclsRequest {
    pub filters: Vec<DeleteAclsFilter>,
}

/// Which rules are meant.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteAclsFilter {
    /// 1: any; 2: topic; 3: group; 4: cluster; 5: transactional id; 6: delegation token; 7: user.
    pub resource_type_filter: i8,
    /// Null for any.
    pub resource_name_filter: Option<String>,
    /// 1: any; 2: any that applies to the name; 3: literal; 4: prefixed.
    #[kafka(default = 3)]
    pub pattern_type_filter: i8,
    /// Null for any, else as `User:alice`.
    pub principal_filter: Option<String>,
    /// Null for any.
    pub host_filter: Option<String>,
    /// 1: any; 2: all; else as `Operation` in `acl.rs`.
    pub operation: i8,
    /// 1: any; 2: deny; 3: allow.
    pub permission_type: i8,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteAclsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    pub filter_results: Vec<DeleteAclsFilterResult>,
}

/// What became of what one filter matched.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteAclsFilterResult {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    pub matching_acls: Vec<DeleteAclsMatchingAcl>,
}

/// What became of one rule.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteAclsMatchingAcl {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    /// 2: topic; 3: group; 4: cluster; 5: transactional id; 6: delegation token; 7: user.
    pub resource_type: i8,
    pub resource_name: String,
    /// 3: literal; 4: prefixed.
    #[kafka(default = 3)]
    pub pattern_type: i8,
    /// As `User:alice`.
    pub principal: String,
    /// An address, or `*` for all.
    pub host: String,
    /// 2: all; else as `Operation` in `acl.rs`.
    pub operation: i8,
    /// 2: deny; 3: allow.
    pub permission_type: i8,
}
