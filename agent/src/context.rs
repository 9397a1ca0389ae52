//! What every room may use: the metadata, the clock, who this agent is, and the defaults for topics.
//! Built once by `server.rs`; rooms hold it in an `Arc` and never change it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metadata::{Agent, Catalogue, Metadata};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::random::Random;
use crate::zones::ClientZones;

/// Shared by all rooms of an agent.
#[derive(Debug)]
pub struct Context {
    pub metadata: Metadata,
    pub clock: Clock,
    pub random: Random,
    /// This agent, as clients and other agents are told of it.
    pub node: Agent,
    pub zones: ClientZones,
    pub topics: TopicDefaults,
}

/// Longer nobody is kept waiting for news; then what is known here counts.
const NEWS_TIME_MAX: Duration = Duration::from_secs(1);

impl Context {
    /// The catalogue for those who ask for something that is not in it: made through another agent, it may be known to
    /// clients before the news of it comes here.
    pub(crate) async fn news(&self) -> Arc<Catalogue> {
        let confirmed = timeout(NEWS_TIME_MAX, self.metadata.confirmed_catalogue()).await;
        match confirmed {
            Ok(Ok(catalogue)) => catalogue,
            _ => self.metadata.catalogue(),
        }
    }
}

/// Where a connection came in.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The listener's name.
    pub listener: String,
    pub address: Option<IpAddr>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    pub arrival: &'a Arrival,
    /// What it calls itself.
    pub id: Option<&'a str>,
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
