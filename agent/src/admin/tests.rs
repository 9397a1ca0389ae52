//! A topic's life, over metadata in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metadata::{Command, CommitObject, CreateTopic, ObjectKey, Outcome, TopicId};
use parking_lot::Mutex;
use protocol::messages::create_partitions::CreatePartitionsTopic;
use protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::delete_topics::DeleteTopicState;
use protocol::messages::describe_configs::{DescribeConfigsResource, DescribeConfigsResult};
use protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DescribeConfigsRequest,
};
use protocol::{ApiKey, Elements, ErrorCode, Uuid, decode_response};
use tokio::time::{Instant, timeout};

use super::configs_told::{Described, Detail, Size};
use super::{create_partitions, create_topics, delete_topics, describe_configs};
use crate::call::Call;
use crate::context::{AutoCreate, Context};
use crate::discovery::fixture::{call, crowded_call, with_context, with_silent_metadata};

fn topic(name: &str) -> CreatableTopic {
    CreatableTopic {
        name: name.to_owned(),
        num_partitions: 2,
        replication_factor: 3,
        configs: vec![CreatableTopicConfig {
            name: "cleanup.policy".to_owned(),
            value: Some("compact".to_owned()),
        }],
        ..CreatableTopic::default()
    }
}

async fn create(
    context: &Arc<Context>,
    topics: Vec<CreatableTopic>,
    validate_only: bool,
) -> CreateTopicsResponse {
    let request = CreateTopicsRequest {
        topics,
        validate_only,
        ..CreateTopicsRequest::default()
    };
    create_topics::handle(&call(context, ApiKey::CreateTopics, 7).await, request).await
}

fn codes(response: &CreateTopicsResponse) -> Vec<ErrorCode> {
    response.topics.iter().map(|t| t.error_code).collect()
}

#[tokio::test]
async fn a_topic_is_made_once_with_what_was_asked() {
    with_context(AutoCreate::Disabled, async |context| {
        let judged = create(context, vec![topic("a.b")], true).await;
        assert_eq!(codes(&judged), [ErrorCode::NONE]);
        assert_eq!(judged.topics[0].topic_id, Uuid(0));
        assert!(context.metadata.catalogue().topics().next().is_none());

        let made = create(context, vec![topic("a.b")], false).await;
        let made = &made.topics[0];
        assert_eq!(made.error_code, ErrorCode::NONE);
        assert_eq!((made.num_partitions, made.replication_factor), (2, 3));
        let catalogue = context.metadata.catalogue();
        assert_eq!(Uuid(catalogue.topic("a.b").unwrap().id.0), made.topic_id);
        let configs = made.configs.as_ref().unwrap();
        let policy = configs.iter().find(|c| c.name == "cleanup.policy").unwrap();
        assert_eq!(policy.value.as_deref(), Some("compact"));
        assert_eq!(policy.config_source, 1);
        assert_eq!(
            configs.iter().filter(|c| c.config_source == 5).count(),
            configs.len() - 1
        );

        for judge in [true, false] {
            let again = create(context, vec![topic("a.b"), topic("a_b")], judge).await;
            let refused = [
                ErrorCode::TOPIC_ALREADY_EXISTS,
                ErrorCode::INVALID_TOPIC_EXCEPTION,
            ];
            assert_eq!(codes(&again), refused);
        }
    })
    .await;
}

#[tokio::test]
async fn two_topics_of_a_request_that_collide_are_told_apart_by_the_sequencer() {
    with_context(AutoCreate::Disabled, async |context| {
        let made = create(context, vec![topic("a.b"), topic("a_b")], false).await;
        assert_eq!(
            codes(&made),
            [ErrorCode::NONE, ErrorCode::INVALID_TOPIC_EXCEPTION]
        );
        let made = create(context, vec![topic("c"), topic("d"), topic("c")], false).await;
        assert_eq!(codes(&made), [ErrorCode::INVALID_REQUEST, ErrorCode::NONE]);
        assert!(context.metadata.catalogue().topic("c").is_none());
    })
    .await;
}

