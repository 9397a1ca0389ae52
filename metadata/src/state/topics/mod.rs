//! Topics by id and by name. A deleted one is a mark with all that was known of it, until its rows are cleared. `decide`
//! says what becomes of commands, `fold` makes it true, `deleted` holds what is left of those that are gone, `rows` is how
//! they lie in the store.

mod decide;
mod deleted;
mod fold;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::table::Dirty;
use super::tally::Mark;
use crate::catalogue::Topic;
use crate::types::{Lsn, ProducerId, TopicId};
use deleted::Deleted;

/// What a setting takes besides its text.
const SETTING_BYTES: usize = 64;

/// All topics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topics {
    by_id: BTreeMap<TopicId, TopicState>,
    by_name: BTreeMap<String, TopicId>,
    /// Names with '.' turned into '_', under which Kafka's metrics would collide, and the topic that has them.
    by_metric_name: BTreeMap<String, TopicId>,
    deleted: BTreeMap<TopicId, Deleted>,
    /// Deleted topics that leave nothing once the checkpoint under way is durable.
    vanishing: BTreeSet<TopicId>,
    /// The last checkpoint that is durable began at that drain.
    finished: Lsn,
    /// Of all topics together.
    partitions: u64,
    /// Names and settings of all topics together, as [`bytes()`] counts.
    bytes: u64,
    dirty: Dirty<TopicId>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicState {
    pub(crate) topic: Arc<Topic>,
    /// Producer ids from here on were handed out after the topic was made.
    pub(crate) first_producer: ProducerId,
    /// The row holds everything up to here.
    pub(crate) as_of: Lsn,
    /// The row.
    stored: Mark,
    /// Partitions that the row says there are; none without a row.
    stored_partitions: i32,
    dirty: bool,
}

impl Topics {
    pub(crate) fn get(&self, topic: TopicId) -> Option<&TopicState> {
        self.by_id.get(&topic)
    }

    /// Topics by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &TopicState> {
        self.by_id.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Of all topics together.
    pub(crate) fn partitions(&self) -> u64 {
        self.partitions
    }

    /// What their names and settings take.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The topic that has that name.
    pub(crate) fn named(&self, name: &str) -> Option<TopicId> {
        self.by_name.get(name).copied()
    }

    fn insert(&mut self, mut state: TopicState) {
        let id = state.topic.id;
        if let Some(earlier) = self.by_id.get(&id).filter(|_| !state.stored.is_row()) {
            (state.stored, state.stored_partitions) = (earlier.stored, earlier.stored_partitions);
        }
        self.name(&state.topic.name, id);
        self.partitions += size(&state);
        self.bytes += bytes(&state.topic.name, &state.topic.configs);
        if let Some(earlier) = self.by_id.insert(id, state) {
            self.uncount(&earlier);
        }
    }

    fn uncount(&mut self, gone: &TopicState) {
        self.partitions -= size(gone);
        self.bytes -= bytes(&gone.topic.name, &gone.topic.configs);
    }

    fn name(&mut self, name: &str, topic: TopicId) {
        self.by_name.insert(name.to_owned(), topic);
        self.by_metric_name.insert(metric_name(name), topic);
    }

    /// It is none of the topics any more.
    fn forget(&mut self, gone: &TopicState) {
        self.uncount(gone);
        let (id, name) = (gone.topic.id, &gone.topic.name);
        // While a log is replayed over newer rows, a later topic may have the name already.
        if self.by_name.get(name) == Some(&id) {
            self.by_name.remove(name);
        }
        let metric_name = metric_name(name);
        if self.by_metric_name.get(&metric_name) == Some(&id) {
            self.by_metric_name.remove(&metric_name);
        }
    }

    #[cfg(test)]
    pub(super) fn agrees(&self) -> bool {
        self.by_name.len() == self.by_id.len()
            && self.by_metric_name.len() == self.by_id.len()
            && self.by_id.iter().all(|(id, state)| {
                self.by_name.get(&state.topic.name) == Some(id)
                    && self.by_metric_name.get(&metric_name(&state.topic.name)) == Some(id)
            })
            && self.partitions == self.by_id.values().map(size).sum::<u64>()
            && self.bytes
                == self
                    .by_id
                    .values()
                    .map(|it| bytes(&it.topic.name, &it.topic.configs))
                    .sum::<u64>()
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.dirty.is_empty()
    }
}

/// About what a topic's name and settings take in memory.
fn bytes(name: &str, configs: &BTreeMap<String, String>) -> u64 {
    let configs = configs.iter();
    let configs = configs.map(|(name, value)| name.len() + value.len() + SETTING_BYTES);
    (name.len() + configs.sum::<usize>()) as u64
}

fn size(state: &TopicState) -> u64 {
    u64::from(state.topic.partitions.max(0).unsigned_abs())
}

fn metric_name(name: &str) -> String {
    name.replace('.', "_")
}
