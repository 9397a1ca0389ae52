//! What a request wants of each partition, or why it may not have it. Called by `handler`.

use std::collections::HashMap;
use std::sync::Arc;

use metadata::{Offset, PartitionIndex, TopicPartition};
use protocol::ErrorCode;
use protocol::acl::Operation;
use protocol::messages::fetch::{FetchPartition, FetchTopic};

use super::Want;
use crate::call::{Call, Resource};
use crate::refusal;

/// A partition of the request: wanted, or refused before anything was looked up.
pub(super) struct Slot {
    pub(super) index: i32,
    pub(super) want: Result<Want, ErrorCode>,
}

/// A topic of the request.
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) slots: Vec<Slot>,
}

/// Translates a request's topics.
pub(super) fn translate(call: &Call, topics: Vec<FetchTopic>) -> Vec<Topic> {
    let catalogue = call.context.metadata.catalogue();
    let epoch = call.context.metadata.leader_epoch();
    let slot = |topic: Result<&Arc<metadata::Topic>, ErrorCode>, partition: &FetchPartition| {
        let known = topic.and_then(
            |topic| match topic.has(PartitionIndex(partition.partition)) {
                true => Ok(topic),
                false => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            },
        );
        let want = match known {
            Err(code) => Err(code),
            Ok(topic) => {
                refusal::leader_epoch(partition.current_leader_epoch, epoch).map(|()| Want {
                    partition: TopicPartition {
                        topic: topic.id,
                        partition: PartitionIndex(partition.partition),
                    },
                    offset: Offset(partition.fetch_offset),
                    bytes_max: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
                })
            }
        };
        Slot {
            index: partition.partition,
            want,
        }
    };
    once_each(topics)
        .into_iter()
        .map(|asked| {
            let allowed = call.allow(Resource::Topic(&asked.topic), Operation::Read);
            let topic = allowed.and_then(|()| {
                let topic = catalogue.topic(&asked.topic);
                topic.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            });
            let slots = asked
                .partitions
                .iter()
                .map(|partition| slot(topic, partition))
                .collect();
            Topic {
                name: asked.topic,
                slots,
            }
        })
        .collect()
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
