//! What effects change of that which agents watch. An effect that is new must say so here, or it does not compile: what
//! nobody publishes, no agent ever hears of.

use std::collections::BTreeSet;

use crate::effect::{ClusterEffect, Effect};
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
                Effect::Topic { topic, .. } => {
                    touched.topics.insert(*topic);
                }
                Effect::Committed(committed) => {
                    for (block, batches) in committed.blocks() {
                        let appended = batches.iter().any(|batch| batch.record_count() > 0);
                        if appended && watched(block.partition) {
                            touched.partitions.insert(block.partition);
                        }
                    }
                }
                Effect::Partition { partition, .. } => {
                    if watched(*partition) {
                        touched.partitions.insert(*partition);
                    }
                }
                Effect::Cluster(ClusterEffect::NamingAdvanced { .. }) => touched.naming = true,
                // Nobody watches these.
                Effect::Producers { .. }
                | Effect::Session { .. }
                | Effect::Cluster(
                    ClusterEffect::ProducerIdsAllocated { .. }
                    | ClusterEffect::ProducersForgottenBefore { .. }
                    | ClusterEffect::SessionNumbered { .. }
                    | ClusterEffect::BucketBound(_)
                    | ClusterEffect::FeatureLevelRaised { .. }
                    | ClusterEffect::OlderStoreAccepted { .. }
                    | ClusterEffect::HoldReleased,
                ) => {}
                #[cfg(any(test, feature = "level-2"))]
                Effect::Cluster(ClusterEffect::Trial(_)) => {}
            }
        }
        touched
    }
}
