//! What consumers put into the bytes that a classic group carries for them: a subscription in JoinGroup (11), an assignment
//! in SyncGroup (14). Two bytes of version stand before either; there are no compact lengths and no tagged fields.

use bytes::{BufMut, Bytes};
use protocol_derive::Message;

use crate::wire::{Decode, DecodeError, Encode, Reader, Writer};

/// The newest version of both.
pub const NEWEST: i16 = 3;

/// A subscription or an assignment.
pub trait ConsumerProtocol: Decode + Encode {}

impl ConsumerProtocol for ConsumerProtocolSubscription {}
impl ConsumerProtocol for ConsumerProtocolAssignment {}

/// What a member tells the leader of the group.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ConsumerProtocolSubscription {
    /// The topics that it wants to read.
    pub topics: Vec<String>,
    /// What its assignor wants to know of it. A slice of what was read.
    pub user_data: Option<Bytes>,
    /// What it holds (KIP-429).
    #[kafka(since = 1)]
    pub owned_partitions: Vec<TopicPartition>,
    /// The generation in which it came to hold that; -1 if none (KIP-792).
    #[kafka(since = 2, default = -1)]
    pub generation_id: i32,
    /// The member's zone (KIP-881).
    #[kafka(since = 3)]
    pub rack_id: Option<String>,
}

/// What the leader tells a member.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ConsumerProtocolAssignment {
    /// What it is to read.
    pub assigned_partitions: Vec<TopicPartition>,
    /// What the leader's assignor wants it to know. A slice of what was read.
    pub user_data: Option<Bytes>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicPartition {
    pub topic: String,
    pub partitions: Vec<i32>,
}

/// Reads one, and the version that it says it has. It is read as `newest` if that is older than its own, and a version to
/// come as [`NEWEST`]: each version only adds behind the one before. So 0 is enough for the topics, and what is wrong behind
/// them does not matter then. Bytes left over are passed over, as in Kafka.
///
/// # Errors
/// When the bytes are not what a consumer writes.
pub fn read<M: ConsumerProtocol>(bytes: Bytes, newest: i16) -> Result<(i16, M), DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    if version < 0 {
        return Err(DecodeError::Malformed);
    }
    let message = M::decode(&mut reader, version.min(newest).min(NEWEST))?;
    Ok((version, message))
}

/// Writes one in that version, or in the nearest that there is.
#[must_use]
pub fn write(message: &impl ConsumerProtocol, version: i16) -> Bytes {
    let version = version.clamp(0, NEWEST);
    let mut writer = Writer::default();
    writer.put().put_i16(version);
    message.encode(&mut writer, version);
    writer.take()
}
