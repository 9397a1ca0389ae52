//! AlterConfigs (33): sets all settings of resources anew (KIP-133).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterConfigsRequest {
    pub resources: Vec<AlterConfigsResource>,
    /// Judge, change nothing.
    pub validate_only: bool,
}

/// Settings of one resource.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterConfigsResource {
    /// 2: topic; 4: broker; 8: the loggers of a broker; 16: client metrics; 32: group.
    pub resource_type: i8,
    /// A topic or group by its name, a broker by its id; empty for all brokers.
    pub resource_name: String,
    /// All that are to be set: others go back to their defaults.
    pub configs: Vec<AlterableConfig>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterableConfig {
    pub name: String,
    /// Null for the default.
    pub value: Option<String>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterConfigsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    pub responses: Vec<AlterConfigsResourceResponse>,
}

/// What became of one resource.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterConfigsResourceResponse {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    /// 2: topic; 4: broker; 8: the loggers of a broker; 16: client metrics; 32: group.
    pub resource_type: i8,
    /// A topic or group by its name, a broker by its id; empty for all brokers.
    pub resource_name: String,
}
