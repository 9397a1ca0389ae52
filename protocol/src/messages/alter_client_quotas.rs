//! AlterClientQuotas (49): changes quotas of users, clients and addresses (KIP-546).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterClientQuotasRequest {
    pub entries: Vec<RequestEntryData>,
    /// Judge, change nothing.
    pub validate_only: bool,
}

/// Changes of the quotas of one entity. Kafka calls it EntryData, as what answers it.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct RequestEntryData {
    pub entity: Vec<EntityData>,
    pub ops: Vec<OpData>,
}

/// A part of an entity: whose quotas these are is said by one part or several.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct EntityData {
    /// `user`, `client-id` or `ip`.
    pub entity_type: String,
    /// Null for the default.
    pub entity_name: Option<String>,
}

/// A change of one quota.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OpData {
    /// As `producer_byte_rate`.
    pub key: String,
    pub value: f64,
    /// Whether the quota goes; then the value says nothing.
    pub remove: bool,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterClientQuotasResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    pub entries: Vec<EntryData>,
}

/// What became of one entity.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct EntryData {
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    pub entity: Vec<EntityData>,
}
