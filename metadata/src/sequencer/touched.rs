//! What effects change of that which agents watch. An effect that is new must say so here, or it does not compile: what
//! nobody publishes, no agent ever hears of.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::effect::{ClusterEffect, Effect, extents};
use crate::types::{Extent, TopicId, TopicPartition};
use crate::view::VIEW_EXTENTS_MAX;

/// Rows that changed.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Topics that were made, changed or are gone.
    pub(super) topics: BTreeSet<TopicId>,
    /// Partitions whose bounds or extents changed, of those that somebody watches, with what is new in them. The state may
    /// have it no more: with the drain's log went rows of a checkpoint, perhaps these. No more than a view keeps, for one
    /// commit may have made a quarter of a million, and who watches is told of it in one piece.
    pub(super) partitions: BTreeMap<TopicPartition, VecDeque<Extent>>,
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
                            let new = touched.partitions.entry(block.partition).or_default();
                            for extent in extents(committed.object, block, batches) {
                                if new.len() == VIEW_EXTENTS_MAX {
                                    new.pop_front();
                                }
                                new.push_back(extent);
                            }
                        }
                    }
                }
                Effect::Partition { partition, .. } => {
                    if watched(*partition) {
                        touched.partitions.entry(*partition).or_default();
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
