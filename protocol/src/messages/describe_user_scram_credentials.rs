//! DescribeUserScramCredentials (50): which users have SCRAM credentials (KIP-554).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeUserScramCredentialsRequest {
    /// All if null or empty.
    pub users: Option<Vec<UserName>>,
}

/// One user.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct UserName {
    pub name: String,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeUserScramCredentialsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    pub results: Vec<DescribeUserScramCredentialsResult>,
}

/// The credentials of one user.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeUserScramCredentialsResult {
    pub user: String,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    pub credential_infos: Vec<CredentialInfo>,
}

/// One credential, without what is secret of it.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CredentialInfo {
    /// 1: SCRAM-SHA-256; 2: SCRAM-SHA-512.
    pub mechanism: i8,
    pub iterations: i32,
}
