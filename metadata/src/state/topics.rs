//! Topics by id and by name, and the logs of their partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::PartitionLog;
use crate::catalogue::Topic;
use crate::command::{CreatePartitions, CreateTopic, Outcome, Rejected};
use crate::effect::{Appended, Effect, TopicCreated};
use crate::types::{Lsn, Offset, PartitionIndex, ProducerId, Timestamp, TopicId, TopicPartition};

/// Past any use; keeps a wild number from taking all memory.
const PARTITIONS_MAX: i32 = 1_000_000;
/// Of a topic's name and settings together: they must fit in one row.
const TOPIC_BYTES_MAX: usize = 64 * 1024;

/// One past a producer's id.
fn past(id: ProducerId) -> i64 {
    id.0.saturating_add(1)
}

type Decided = Result<(Outcome, Vec<Effect>), Rejected>;

/// All topics.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Topics {
    by_id: BTreeMap<TopicId, TopicState>,
    by_name: BTreeMap<String, TopicId>,
    /// Names with '.' turned into '_', under which Kafka's metrics would collide, and the topic that has them.
    by_metric_name: BTreeMap<String, TopicId>,
    /// Deleted topics whose index rows are still in the store.
    deleted: BTreeMap<TopicId, Lsn>,
    /// Partitions of deleted topics whose own rows may still be in the store.
    uncleared: BTreeMap<TopicId, i32>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicState {
    pub(crate) topic: Arc<Topic>,
    pub(crate) logs: Vec<PartitionLog>,
    /// Producer ids from here on were handed out after the topic was made.
    pub(crate) first_producer: ProducerId,
    /// The row holds everything up to here.
    pub(crate) as_of: Lsn,
}

impl Topics {
    pub(crate) fn get(&self, topic: TopicId) -> Option<&TopicState> {
        self.by_id.get(&topic)
    }

    pub(crate) fn log(&self, partition: TopicPartition) -> Option<&PartitionLog> {
        let topic = self.by_id.get(&partition.topic)?;
        topic.logs.get(usize::try_from(partition.partition.0).ok()?)
    }

    pub(crate) fn log_mut(&mut self, partition: TopicPartition) -> Option<&mut PartitionLog> {
        let topic = self.by_id.get_mut(&partition.topic)?;
        topic
            .logs
            .get_mut(usize::try_from(partition.partition.0).ok()?)
    }

