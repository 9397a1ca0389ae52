//! PushTelemetry (72): a client's metrics (KIP-714).

use bytes::Bytes;
use protocol_derive::Message;

use crate::{ErrorCode, Uuid};

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PushTelemetryRequest {
    /// Names the client; zero if it has no name yet.
    pub client_instance_id: Uuid,
    /// Names what is asked for; another one tells the client to ask again.
    pub subscription_id: i32,
    /// Whether it is the last time.
    pub terminating: bool,
    /// As in the attributes of a record batch.
    pub compression_type: i8,
    /// OpenTelemetry's MetricsData, in protobuf, packed. A slice of the frame.
    pub metrics: Bytes,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PushTelemetryResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
}
