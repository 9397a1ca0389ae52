//! What becomes of commands on topics.

use super::{SETTING_BYTES, Topics, bytes, metric_name};
use crate::codec::TEXTS_MAX;
use crate::command::{CreatePartitions, CreateTopic, Outcome, Rejected};
use crate::effect::{Effect, TopicCreated, TopicEffect};
use crate::state::Decided;
use crate::state::limits::Limits;
use crate::topic_name::check_topic_name;
use crate::types::{Bounds, LOST_MAX, LostRange, ProducerId, Timestamp, TopicId};

/// Of a topic's name and settings together: they must fit in one row.
const TOPIC_BYTES_MAX: u64 = 64 * 1024;
const _: () = assert!(
    TOPIC_BYTES_MAX <= (TEXTS_MAX * SETTING_BYTES) as u64,
    "what is written can be read"
);

impl Topics {
    pub(in crate::state) fn create(
        &self,
        now: Timestamp,
        create: &CreateTopic,
        first_producer: ProducerId,
        limits: &Limits,
    ) -> Decided {
        check_form(create)?;
        self.check_partitions(0, create.partitions, limits)?;
        let bytes = bytes(&create.name, &create.configs);
        if bytes > TOPIC_BYTES_MAX {
            return Err(Rejected::InvalidCommand);
        }
        if self.by_name.contains_key(&create.name) {
            return Err(Rejected::TopicExists);
        }
        if self.by_metric_name.contains_key(&metric_name(&create.name)) {
            return Err(Rejected::TopicNameCollides);
        }
        if self.by_id.contains_key(&create.id) || self.is_deleted(create.id) {
            return Err(Rejected::InvalidCommand);
        }
        if self.by_id.len() >= limits.topics || self.bytes + bytes > limits.topic_bytes {
            return Err(Rejected::TooManyTopics);
        }
        let created = TopicCreated {
            name: create.name.clone(),
            partitions: create.partitions,
            replication_factor: create.replication_factor,
            configs: create.configs.clone(),
            first_producer,
            created: now,
        };
        Ok((
            Outcome::TopicCreated(create.id),
            vec![Effect::topic(create.id, TopicEffect::Created(created))],
        ))
    }

    /// `held`: whether it ever held a record.
    pub(in crate::state) fn delete(&self, topic: TopicId, held: bool, limits: &Limits) -> Decided {
        self.by_id.get(&topic).ok_or(Rejected::UnknownTopic)?;
        if self.deleted.len() >= limits.deleted_topics {
            return Err(Rejected::TooManyDeletedTopics);
        }
        Ok((
            Outcome::TopicDeleted,
            vec![Effect::topic(topic, TopicEffect::Deleted { held })],
        ))
    }

    pub(in crate::state) fn create_partitions(
        &self,
        create: CreatePartitions,
        limits: &Limits,
    ) -> Decided {
        let CreatePartitions { topic, total } = create;
        let known = self.by_id.get(&topic).ok_or(Rejected::UnknownTopic)?;
        if total <= known.topic.partitions {
            return Err(Rejected::InvalidPartitions);
        }
        self.check_partitions(known.topic.partitions, total, limits)?;
        Ok((
            Outcome::PartitionsCreated,
            vec![Effect::topic(
                topic,
                TopicEffect::PartitionsCreated { total },
            )],
        ))
    }

    /// `bounds`: the partition's, if there is one.
    pub(in crate::state) fn mark_lost(
        &self,
        topic: TopicId,
        range: LostRange,
        bounds: Option<Bounds>,
    ) -> Decided {
        let known = self.by_id.get(&topic).ok_or(Rejected::UnknownTopic)?;
        let bounds = bounds.ok_or(Rejected::UnknownPartition)?;
        let is_there = bounds.log_start <= range.from
            && range.from < range.until
            && range.until <= bounds.high_watermark;
        if !is_there {
            return Err(Rejected::NotInLog);
        }
        let lost = known.topic.lost.with(range);
        if lost.ranges().len() > LOST_MAX {
            return Err(Rejected::TooManyLost);
        }
        let effects = match lost == known.topic.lost {
            true => Vec::new(),
            false => vec![Effect::topic(topic, TopicEffect::MarkedLost(range))],
        };
        Ok((Outcome::MarkedLost, effects))
    }

    fn check_partitions(&self, from: i32, to: i32, limits: &Limits) -> Result<(), Rejected> {
        let more = u64::from(to.saturating_sub(from).max(0).unsigned_abs());
        let of_topic = to.max(0).unsigned_abs();
        if of_topic > limits.topic_partitions || self.partitions + more > limits.partitions {
            return Err(Rejected::TooManyPartitions);
        }
        Ok(())
    }
}

/// What an agent has checked, and another peer may not have. Asked where a topic is made and nowhere else: stores hold some
/// that were made before there was this rule.
fn check_form(create: &CreateTopic) -> Result<(), Rejected> {
    // Kafka's name for no topic.
    let is_none = create.id == TopicId(0);
    if is_none || check_topic_name(&create.name).is_err() || create.replication_factor < 1 {
        return Err(Rejected::InvalidCommand);
    }
    match create.partitions {
        1.. => Ok(()),
        _ => Err(Rejected::InvalidPartitions),
    }
}