    /// Topics by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &TopicState> {
        self.by_id.values()
    }

    /// Every partition's log.
    pub(crate) fn logs(&self) -> impl Iterator<Item = (TopicPartition, &PartitionLog)> {
        self.by_id.iter().flat_map(|(topic, state)| {
            (0..).zip(&state.logs).map(|(index, log)| {
                (
                    TopicPartition {
                        topic: *topic,
                        partition: PartitionIndex(index),
                    },
                    log,
                )
            })
        })
    }

    pub(super) fn create(&self, create: &CreateTopic, first_producer: ProducerId) -> Decided {
        if !(1..=PARTITIONS_MAX).contains(&create.partitions) {
            return Err(Rejected::InvalidPartitions);
        }
        let configs = create.configs.iter();
        let bytes: usize = configs.map(|(name, value)| name.len() + value.len()).sum();
        if bytes + create.name.len() > TOPIC_BYTES_MAX {
            return Err(Rejected::InvalidCommand);
        }
        if self.by_name.contains_key(&create.name) {
            return Err(Rejected::TopicExists);
        }
        if self.by_metric_name.contains_key(&metric_name(&create.name)) {
            return Err(Rejected::TopicNameCollides);
        }
        if self.by_id.contains_key(&create.id) || self.deleted.contains_key(&create.id) {
            return Err(Rejected::InvalidCommand);
        }
        let created = TopicCreated {
            id: create.id,
            name: create.name.clone(),
            partitions: create.partitions,
            replication_factor: create.replication_factor,
            configs: create.configs.clone(),
            first_producer,
        };
        Ok((
            Outcome::TopicCreated(create.id),
            vec![Effect::TopicCreated(created)],
        ))
    }

    pub(super) fn delete(&self, topic: TopicId) -> Decided {
        self.by_id.get(&topic).ok_or(Rejected::UnknownTopic)?;
        Ok((Outcome::TopicDeleted, vec![Effect::TopicDeleted(topic)]))
    }

    pub(super) fn create_partitions(&self, create: CreatePartitions) -> Decided {
        let CreatePartitions { topic, total } = create;
        let known = self.by_id.get(&topic).ok_or(Rejected::UnknownTopic)?;
        if total <= known.topic.partitions || total > PARTITIONS_MAX {
            return Err(Rejected::InvalidPartitions);
        }
        Ok((
            Outcome::PartitionsCreated,
            vec![Effect::PartitionsCreated { topic, total }],
        ))
    }

    pub(super) fn fold_created(&mut self, lsn: Lsn, now: Timestamp, created: &TopicCreated) {
        // A crash between a checkpoint's transactions: the row is newer than the log, or the topic is gone again.
        if (self.by_id.get(&created.id)).is_some_and(|known| known.as_of >= lsn) {
            // An earlier topic of that name, whose row was still there, may have had it until now.
            self.name(&created.name, created.id);
            return;
        }
        if (self.deleted.get(&created.id)).is_some_and(|as_of| *as_of >= lsn) {
            return;
        }
        let topic = Topic {
            id: created.id,
            name: created.name.clone(),
            partitions: created.partitions,
            replication_factor: created.replication_factor,
            configs: created.configs.clone(),
            created: now,
        };
        self.restore(topic, created.first_producer, Lsn(0));
    }

    /// Puts a topic in, with empty logs.
    pub(crate) fn restore(&mut self, topic: Topic, first_producer: ProducerId, as_of: Lsn) {
        let id = topic.id;
        let partitions = usize::try_from(topic.partitions).unwrap_or(0);
        self.name(&topic.name, id);
        let logs = vec![PartitionLog::default(); partitions];
        self.by_id.insert(
            id,
            TopicState {
                topic: Arc::new(topic),
                logs,
                first_producer,
                as_of,
            },
        );
    }

    fn name(&mut self, name: &str, topic: TopicId) {
        self.by_name.insert(name.to_owned(), topic);
        self.by_metric_name.insert(metric_name(name), topic);
    }

    /// A topic that the store says is deleted.
    pub(crate) fn restore_deleted(&mut self, topic: TopicId, as_of: Lsn) {
        self.deleted.insert(topic, as_of);
    }

    pub(super) fn fold_deleted(&mut self, topic: TopicId) {
        let Some(gone) = self.by_id.remove(&topic) else {
            return;
        };
        // While a log is replayed over newer rows, a later topic may have the name already.
        let metric_name = metric_name(&gone.topic.name);
        if self.by_name.get(&gone.topic.name) == Some(&topic) {
            self.by_name.remove(&gone.topic.name);
        }
        if self.by_metric_name.get(&metric_name) == Some(&topic) {
            self.by_metric_name.remove(&metric_name);
        }
        self.deleted.insert(topic, Lsn(0));
        self.uncleared.insert(topic, gone.topic.partitions);
    }

    /// How many partitions of a deleted topic may still have rows.
    pub(crate) fn uncleared(&self, topic: TopicId) -> i32 {
        self.uncleared.get(&topic).copied().unwrap_or(0)
    }

    /// None has any more.
    pub(crate) fn cleared(&mut self, topic: TopicId) {
        self.uncleared.remove(&topic);
    }

    pub(super) fn fold_partitions(&mut self, lsn: Lsn, topic: TopicId, total: i32) {
        let Some(known) = self.by_id.get_mut(&topic).filter(|known| known.as_of < lsn) else {
            return;
        };
        let mut grown = Topic::clone(&known.topic);
        grown.partitions = total;
        known.topic = Arc::new(grown);
        known
            .logs
            .resize(usize::try_from(total).unwrap_or(0), PartitionLog::default());
    }

    pub(super) fn fold_epoch(&mut self, lsn: Lsn, partition: TopicPartition, start: Offset) {
        if let Some(log) = self.log_mut(partition).filter(|log| log.as_of() < lsn) {
            log.begin_epoch(start);
        }
    }

    /// `None`: there was nothing to do. Else the largest id of a producer that had to make room, or 0.
    pub(super) fn fold_appended(
        &mut self,
        lsn: Lsn,
        now: Timestamp,
        appended: &Appended,
    ) -> Option<i64> {
        let log = self
            .log_mut(appended.partition)
            .filter(|log| log.as_of() < lsn)?;
        Some(log.append(now, appended).map_or(0, past))
    }

    /// Whether a partition remembers a producer not seen since then.
    pub(super) fn anybody_silent(&self, before: Timestamp) -> bool {
        let mut logs = self.by_id.values().flat_map(|topic| &topic.logs);
        logs.any(|log| log.producers().anybody_silent(before))
    }

    /// The partitions that forgot somebody, and the end of the producer ids forgotten.
    pub(super) fn fold_expired(
        &mut self,
        lsn: Lsn,
        before: Timestamp,
    ) -> (Vec<TopicPartition>, i64) {
        let (mut partitions, mut id_end) = (Vec::new(), 0);
        for (topic, state) in &mut self.by_id {
            let older = |log: &&mut PartitionLog| log.as_of() < lsn;
            let logs = (0..).zip(&mut state.logs);
            for (index, log) in logs.filter(|(_, log)| older(log)) {
                if let Some(forgotten) = log.forget_producers(before) {
                    id_end = id_end.max(past(forgotten));
                    partitions.push(TopicPartition {
                        topic: *topic,
                        partition: PartitionIndex(index),
                    });
                }
            }
        }
        (partitions, id_end)
    }

    #[cfg(test)]
    pub(super) fn deleted(&self) -> impl Iterator<Item = TopicId> {
        self.deleted.keys().copied()
    }

    #[cfg(test)]
    pub(super) fn names_agree(&self) -> bool {
        self.by_name.len() == self.by_id.len()
            && self.by_metric_name.len() == self.by_id.len()
            && self.by_id.iter().all(|(id, state)| {
                self.by_name.get(&state.topic.name) == Some(id)
                    && self.by_metric_name.get(&metric_name(&state.topic.name)) == Some(id)
            })
    }
}

fn metric_name(name: &str) -> String {
    name.replace('.', "_")
}
