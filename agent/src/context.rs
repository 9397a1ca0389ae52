//! What every room may use: the metadata, blocks of stored batches, the clock, who this agent is, and the defaults for
//! topics.
//! Built once by `server.rs`; rooms hold it in an `Arc` and never change it.

use std::time::Duration;

use metadata::{Agent, Metadata};
use tokio::time::timeout;

use crate::admission::Admission;
use crate::clock::Clock;
use crate::producer_ids::ProducerIds;
use crate::random::Random;
use crate::storage::Cache;
use crate::zones::ClientZones;

/// Shared by all rooms of an agent.
#[derive(Debug)]
pub struct Context {
    pub metadata: Metadata,
    /// How much may be in memory at once.
    pub(crate) admission: Admission,
    /// Blocks of stored batches.
    pub cache: Cache,
    pub(crate) producer_ids: ProducerIds,
    pub clock: Clock,
    pub random: Random,
    /// This agent, as clients and other agents are told of it.
    pub node: Agent,
    pub zones: ClientZones,
    pub topics: TopicDefaults,
}

/// How long a client waits for it at the most.
const REFRESH_TIME_MAX: Duration = Duration::from_secs(1);

impl Context {
    /// Brings the catalogue up to date, for those who ask for something that is not in it: made through another agent, it
    /// may be known to clients before this agent hears of it. False where that could not be done, so that what the
    /// catalogue does not have may be there all the same.
    pub(crate) async fn refresh_catalogue(&self) -> bool {
        let confirmed = timeout(REFRESH_TIME_MAX, self.metadata.confirmed_catalogue()).await;
        matches!(confirmed, Ok(Ok(_)))
    }
}

/// Partitions a topic may have: each costs some hundred bytes of memory in the sequencer.
pub const PARTITIONS_MAX: i32 = 100_000;

/// What a topic gets when its creator does not say.
#[derive(Clone, Debug)]
pub struct TopicDefaults {
    /// Whether a Metadata request may create the topics it names (`auto.create.topics.enable`).
    pub auto_create: AutoCreate,
    /// `num.partitions`, from 1 to [`PARTITIONS_MAX`].
    pub partitions: i32,
}

/// Kafka's `auto.create.topics.enable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCreate {
    Enabled,
    Disabled,
}