#[tokio::test]
async fn partitions_are_added() {
    with_context(AutoCreate::Disabled, async |context| {
        create(context, vec![topic("a")], false).await;
        let wanted = |name: &str, count| CreatePartitionsTopic {
            name: name.to_owned(),
            count,
            assignments: None,
        };
        for (judge, count, code, after) in [
            (true, 5, ErrorCode::NONE, 2),
            (false, 5, ErrorCode::NONE, 5),
            (false, 5, ErrorCode::INVALID_PARTITIONS, 5),
        ] {
            let request = CreatePartitionsRequest {
                topics: vec![
                    wanted("a", count),
                    wanted("b", 1),
                    wanted("c", 1),
                    wanted("c", 1),
                ],
                validate_only: judge,
                ..CreatePartitionsRequest::default()
            };
            let response = create_partitions::handle(
                &call(context, ApiKey::CreatePartitions, 3).await,
                request,
            )
            .await;
            let codes: Vec<_> = response.results.iter().map(|r| r.error_code).collect();
            let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            assert_eq!(codes, [code, unknown, ErrorCode::INVALID_REQUEST]);
            let catalogue = context.metadata.catalogue();
            assert_eq!(catalogue.topic("a").unwrap().partitions, after);
        }
    })
    .await;
}

async fn delete(context: &Arc<Context>, topics: &[(Option<&str>, u128)]) -> Vec<ErrorCode> {
    let topics = topics.iter().map(|(name, id)| DeleteTopicState {
        name: name.map(str::to_owned),
        topic_id: Uuid(*id),
    });
    let request = DeleteTopicsRequest {
        topics: topics.collect(),
        ..DeleteTopicsRequest::default()
    };
    let response =
        delete_topics::handle(&call(context, ApiKey::DeleteTopics, 6).await, request).await;
    response.responses.iter().map(|r| r.error_code).collect()
}

#[tokio::test]
async fn topics_go_by_name_or_id_but_only_if_meant_once() {
    with_context(AutoCreate::Disabled, async |context| {
        let names = ["a", "b", "c"];
        let made = create(context, names.map(topic).into(), false).await;
        let ids: Vec<u128> = made.topics.iter().map(|t| t.topic_id.0).collect();
        let invalid = ErrorCode::INVALID_REQUEST;
        let unclear = [
            (None, 0),
            (Some("a"), ids[0]),
            (Some("b"), 0),
            (None, ids[1]),
        ];
        assert_eq!(delete(context, &unclear).await, [invalid; 4]);
        assert_eq!(context.metadata.catalogue().topics().count(), 3);

        let clear = [(Some("a"), 0), (None, ids[1]), (Some("x"), 0), (None, 99)];
        let outcomes = [
            ErrorCode::NONE,
            ErrorCode::NONE,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::UNKNOWN_TOPIC_ID,
        ];
        assert_eq!(delete(context, &clear).await, outcomes);
        let old = DeleteTopicsRequest {
            topic_names: vec!["c".to_owned()],
            ..DeleteTopicsRequest::default()
        };
        let response =
            delete_topics::handle(&call(context, ApiKey::DeleteTopics, 1).await, old).await;
        assert_eq!(response.responses[0].name.as_deref(), Some("c"));
        assert_eq!(response.responses[0].error_code, ErrorCode::NONE);
        assert_eq!(context.metadata.catalogue().topics().count(), 0);
    })
    .await;
}

async fn describe(
    context: &Arc<Context>,
    kind: i8,
    name: &str,
    keys: &[&str],
) -> DescribeConfigsResult {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configuration_keys: Some(keys.iter().map(|key| (*key).to_owned()).collect()),
        }],
        include_synonyms: true,
        include_documentation: true,
    };
    let mut results = described(context, request).await;
    assert_eq!(results.len(), 1);
    results.remove(0)
}

/// As a client reads them.
async fn described(
    context: &Arc<Context>,
    request: DescribeConfigsRequest,
) -> Vec<DescribeConfigsResult> {
    let call = call(context, ApiKey::DescribeConfigs, 4).await;
    let response = describe_configs::handle(&call, request).await;
    let slices = call.reply::<DescribeConfigsRequest>(response).slices;
    let frame = Bytes::from(slices.concat()).split_off(4);
    let response = decode_response::<DescribeConfigsRequest>(4, frame);
    response.unwrap().1.results
}

