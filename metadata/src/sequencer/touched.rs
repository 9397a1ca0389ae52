//! What effects change of that which agents watch. An effect that is new must say so here, or it does not compile: what
//! nobody publishes, no agent ever hears of.

use std::collections::BTreeSet;

use crate::effect::{Appended, Effect};
use crate::types::{TopicId, TopicPartition};

/// Rows that changed.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Topics that were made, changed or are gone.
    pub(super) topics: BTreeSet<TopicId>,
    /// Partitions whose bounds or extents changed, of those that somebody watches.
    pub(super) partitions: BTreeSet<TopicPartition>,
    /// The naming epoch.
    pub(super) naming: bool,
}

impl Touched {
    pub(super) fn by(effects: &[Effect], watched: impl Fn(TopicPartition) -> bool) -> Self {
        let mut touched = Self::default();
        for effect in effects {
            match effect {
                Effect::TopicCreated(created) => {
                    touched.topics.insert(created.id);
                }
                Effect::TopicDeleted(topic) | Effect::PartitionsCreated { topic, .. } => {
                    touched.topics.insert(*topic);
                }
                Effect::Appended(Appended { partition, .. })
                | Effect::EpochBegan { partition, .. } => {
                    if watched(*partition) {
                        touched.partitions.insert(*partition);
                    }
                }
                Effect::NamingAdvanced { .. } => touched.naming = true,
                // Nobody watches these.
                Effect::ProducerIdsAllocated { .. }
                | Effect::ObjectCommitted { .. }
                | Effect::ProducersExpired { .. }
                | Effect::SessionOpened { .. }
                | Effect::SessionClosed { .. }
                | Effect::Answered { .. }
                | Effect::Cluster(_)
                | Effect::BucketBound(_) => {}
            }
        }
        touched
    }
}
