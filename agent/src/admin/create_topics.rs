//! CreateTopics, with Kafka's checks in Kafka's order.

use std::collections::HashMap;

use metadata::{Catalogue, Command, CreateTopic, Outcome};
use protocol::acl::Operation;
use protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult,
};
use protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use protocol::{ErrorCode, Uuid};

use super::changes;
use super::mode::Mode;
use super::new_topic::{check, check_collision, metric_names};
use super::refused::{PartitionsRefused, Refused, allow_topic, refuse, topic_bytes, unexpected};
use crate::call::{Call, Resource};
use crate::context::TopicDefaults;
use crate::named::Turns;
use crate::topic_config::{SETTINGS, source};
use crate::{topic_id, topic_name};

/// From this version on clients know that they may be told to ask again for some topics (KIP-599).
const QUOTA_SINCE: i16 = 6;
/// Partitions that one request may make: Kafka's MAX_PARTITIONS_PER_BATCH.
const REQUEST_PARTITIONS_MAX: i64 = 10_000;
/// What a setting's name and default take in an answer, and in the answer as it is encoded.
const SETTING_BYTES: usize = 128;

pub(crate) async fn handle(call: &Call, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let context = call.context.as_ref();
    let mode = Mode::of(request.validate_only);
    if let Err(why) = call.check_named(request.topics.len()) {
        return refuse_all(call, request.topics, (ErrorCode::POLICY_VIOLATION, why)).await;
    }
    let mut turns = Turns::default();
    let mut taken = 0;
    for topic in &request.topics {
        turns.pass(1).await;
        taken += bytes(topic);
    }
    call.charge(taken).await;
    let mut wanted = once_each(request.topics).await;
    for named in &mut wanted {
        turns.pass(1).await;
        let create = Operation::Create;
        named.allowed = allow_topic(call, &named.topic.name, create, create);
    }
    if let Err(refused) = check_total(&context.topics, &wanted) {
        return CreateTopicsResponse {
            topics: wanted
                .into_iter()
                .map(|each| refusal(each.topic.name, &refused))
                .collect(),
            ..CreateTopicsResponse::default()
        };
    }
    let judged = judge_all(call, wanted).await;
    let made = match mode {
        Mode::Judge => check_collisions(&context.metadata.catalogue(), judged),
        Mode::Do => make_all(call, request.timeout_ms, judged).await,
    };
    // Only now, for they are large: nothing is waited for any longer, but for others' turns.
    let mut topics = Vec::with_capacity(made.len());
    for (name, made) in made {
        turns.pass(1).await;
        topics.push(match made {
            Ok(made) => {
                let shown = call.allow(Resource::Topic(&made.name), Operation::DescribeConfigs);
                result(&made, mode, shown)
            }
            Err(refused) => refusal(name, &refused),
        });
    }
    CreateTopicsResponse {
        topics,
        ..CreateTopicsResponse::default()
    }
}

/// Where too many are named.
async fn refuse_all(
    call: &Call,
    topics: Vec<CreatableTopic>,
    refused: Refused,
) -> CreateTopicsResponse {
    let bytes = topics.iter().map(|topic| topic_bytes(topic.name.len()));
    call.charge(bytes.sum()).await;
    let refused = topics
        .into_iter()
        .map(|topic| refusal(topic.name, &refused));
    CreateTopicsResponse {
        topics: refused.collect(),
        ..CreateTopicsResponse::default()
    }
}

/// A topic's name, and what is to be made of it. What else was said of it is not kept while it is made.
type Judged = (String, Result<CreateTopic, Refused>);

/// What a topic takes at the most: with all its settings where it may be made, which are in the command and in the answer.
fn bytes(topic: &CreatableTopic) -> usize {
    let given = topic.configs.iter();
    let given =
        given.map(|config| config.name.len() + config.value.as_ref().map_or(0, String::len));
    let given: usize = given.sum();
    let settings = match topic_name::check_new(&topic.name) {
        Ok(()) => SETTINGS.len() * (size_of::<CreatableTopicConfigs>() + SETTING_BYTES) + 4 * given,
        Err(_) => 0,
    };
    topic_bytes(topic.name.len()) + settings
}

/// A topic of the request, and how often it was named.
#[derive(Debug, PartialEq)]
struct Named {
    topic: CreatableTopic,
    times: usize,
    allowed: Result<(), Refused>,
}

/// Once in the response, however often in the request.
async fn once_each(topics: Vec<CreatableTopic>) -> Vec<Named> {
    let mut all: Vec<Named> = Vec::with_capacity(topics.len());
    let mut places = HashMap::new();
    let mut turns = Turns::default();
    for topic in topics {
        turns.pass(1).await;
        let place = *places.entry(topic.name.clone()).or_insert(all.len());
        match all.get_mut(place) {
            Some(named) => named.times += 1,
            None => all.push(Named {
                topic,
                times: 1,
                allowed: Ok(()),
            }),
        }
    }
    all
}

async fn judge_all(call: &Call, wanted: Vec<Named>) -> Vec<Judged> {
    let context = call.context.as_ref();
    let catalogue = context.metadata.catalogue();
    let judge = |named: &Named| {
        if named.times > 1 {
            let message = format!("the topic is named {} times", named.times);
            return refuse(ErrorCode::INVALID_REQUEST, message);
        }
        named.allowed.clone()?;
        let id = topic_id::fresh(&context.random);
        check(&catalogue, &context.topics, id, &named.topic)
    };
    let mut turns = Turns::default();
    let mut judged = Vec::with_capacity(wanted.len());
    for named in wanted {
        turns.pass(1).await;
        let create = judge(&named);
        judged.push((named.topic.name, create));
    }
    judged
}