fn settings_of(names: impl Iterator<Item = String>) -> DescribeConfigsRequest {
    let resource = |resource_name| DescribeConfigsResource {
        resource_type: 2,
        resource_name,
        configuration_keys: None,
    };
    DescribeConfigsRequest {
        resources: names.map(resource).collect(),
        include_synonyms: true,
        include_documentation: true,
    }
}

#[tokio::test]
async fn a_topic_that_is_named_sixty_thousand_times_is_described_once() {
    with_context(AutoCreate::Disabled, async |context| {
        create(context, vec![topic("a")], false).await;
        let names = (0..60_000).map(|_| "a".to_owned());
        let results = described(context, settings_of(names)).await;
        assert_eq!(results.len(), 1);
        // As many that are not there are each refused.
        let names = (0..60_000).map(|number| format!("{number}"));
        let results = described(context, settings_of(names)).await;
        assert_eq!(results.len(), 60_000);
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert!(results.iter().all(|each| each.error_code == unknown));
        assert_eq!(context.admission.answer_bytes(), 0);
    })
    .await;
}

#[tokio::test]
async fn settings_that_take_more_than_there_is_are_not_told() {
    with_context(AutoCreate::Disabled, async |context| {
        for id in 1..=900 {
            let mut configs = BTreeMap::new();
            let name = "follower.replication.throttled.replicas";
            configs.insert(name.to_owned(), "x".repeat(60_000));
            let create = CreateTopic {
                name: format!("t{id}"),
                id: TopicId(id),
                partitions: 1,
                replication_factor: 1,
                configs,
            };
            let made = context.metadata.submit(Command::CreateTopic(create)).await;
            assert_eq!(made.unwrap().outcome, Outcome::TopicCreated(TopicId(id)));
        }
        let named = |count: u32| settings_of((1..=count).map(|id| format!("t{id}")));
        let few = described(context, named(2)).await;
        assert!(few.iter().all(|each| each.error_code == ErrorCode::NONE));
        let all = described(context, named(900)).await;
        assert_eq!(all.len(), 900);
        for result in all {
            assert_eq!(result.error_code, ErrorCode::POLICY_VIOLATION);
            assert!(result.error_message.unwrap().contains("ask for less"));
            assert_eq!(result.configs, []);
        }
    })
    .await;
}

