//! What a new topic must be, as Kafka judges it: its name, its sizes, its settings. Called by `create_topics`.

use std::collections::{BTreeSet, HashMap, HashSet};

use metadata::{Catalogue, CreateTopic, Shown, TopicId};
use protocol::ErrorCode;
use protocol::messages::create_topics::{CreatableReplicaAssignment, CreatableTopic};

use super::refused::{Refused, refuse};
use crate::context::{PARTITIONS_MAX, TopicDefaults};
use crate::{topic_config, topic_name};

/// What a topic's settings may take, names and values together. They are in every copy of the list of topics, and the sequencer
/// ends the link of an agent that sends much more.
const SETTINGS_BYTES_MAX: usize = 64 * 1024;

/// Everything that can be said without asking the sequencer, whose word is the last.
pub(super) fn check(
    catalogue: &Catalogue,
    defaults: &TopicDefaults,
    id: TopicId,
    topic: &CreatableTopic,
) -> Result<CreateTopic, Refused> {
    topic_name::check_new(&topic.name).map_err(|why| (ErrorCode::INVALID_TOPIC_EXCEPTION, why))?;
    check_free(catalogue, &topic.name)?;
    let (partitions, replication_factor) = match topic.assignments.as_slice() {
        [] => sizes(defaults, topic)?,
        assigned => assignment(topic, assigned)?,
    };
    if partitions > PARTITIONS_MAX {
        let message = format!("a topic has at most {PARTITIONS_MAX} partitions");
        return refuse(ErrorCode::INVALID_PARTITIONS, message);
    }
    let given = topic.configs.iter();
    let given = given.map(|config| (config.name.as_str(), config.value.as_deref()));
    let configs = topic_config::check(given).map_err(|why| (ErrorCode::INVALID_CONFIG, why))?;
    let bytes: usize = configs
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > SETTINGS_BYTES_MAX {
        let message =
            format!("settings of {bytes} bytes, of which a topic may have {SETTINGS_BYTES_MAX}");
        return refuse(ErrorCode::INVALID_CONFIG, message);
    }
    Ok(CreateTopic {
        name: topic.name.clone(),
        id,
        partitions,
        replication_factor,
        configs,
    })
}

fn check_free(catalogue: &Catalogue, name: &str) -> Result<(), Refused> {
    if catalogue.topic(name).is_some() {
        let message = format!("topic '{name}' exists already");
        return refuse(ErrorCode::TOPIC_ALREADY_EXISTS, message);
    }
    Ok(())
}

/// Topics by the names that Kafka's metrics would have, of those where the two differ.
pub(super) type MetricNames = HashMap<String, String>;

/// Looks at every topic, so once a request.
pub(super) fn metric_names(catalogue: &Catalogue) -> MetricNames {
    let names = catalogue.topics().map(|topic| &topic.name);
    let named = names.filter_map(|name| Some((metric_name(name)?, name.clone())));
    named.collect()
}

fn metric_name(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

/// Names that differ only in '.' and '_' were one in the names of Kafka's metrics, so they may not stand side by side.
pub(super) fn check_collision(names: &MetricNames, name: &str) -> Result<(), Refused> {
    match metric_name(name).and_then(|name| names.get(&name)) {
        None => Ok(()),
        Some(other) => {
            let message = format!("topic '{name}' collides with '{}'", Shown::name(other));
            refuse(ErrorCode::INVALID_TOPIC_EXCEPTION, message)
        }
    }
}

fn sizes(defaults: &TopicDefaults, topic: &CreatableTopic) -> Result<(i32, i16), Refused> {
    let partitions = match topic.num_partitions {
        -1 => defaults.partitions,
        count if count > 0 => count,
        _ => {
            let message = "the number of partitions must be positive, or -1 for the default";
            return refuse(ErrorCode::INVALID_PARTITIONS, message);
        }
    };
    match topic.replication_factor {
        -1 => Ok((partitions, 1)),
        factor if factor > 0 => Ok((partitions, factor)),
        _ => refuse(
            ErrorCode::INVALID_REPLICATION_FACTOR,
            "the replication factor must be positive, or -1 for the default",
        ),
    }
}

/// Assignments are honoured in their numbers: which broker serves a partition is nobody's to fix here.
fn assignment(
    topic: &CreatableTopic,
    assigned: &[CreatableReplicaAssignment],
) -> Result<(i32, i16), Refused> {
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let message = "give an assignment, or numbers of partitions and replicas, not both";
        return refuse(ErrorCode::INVALID_REQUEST, message);
    }
    let invalid = |message: &str| refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
    let partitions = i32::try_from(assigned.len()).unwrap_or(i32::MAX);
    let indexes: BTreeSet<i32> = assigned.iter().map(|each| each.partition_index).collect();
    if !indexes.into_iter().eq(0..partitions) {
        return invalid("partitions must be numbered from 0, each once");
    }
    let replicas = assigned.first().map_or(0, |first| first.broker_ids.len());
    let fits = |each: &CreatableReplicaAssignment| each.broker_ids.len() == replicas;
    let Ok(replication_factor @ 1..) = i16::try_from(replicas) else {
        return invalid("every partition needs a replica, and has at most 32767");
    };
    if !assigned.iter().all(fits) {
        return invalid("every partition needs the same number of replicas");
    }
    let repeats = |each: &CreatableReplicaAssignment| {
        each.broker_ids.iter().collect::<HashSet<_>>().len() < replicas
    };
    if assigned.iter().any(repeats) {
        return invalid("a broker is named twice for a partition");
    }
    Ok((partitions, replication_factor))
}