/// The sequencer does, where it is asked.
fn check_collisions(catalogue: &Catalogue, judged: Vec<Judged>) -> Vec<Judged> {
    let names = metric_names(catalogue);
    let checked = judged.into_iter().map(|(name, create)| {
        let create = create.and_then(|create| {
            check_collision(&names, &create.name)?;
            Ok(create)
        });
        (name, create)
    });
    checked.collect()
}

async fn make_all(call: &Call, timeout_ms: i32, judged: Vec<Judged>) -> Vec<Judged> {
    let command = |create: &CreateTopic| Command::CreateTopic(create.clone());
    let done = changes::submit(call, (timeout_ms, QUOTA_SINCE), judged, command).await;
    let refused = PartitionsRefused::new(&call.context);
    let made = done.into_iter().map(|(name, done)| {
        let made = done.and_then(|(create, outcome)| match outcome {
            Outcome::TopicCreated(_) => Ok(create),
            Outcome::Rejected(why) => Err(refused.rejected(why, create.partitions)),
            _ => Err(unexpected()),
        });
        (name, made)
    });
    made.collect()
}

fn refusal(name: String, (error_code, message): &Refused) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: *error_code,
        error_message: Some(message.clone()),
        ..CreatableTopicResult::default()
    }
}

/// Kafka refuses a request as a whole that asks for too much, before it looks at any topic.
fn check_total(defaults: &TopicDefaults, wanted: &[Named]) -> Result<(), Refused> {
    let partitions = |topic: &CreatableTopic| match (topic.assignments.len(), topic.num_partitions)
    {
        (0, -1) => i64::from(defaults.partitions),
        (0, count) => i64::from(count.max(0)),
        (assigned, _) => i64::try_from(assigned).unwrap_or(i64::MAX),
    };
    let once = (wanted.iter()).filter(|named| named.times == 1 && named.allowed.is_ok());
    let total: i64 = once.map(|named| partitions(&named.topic)).sum();
    if total > REQUEST_PARTITIONS_MAX {
        let message = format!(
            "{total} partitions are too many for one request: it may ask for {REQUEST_PARTITIONS_MAX}"
        );
        return refuse(ErrorCode::POLICY_VIOLATION, message);
    }
    Ok(())
}

fn result(created: &CreateTopic, mode: Mode, shown: Result<(), ErrorCode>) -> CreatableTopicResult {
    let topic_id = match mode {
        Mode::Do => Uuid(created.id.0),
        // There is no topic that could have the id.
        Mode::Judge => Uuid::default(),
    };
    if let Err(topic_config_error_code) = shown {
        return CreatableTopicResult {
            name: created.name.clone(),
            topic_id,
            topic_config_error_code,
            configs: Some(Vec::new()),
            ..CreatableTopicResult::default()
        };
    }
    let configs = SETTINGS.iter().map(|setting| {
        let set = created.configs.get(setting.name);
        CreatableTopicConfigs {
            name: setting.name.to_owned(),
            value: Some(set.map_or(setting.default, String::as_str).to_owned()),
            read_only: false,
            config_source: match set {
                Some(_) => source::TOPIC,
                None => source::DEFAULT,
            },
            is_sensitive: false,
        }
    });
    CreatableTopicResult {
        name: created.name.clone(),
        topic_id,
        num_partitions: created.partitions,
        replication_factor: created.replication_factor,
        configs: Some(configs.collect()),
        ..CreatableTopicResult::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::new_topic::tests::{assigned, topic};
    use super::*;
    use crate::context::AutoCreate;

    #[test]
    fn a_request_may_make_ten_thousand_partitions() {
        let defaults = TopicDefaults {
            auto_create: AutoCreate::Disabled,
            partitions: 5_000,
        };
        let total = |topics: Vec<CreatableTopic>| {
            let named = topics.into_iter().map(|topic| Named {
                topic,
                times: 1,
                allowed: Ok(()),
            });
            check_total(&defaults, &named.collect::<Vec<_>>()).map_err(|(code, _)| code)
        };
        let four = assigned(&[(0, &[1]), (1, &[1]), (2, &[1]), (3, &[1])]);
        assert_eq!(total(vec![topic(10_000, 1), topic(i32::MIN, 1)]), Ok(()));
        assert_eq!(
            total(vec![topic(-1, 1), topic(4_996, 1), four.clone()]),
            Ok(())
        );
        for many in [
            vec![topic(10_001, 1)],
            vec![topic(i32::MAX, 1), topic(i32::MAX, 1)],
            vec![topic(-1, 1), topic(4_997, 1), four],
        ] {
            assert_eq!(total(many), Err(ErrorCode::POLICY_VIOLATION));
        }
    }

    #[tokio::test]
    async fn a_name_given_twice_is_answered_once() {
        let other = CreatableTopic {
            name: "u".to_owned(),
            ..topic(1, 1)
        };
        let named = once_each(vec![topic(1, 1), other, topic(2, 2), topic(3, 3)]).await;
        let counts: Vec<_> = named
            .iter()
            .map(|n| (n.topic.name.as_str(), n.times))
            .collect();
        assert_eq!(counts, [("t", 3), ("u", 1)]);
    }
}