#[tokio::test]
async fn what_describing_takes_is_never_more_than_was_said_before() {
    with_context(AutoCreate::Disabled, async |context| {
        create(context, vec![topic("a")], false).await;
        let detail = Detail {
            version: 4,
            synonyms: true,
            documentation: true,
        };
        for detail in [
            detail,
            Detail {
                version: 1,
                ..detail
            },
            Detail {
                synonyms: false,
                ..detail
            },
            Detail {
                documentation: false,
                ..detail
            },
        ] {
            let size = Size::new(context, detail);
            for (name, keys) in [
                ("a", None),
                ("a", Some(vec!["cleanup.policy".to_owned()])),
                ("b", None),
            ] {
                let resource = DescribeConfigsResource {
                    resource_type: 2,
                    resource_name: name.to_owned(),
                    configuration_keys: keys,
                };
                let foreseen = size.of(&resource);
                let found = context.metadata.catalogue().topic(name).cloned();
                let found = found.map(Described::Topic);
                let found = found.ok_or((ErrorCode::UNKNOWN_SERVER_ERROR, "x".repeat(90)));
                let told = detail.result(resource, found);
                let encoded = Elements::size_of::<DescribeConfigsRequest>(detail.version, &told);
                assert!(encoded <= foreseen, "{detail:?}: {encoded} of {foreseen}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn settings_of_topics_say_where_they_come_from() {
    with_context(AutoCreate::Disabled, async |context| {
        create(context, vec![topic("a")], false).await;
        let all = describe(context, 2, "a", &[]).await;
        assert_eq!(all.configs.len(), crate::topic_config::SETTINGS.len());
        assert!(all.configs.iter().all(|c| c.documentation.is_some()));

        let some = describe(context, 2, "a", &["cleanup.policy", "retention.ms", "nope"]).await;
        let [policy, retention] = some.configs.as_slice() else {
            panic!("{some:?}");
        };
        assert_eq!(policy.value.as_deref(), Some("compact"));
        let sources = |c: &protocol::messages::describe_configs::DescribeConfigsResourceResult| {
            c.synonyms.iter().map(|s| s.source).collect::<Vec<_>>()
        };
        assert_eq!((policy.config_source, sources(policy)), (1, vec![1, 5]));
        assert_eq!((retention.config_source, sources(retention)), (5, vec![5]));

        for (kind, name, code) in [
            (2, "b", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (2, "", ErrorCode::INVALID_TOPIC_EXCEPTION),
            (8, "a", ErrorCode::INVALID_REQUEST),
        ] {
            assert_eq!(describe(context, kind, name, &[]).await.error_code, code);
        }
    })
    .await;
}

#[tokio::test]
async fn settings_of_the_broker_are_read_only() {
    with_context(AutoCreate::Enabled, async |context| {
        let broker = describe(context, 4, "7", &[]).await;
        assert_eq!(broker.error_code, ErrorCode::NONE);
        assert!(broker.configs.is_sorted_by(|a, b| a.name < b.name));
        assert!(
            broker
                .configs
                .iter()
                .all(|c| c.read_only && !c.synonyms.is_empty())
        );
        let value = |name: &str| {
            let config = broker.configs.iter().find(|c| c.name == name);
            config.and_then(|c| c.value.as_deref())
        };
        assert_eq!(value("auto.create.topics.enable"), Some("true"));
        assert_eq!(value("num.partitions"), Some("3"));
        assert_eq!(value("message.max.bytes"), Some("1048588"));
        assert_eq!(value("log.retention.ms"), Some("604800000"));

        assert_eq!(describe(context, 4, "", &[]).await.configs, []);
        for other in ["8", "seven"] {
            let refused = describe(context, 4, other, &[]).await;
            assert_eq!(refused.error_code, ErrorCode::INVALID_REQUEST);
        }
    })
    .await;
}

/// They are clients' own words, put into answers and from there into their logs.
#[tokio::test]
async fn what_was_asked_for_is_repeated_in_few_words_and_on_one_line() {
    with_context(AutoCreate::Disabled, async |context| {
        let long = "x\n\x1b[2J".repeat(5_000);
        let mut said = Vec::new();
        let mut wanted = topic("a");
        wanted.configs[0].value = Some(long.clone());
        let mut unknown = topic("b");
        unknown.configs[0].name.clone_from(&long);
        let made = create(context, vec![topic(&long), wanted, unknown], false).await;
        said.extend(made.topics.into_iter().map(|each| each.error_message));
        let grow = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: long.clone(),
                count: 1,
                assignments: None,
            }],
            ..CreatePartitionsRequest::default()
        };
        let grown = call(context, ApiKey::CreatePartitions, 3).await;
        let grown = create_partitions::handle(&grown, grow).await;
        said.extend(grown.results.into_iter().map(|each| each.error_message));
        let remove = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: Some(long.clone()),
                topic_id: Uuid(0),
            }],
            ..DeleteTopicsRequest::default()
        };
        let removed = call(context, ApiKey::DeleteTopics, 6).await;
        let removed = delete_topics::handle(&removed, remove).await;
        said.extend(removed.responses.into_iter().map(|it| it.error_message));
        for kind in [2, 4] {
            said.push(describe(context, kind, &long, &[]).await.error_message);
        }
        assert_eq!(said.len(), 7);
        for message in said {
            let message = message.unwrap();
            let is_one_line = !message.contains(char::is_control);
            assert!(is_one_line && message.len() < 500, "{message}");
        }
    })
    .await;
}

const TIMEOUT_MS: i32 = 3000;