#[cfg(test)]
pub(super) mod tests {
    use protocol::messages::create_topics::CreatableTopicConfig;

    use super::*;
    use crate::context::AutoCreate;

    pub(in crate::admin) fn topic(partitions: i32, replicas: i16) -> CreatableTopic {
        CreatableTopic {
            name: "t".to_owned(),
            num_partitions: partitions,
            replication_factor: replicas,
            ..CreatableTopic::default()
        }
    }

    pub(in crate::admin) fn assigned(places: &[(i32, &[i32])]) -> CreatableTopic {
        let assignments = places
            .iter()
            .map(|(index, ids)| CreatableReplicaAssignment {
                partition_index: *index,
                broker_ids: ids.to_vec(),
            });
        CreatableTopic {
            assignments: assignments.collect(),
            ..topic(-1, -1)
        }
    }

    fn checked(topic: &CreatableTopic) -> Result<(i32, i16), ErrorCode> {
        let defaults = TopicDefaults {
            auto_create: AutoCreate::Disabled,
            partitions: 7,
        };
        match check(&Catalogue::default(), &defaults, TopicId(7), topic) {
            Ok(created) => Ok((created.partitions, created.replication_factor)),
            Err((code, message)) => {
                assert!(!message.is_empty());
                Err(code)
            }
        }
    }

    #[test]
    fn sizes_are_judged_as_kafka_does() {
        assert_eq!(checked(&topic(-1, -1)), Ok((7, 1)));
        assert_eq!(checked(&topic(1, 3)), Ok((1, 3)));
        assert_eq!(checked(&topic(PARTITIONS_MAX, 1)), Ok((PARTITIONS_MAX, 1)));
        for partitions in [0, -2, i32::MIN, PARTITIONS_MAX + 1, i32::MAX] {
            let code = checked(&topic(partitions, 1));
            assert_eq!(code, Err(ErrorCode::INVALID_PARTITIONS), "{partitions}");
        }
        for factor in [0, -2, i16::MIN] {
            let code = checked(&topic(1, factor));
            assert_eq!(code, Err(ErrorCode::INVALID_REPLICATION_FACTOR), "{factor}");
        }
    }

    #[test]
    fn assignments_count_partitions_and_replicas() {
        let good = assigned(&[(1, &[5, 6]), (0, &[6, 5])]);
        assert_eq!(checked(&good), Ok((2, 2)));
        for bad in [
            assigned(&[(0, &[])]),
            assigned(&[(1, &[1])]),
            assigned(&[(0, &[1]), (0, &[1])]),
            assigned(&[(0, &[1]), (1, &[1, 2])]),
            assigned(&[(0, &[1, 1])]),
        ] {
            let code = checked(&bad);
            assert_eq!(code, Err(ErrorCode::INVALID_REPLICA_ASSIGNMENT), "{bad:?}");
        }
        let both = CreatableTopic {
            num_partitions: 2,
            ..good
        };
        assert_eq!(checked(&both), Err(ErrorCode::INVALID_REQUEST));
    }

    #[test]
    fn settings_and_names_are_checked() {
        let config = |name: &str, value: Option<&str>| CreatableTopic {
            configs: vec![CreatableTopicConfig {
                name: name.to_owned(),
                value: value.map(str::to_owned),
            }],
            ..topic(1, 1)
        };
        assert_eq!(checked(&config("retention.ms", Some("5"))), Ok((1, 1)));
        for bad in [
            config("retention.ms", None),
            config("retention.ms", Some("-2")),
            config("message.format.version", Some("2.8")),
            // An agent that told the sequencer of more would lose its link.
            config(
                "leader.replication.throttled.replicas",
                Some(&"1:2,".repeat(SETTINGS_BYTES_MAX / 4)),
            ),
        ] {
            assert_eq!(checked(&bad), Err(ErrorCode::INVALID_CONFIG));
        }
        let nameless = CreatableTopic {
            name: "a/b".to_owned(),
            ..topic(1, 1)
        };
        assert_eq!(checked(&nameless), Err(ErrorCode::INVALID_TOPIC_EXCEPTION));
    }
}
