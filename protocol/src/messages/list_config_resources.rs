//! ListConfigResources (74): the resources that have settings (KIP-1142).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListConfigResourcesRequest {
    /// As `resource_type` below; all if empty. Version 0 asks for client metrics.
    #[kafka(since = 1)]
    pub resource_types: Vec<i8>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListConfigResourcesResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    pub config_resources: Vec<ConfigResource>,
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ConfigResource {
    pub resource_name: String,
    /// 2: topic; 4: broker; 8: the loggers of a broker; 16: client metrics; 32: group.
    #[kafka(since = 1, default = 16)]
    pub resource_type: i8,
}