/// What requests of each kind that changes topics are answered with, the first for each of `many` topics.
async fn change_all(many: usize, call: impl AsyncFn(ApiKey, i16) -> Call) -> Vec<ErrorCode> {
    let name = |number| format!("fresh-{number}");
    let request = CreateTopicsRequest {
        topics: (0..many).map(|number| topic(&name(number))).collect(),
        timeout_ms: TIMEOUT_MS,
        ..CreateTopicsRequest::default()
    };
    let create = call(ApiKey::CreateTopics, 7).await;
    let created = create_topics::handle(&create, request).await;
    let mut all = codes(&created);
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: "a".to_owned(),
            count: 5,
            assignments: None,
        }],
        timeout_ms: TIMEOUT_MS,
        ..CreatePartitionsRequest::default()
    };
    let grow = call(ApiKey::CreatePartitions, 3).await;
    let grown = create_partitions::handle(&grow, request).await;
    all.extend(grown.results.iter().map(|each| each.error_code));
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("a".to_owned()),
            topic_id: Uuid(0),
        }],
        timeout_ms: TIMEOUT_MS,
        ..DeleteTopicsRequest::default()
    };
    let remove = call(ApiKey::DeleteTopics, 6).await;
    let removed = delete_topics::handle(&remove, request).await;
    all.extend(removed.responses.iter().map(|each| each.error_code));
    assert_eq!(all.len(), many + 2);
    all
}

/// 256 topics after the other were waited for, whatever the client had said, and after it had left.
#[tokio::test(start_paused = true)]
async fn topics_are_not_changed_for_longer_than_the_request_may_take() {
    with_silent_metadata(make_one, async |context| {
        let began = Instant::now();
        let new = async |api, version| call(context, api, version).await;
        let changed = timeout(Duration::from_secs(100), change_all(1000, new)).await;
        let changed = changed.expect("it goes on and on");
        let code = ErrorCode::REQUEST_TIMED_OUT;
        assert!(changed.iter().all(|each| *each == code), "{changed:?}");
        assert!(began.elapsed() <= 3 * Duration::from_millis(3000));
    })
    .await;
}

/// Many that wait for metadata which does not answer would have all the room for requests.
#[tokio::test(start_paused = true)]
async fn topics_are_not_changed_where_too_many_wait_for_the_metadata() {
    with_silent_metadata(make_one, async |context| {
        let began = Instant::now();
        let crowds = Mutex::new(Vec::new());
        let crowded = async |api, version| {
            let (call, crowd) = crowded_call(context, api, version).await;
            crowds.lock().push(crowd);
            call
        };
        let changed = change_all(10, crowded).await;
        let code = ErrorCode::NOT_CONTROLLER;
        assert!(changed.iter().all(|each| *each == code), "{changed:?}");
        assert_eq!(began.elapsed(), Duration::ZERO);
    })
    .await;
}

/// Whatever their answers take: others need the room for it.
#[tokio::test(start_paused = true)]
async fn nothing_is_held_for_an_answer_while_topics_are_changed() {
    with_silent_metadata(make_one, async |context| {
        let names = (0..100).map(|number| topic(&format!("fresh-{number}")));
        let request = CreateTopicsRequest {
            topics: names.collect(),
            ..CreateTopicsRequest::default()
        };
        let call = call(context, ApiKey::CreateTopics, 7).await;
        let mut asked = Box::pin(create_topics::handle(&call, request));
        assert!(futures::poll!(&mut asked).is_pending());
        assert_eq!(context.admission.answer_bytes(), 0);
    })
    .await;
}

/// Each request of a client that hardly waits left its commands in the metadata's queue, until no commit found room there.
#[tokio::test(start_paused = true)]
async fn commits_find_room_however_many_changes_of_topics_are_given_up() {
    with_silent_metadata(make_one, async |context| {
        let mut told = Vec::new();
        for _ in 0..70 {
            let request = CreateTopicsRequest {
                topics: (0..256)
                    .map(|number| topic(&format!("t{number}")))
                    .collect(),
                timeout_ms: 1,
                ..CreateTopicsRequest::default()
            };
            let call = call(context, ApiKey::CreateTopics, 7).await;
            told = codes(&create_topics::handle(&call, request).await);
        }
        let again = ErrorCode::NOT_CONTROLLER;
        assert!(told.iter().all(|code| *code == again), "{told:?}");
        let commit = Command::CommitObject(CommitObject {
            object: ObjectKey(1),
            size: 1,
            blocks: Vec::new(),
        });
        let mut commit = Box::pin(context.metadata.submit(commit));
        assert!(futures::poll!(&mut commit).is_pending());
    })
    .await;
}

async fn make_one(context: &Arc<Context>) {
    let made = create(context, vec![topic("a")], false).await;
    assert_eq!(codes(&made), [ErrorCode::NONE]);
}
