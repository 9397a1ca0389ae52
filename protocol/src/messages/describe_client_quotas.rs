//! DescribeClientQuotas (48): the quotas of users, clients and addresses (KIP-546).

use protocol_derive::Message;

use crate::ErrorCode;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeClientQuotasRequest {
    pub components: Vec<ComponentData>,
    /// Whether entities with further parts are left out.
    pub strict: bool,
}

/// What one part of an entity must be.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ComponentData {
    /// `user`, `client-id` or `ip`.
    pub entity_type: String,
    /// 0: that name; 1: the default; 2: any name.
    pub match_type: i8,
    /// The name, for type 0.
    pub r#match: Option<String>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeClientQuotasResponse {
    /// For how long the client is asked to be silent, because of a quota.
    pub throttle_time_ms: i32,
    /// NONE, or why not.
    pub error_code: ErrorCode,
    /// A sentence for a person.
    pub error_message: Option<String>,
    /// Null with an error.
    pub entries: Option<Vec<EntryData>>,
}

/// The quotas of one entity.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct EntryData {
    pub entity: Vec<EntityData>,
    pub values: Vec<ValueData>,
}

/// A part of an entity: whose quotas these are is said by one part or several.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct EntityData {
    /// `user`, `client-id` or `ip`.
    pub entity_type: String,
    /// Null for the default.
    pub entity_name: Option<String>,
}

/// One quota.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ValueData {
    /// As `producer_byte_rate`.
    pub key: String,
    pub value: f64,
}
