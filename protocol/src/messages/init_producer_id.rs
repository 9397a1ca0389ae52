//! InitProducerId (22): an id and an epoch for an idempotent producer (KIP-98, KIP-360).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct InitProducerIdRequest {
    /// The transactional producer's name.
    pub transactional_id: Option<String>,
    pub transaction_timeout_ms: i32,
    #[kafka(since = 3, default = -1)]
    pub producer_id: i64,
    #[kafka(since = 3, default = -1)]
    pub producer_epoch: i16,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct InitProducerIdResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    #[kafka(default = -1)]
    pub producer_id: i64,
    pub producer_epoch: i16,
}
