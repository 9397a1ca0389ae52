//! All topics as every agent has them: an immutable snapshot, replaced when a topic changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::sequencer::subscribers::{Scope, TopicsUpdate};
use crate::types::{Lsn, Timestamp, TopicId, TopicPartition};

/// Topics by name and by id, as of an lsn.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    pub lsn: Lsn,
    by_name: BTreeMap<String, Arc<Topic>>,
    by_id: HashMap<TopicId, Arc<Topic>>,
}

/// What agents know of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: TopicId,
    pub name: String,
    /// At least 1.
    pub partitions: i32,
    /// As its creator wished; object storage replicates.
    pub replication_factor: i16,
    /// Only what was set; the rest has Kafka's defaults.
    pub configs: BTreeMap<String, String>,
    pub created: Timestamp,
}

/// An agent that serves clients, as clients are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Kafka's broker id, not negative.
    pub node_id: i32,
    pub host: String,
    pub port: u16,
    /// Availability zone.
    pub zone: Option<String>,
}

impl Catalogue {
    pub(crate) fn new<'a>(lsn: Lsn, topics: impl Iterator<Item = &'a Arc<Topic>>) -> Self {
        let mut catalogue = Self {
            lsn,
            ..Self::default()
        };
        for topic in topics {
            catalogue.insert(topic);
        }
        catalogue
    }

    /// The same after a change.
    pub(crate) fn with(&self, update: &TopicsUpdate) -> Self {
        let mut catalogue = match update.scope {
            Scope::All => Self::default(),
            Scope::Change => self.clone(),
        };
        catalogue.lsn = update.lsn;
        for gone in &update.gone {
            catalogue.remove(*gone);
        }
        for topic in &update.changed {
            catalogue.remove(topic.id);
            catalogue.insert(topic);
        }
        catalogue
    }

    fn insert(&mut self, topic: &Arc<Topic>) {
        self.by_id.insert(topic.id, Arc::clone(topic));
        self.by_name.insert(topic.name.clone(), Arc::clone(topic));
    }

    fn remove(&mut self, id: TopicId) {
        let Some(topic) = self.by_id.remove(&id) else {
            return;
        };
        // The name may be another topic's already.
        if self
            .by_name
            .get(&topic.name)
            .is_some_and(|named| named.id == id)
        {
            self.by_name.remove(&topic.name);
        }
    }

    /// Whether there is such a partition.
    pub(crate) fn has(&self, partition: TopicPartition) -> bool {
        let topic = self.by_id.get(&partition.topic);
        topic.is_some_and(|topic| (0..topic.partitions).contains(&partition.partition.0))
    }

    /// The topic with that name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    /// The topic with that id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }
}
