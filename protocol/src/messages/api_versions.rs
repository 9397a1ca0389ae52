//! ApiVersions (18): which APIs and versions the broker speaks. The first request of every client (KIP-35, KIP-511).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ApiVersionsRequest {
    #[kafka(since = 3)]
    pub client_software_name: String,
    #[kafka(since = 3)]
    pub client_software_version: String,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ApiVersionsResponse {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    pub api_keys: Vec<ApiVersion>,
    /// For how long the client is asked to be silent, because of a quota.
    #[kafka(since = 1)]
    pub throttle_time_ms: i32,
    #[kafka(since = 3, tag = 0)]
    pub supported_features: Vec<SupportedFeatureKey>,
    #[kafka(since = 3, tag = 1, default = -1)]
    pub finalized_features_epoch: i64,
    #[kafka(since = 3, tag = 2)]
    pub finalized_features: Vec<FinalizedFeatureKey>,
    #[kafka(since = 3, tag = 3)]
    pub zk_migration_ready: bool,
}

/// One api version of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ApiVersion {
    pub api_key: i16,
    pub min_version: i16,
    pub max_version: i16,
}

/// One supported feature key of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct SupportedFeatureKey {
    #[kafka(since = 3)]
    pub name: String,
    #[kafka(since = 3)]
    pub min_version: i16,
    #[kafka(since = 3)]
    pub max_version: i16,
}

/// One finalized feature key of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FinalizedFeatureKey {
    #[kafka(since = 3)]
    pub name: String,
    #[kafka(since = 3)]
    pub max_version_level: i16,
    #[kafka(since = 3)]
    pub min_version_level: i16,
}
