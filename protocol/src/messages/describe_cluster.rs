//! DescribeCluster (60): the cluster id and its brokers (KIP-700).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeClusterRequest {
    pub include_cluster_authorized_operations: bool,
    #[kafka(since = 1, default = 1)]
    pub endpoint_type: i8,
    #[kafka(since = 2)]
    pub include_fenced_brokers: bool,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeClusterResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    #[kafka(since = 1, default = 1)]
    pub endpoint_type: i8,
    /// The cluster's name for itself.
    pub cluster_id: String,
    #[kafka(default = -1)]
    pub controller_id: i32,
    pub brokers: Vec<DescribeClusterBroker>,
    #[kafka(default = i32::MIN)]
    pub cluster_authorized_operations: i32,
}

/// One describe cluster broker of the response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeClusterBroker {
    pub broker_id: i32,
    pub host: String,
    pub port: i32,
    /// The broker's zone.
    pub rack: Option<String>,
    #[kafka(since = 2)]
    pub is_fenced: bool,
}
