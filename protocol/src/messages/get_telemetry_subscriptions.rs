//! GetTelemetrySubscriptions (71): which of its metrics a client is asked to send (KIP-714).

use protocol_derive::Message;

use crate::{ErrorCode, Uuid};

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct GetTelemetrySubscriptionsRequest {
    /// Names the client; zero if it has no name yet.
    pub client_instance_id: Uuid,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct GetTelemetrySubscriptionsResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// The name of a client that had none; else zero.
    pub client_instance_id: Uuid,
    /// Names what is asked for; another one tells the client to ask again.
    pub subscription_id: i32,
    /// As in the attributes of a record batch.
    pub accepted_compression_types: Vec<i8>,
    /// How often the client is to send them, in milliseconds.
    pub push_interval_ms: i32,
    /// How large the packed metrics may be.
    pub telemetry_max_bytes: i32,
    /// Whether counters are sent as what was added since, or from the beginning on.
    pub delta_temporality: bool,
    /// Beginnings of names; one that is empty asks for all, and no entry for none.
    pub requested_metrics: Vec<String>,
}
