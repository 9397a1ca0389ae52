//! What a request wants of each partition, or why it may not have it. Called by `handler`.

use std::collections::HashMap;
use std::sync::Arc;

use metadata::{Offset, PartitionIndex, TopicId, TopicPartition};
use protocol::ErrorCode;
use protocol::acl::Operation;
use protocol::messages::fetch::{FetchPartition, FetchTopic};

use super::wait::WAITING_BYTES;
use super::want::Want;
use crate::call::{Call, Resource};
use crate::refusal;

/// A partition of the request.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) index: i32,
    /// Refused before anything was looked up; else it is wanted.
    pub(super) refused: Option<ErrorCode>,
}

/// A topic of the request.
pub(super) struct Topic {
    pub(super) name: String,
    /// None where there is no such topic.
    id: Option<TopicId>,
    pub(super) slots: Vec<Slot>,
}

/// What a request is about.
pub(super) struct Asked {
    pub(super) topics: Vec<Topic>,
    /// What is wanted of them, in their order.
    pub(super) wants: Vec<Want>,
}

impl Topic {
    /// By which the answer to one of its slots is found.
    pub(super) fn partition(&self, slot: Slot) -> Result<TopicPartition, ErrorCode> {
        match (slot.refused, self.id) {
            (Some(code), _) => Err(code),
            (None, None) => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (None, Some(topic)) => Ok(TopicPartition {
                topic,
                partition: PartitionIndex(slot.index),
            }),
        }
    }
}

impl Asked {
    pub(super) fn slots(&self) -> usize {
        self.topics.iter().map(|topic| topic.slots.len()).sum()
    }

    /// Whether something was refused already.
    pub(super) fn is_refused(&self) -> bool {
        self.wants.len() < self.slots()
    }

    /// Bytes of its topics' names, which the answer repeats.
    pub(super) fn names(&self) -> usize {
        self.topics.iter().map(|topic| topic.name.capacity()).sum()
    }

    /// What it takes at the most while it waits.
    pub(super) fn bytes(&self) -> usize {
        self.names()
            + self.topics.len() * size_of::<Topic>()
            + self.slots() * size_of::<Slot>()
            + self.wants.len() * (size_of::<Want>() + WAITING_BYTES)
    }
}

/// Translates a request's topics.
pub(super) fn translate(call: &Call, topics: Vec<FetchTopic>) -> Asked {
    let catalogue = call.context.metadata.catalogue();
    let epoch = call.context.metadata.leader_epoch();
    let topics = once_each(topics);
    let named = topics.iter().map(|topic| topic.partitions.len()).sum();
    let mut asked = Asked {
        topics: Vec::with_capacity(topics.len()),
        wants: Vec::with_capacity(named),
    };
    for named in topics {
        let allowed = call.allow(Resource::Topic(&named.topic), Operation::Read);
        let topic = allowed.and_then(|()| {
            let topic = catalogue.topic(&named.topic);
            topic.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        });
        let mut slots = Vec::with_capacity(named.partitions.len());
        for partition in &named.partitions {
            let want = want(topic, partition, epoch);
            slots.push(Slot {
                index: partition.partition,
                refused: want.err(),
            });
            asked.wants.extend(want);
        }
        asked.topics.push(Topic {
            name: named.topic,
            id: topic.ok().map(|topic| topic.id),
            slots,
        });
    }
    asked
}

fn want(
    topic: Result<&Arc<metadata::Topic>, ErrorCode>,
    partition: &FetchPartition,
    epoch: i32,
) -> Result<Want, ErrorCode> {
    let topic = topic?;
    let index = PartitionIndex(partition.partition);
    if !topic.has(index) {
        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    refusal::leader_epoch(partition.current_leader_epoch, epoch)?;
    Ok(Want {
        partition: TopicPartition {
            topic: topic.id,
            partition: index,
        },
        offset: Offset(partition.fetch_offset),
        bytes_max: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
    })
}

/// Each partition once, with what was said of it last: so Kafka reads a request. Its answer would be as many times larger
/// than what there is as the client repeats itself.
fn once_each(topics: Vec<FetchTopic>) -> Vec<FetchTopic> {
    let places = topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|partition| ((topic.topic.as_str(), partition.partition), partition))
    });
    let mut last: HashMap<_, _> = places.collect();
    let named: usize = topics.iter().map(|topic| topic.partitions.len()).sum();
    if last.len() == named {
        return topics;
    }
    let kept = topics.iter().map(|topic| {
        let indexes = topic.partitions.iter().map(|each| each.partition);
        let kept = indexes.filter_map(|index| last.remove(&(topic.topic.as_str(), index)).cloned());
        FetchTopic {
            topic: topic.topic.clone(),
            partitions: kept.collect(),
        }
    });
    kept.filter(|topic| !topic.partitions.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, partitions: &[(i32, i64)]) -> FetchTopic {
        let partition = |(partition, fetch_offset): &(i32, i64)| FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            ..FetchPartition::default()
        };
        FetchTopic {
            topic: name.to_owned(),
            partitions: partitions.iter().map(partition).collect(),
        }
    }

    #[test]
    fn a_partition_named_many_times_is_wanted_once_as_was_said_last() {
        let repeated = vec![
            topic("a", &[(0, 1), (1, 2), (0, 3)]),
            topic("b", &[(0, 4)]),
            topic("a", &[(2, 5), (1, 6)]),
            topic("b", &[(0, 7), (0, 8)]),
        ];
        let once = [
            topic("a", &[(0, 3), (1, 6)]),
            topic("b", &[(0, 8)]),
            topic("a", &[(2, 5)]),
        ];
        assert_eq!(once_each(repeated), once);
        let plain = vec![
            topic("a", &[(0, 1)]),
            topic("b", &[]),
            topic("a", &[(1, 1)]),
        ];
        assert_eq!(once_each(plain.clone()), plain);
    }
}
