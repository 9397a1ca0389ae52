//! What is durable becomes visible: the catalogue and the views, before the answers of the same drain go out. So an ack
//! means that the view of this process has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Sequencer;
use crate::catalogue::Catalogue;
use crate::effect::Effect;
use crate::types::{Extent, TopicPartition};

impl Sequencer {
    pub(super) fn publish(&self, effects: &[Effect]) {
        let topics_changed = effects.iter().any(|effect| {
            matches!(
                effect,
                Effect::TopicCreated(_)
                    | Effect::TopicDeleted(_)
                    | Effect::PartitionsCreated { .. }
            )
        });
        if topics_changed {
            self.publish_catalogue();
        }
        if self.shared.views.is_empty() {
            return;
        }
        let mut appended: BTreeMap<TopicPartition, Vec<Extent>> = BTreeMap::new();
        for effect in effects {
            if let Effect::Appended(each) = effect {
                appended
                    .entry(each.partition)
                    .or_default()
                    .push(each.extent);
            }
        }
        for (partition, extents) in appended {
            if let Some(log) = self.state.topics.log(partition) {
                self.shared
                    .views
                    .append(partition, log.bounds(), extents.into_iter());
            }
        }
    }

    /// Everything, after the state was loaded.
    pub(super) fn publish_all(&self) {
        self.publish_catalogue();
        for partition in self.shared.views.partitions() {
            if let Some(log) = self.state.topics.log(partition) {
                let recent = log.recent().iter().copied();
                self.shared.views.append(partition, log.bounds(), recent);
            }
        }
    }

    fn publish_catalogue(&self) {
        let topics = self.state.topics.iter().map(|topic| &topic.topic);
        let catalogue = Arc::new(Catalogue::new(self.state.lsn, topics));
        *self.shared.catalogue.lock() = catalogue;
        self.shared
            .views
            .retain(|partition| self.state.topics.log(partition).is_some());
    }
}
