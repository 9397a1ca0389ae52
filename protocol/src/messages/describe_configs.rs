//! DescribeConfigs (32): the settings of topics and brokers (KIP-133).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeConfigsRequest {
    pub resources: Vec<DescribeConfigsResource>,
    pub include_synonyms: bool,
    #[kafka(since = 3)]
    pub include_documentation: bool,
}

/// One describe configs resource of the request.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeConfigsResource {
    pub resource_type: i8,
    pub resource_name: String,
    pub configuration_keys: Option<Vec<String>>,
}

/// What the broker answers. Results may be [`crate::Encoded`] already.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeConfigsResponse<Results = Vec<DescribeConfigsResult>> {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    pub results: Results,
}

/// One describe configs result of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeConfigsResult {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    pub resource_type: i8,
    pub resource_name: String,
    pub configs: Vec<DescribeConfigsResourceResult>,
}

/// One describe configs resource result of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeConfigsResourceResult {
    pub name: String,
    pub value: Option<String>,
    pub read_only: bool,
    /// 1: set on the topic; 5: the default.
    #[kafka(default = -1)]
    pub config_source: i8,
    pub is_sensitive: bool,
    pub synonyms: Vec<DescribeConfigsSynonym>,
    #[kafka(since = 3)]
    pub config_type: i8,
    #[kafka(since = 3)]
    pub documentation: Option<String>,
}

/// One describe configs synonym of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeConfigsSynonym {
    pub name: String,
    pub value: Option<String>,
    /// 1: set on the topic; 5: the default.
    pub source: i8,
}
