//! What every room may use: the metadata, the clock, who this agent is, and the defaults for topics.
//! Built once by `server.rs`; rooms hold it in an `Arc` and never change it.

use metadata::{Agent, Metadata};

use crate::clock::Clock;
use crate::random::Random;

/// Shared by all rooms of an agent.
#[derive(Debug)]
pub struct Context {
    pub metadata: Metadata,
    pub clock: Clock,
    pub random: Random,
    pub node: Node,
    pub topics: TopicDefaults,
}

/// How this agent appears in protocol replies.
#[derive(Clone, Debug)]
pub struct Node {
    /// Kafka's broker id, not negative.
    pub id: i32,
    /// Host that clients are told to connect to.
    pub host: String,
    pub port: u16,
    /// Availability zone, shown as the broker's rack.
    pub zone: Option<String>,
}

impl Node {
    /// As other agents and their clients are told of it.
    pub(crate) fn to_agent(&self) -> Agent {
        Agent {
            node_id: self.id,
            host: self.host.clone(),
            port: self.port,
            zone: self.zone.clone(),
        }
    }
}

/// What a topic gets when its creator does not say.
#[derive(Clone, Debug)]
pub struct TopicDefaults {
    /// Whether a Metadata request may create the topics it names (`auto.create.topics.enable`).
    pub auto_create: AutoCreate,
    /// `num.partitions`, at least 1.
    pub partitions: i32,
}

/// Kafka's `auto.create.topics.enable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCreate {
    Enabled,
    Disabled,
}
