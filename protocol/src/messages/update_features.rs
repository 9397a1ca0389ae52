//! UpdateFeatures (57): finalizes features of the cluster (KIP-584).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct UpdateFeaturesRequest {
    /// How long the client waits, in milliseconds.
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
    pub feature_updates: Vec<FeatureUpdateKey>,
    /// Judge, change nothing.
    #[kafka(since = 1)]
    pub validate_only: bool,
}

/// A change of one feature.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FeatureUpdateKey {
    pub feature: String,
    /// The level to finalize; below 1 the feature goes.
    pub max_version_level: i16,
    /// Whether the level may be lower than before.
    #[kafka(until = 0)]
    pub allow_downgrade: bool,
    /// 1: up only; 2: down where nothing is lost; 3: down.
    #[kafka(since = 1, default = 1)]
    pub upgrade_type: i8,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct UpdateFeaturesResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    #[kafka(until = 1)]
    pub results: Vec<UpdatableFeatureResult>,
}

/// What became of one feature, up to version 1.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct UpdatableFeatureResult {
    pub feature: String,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
}
