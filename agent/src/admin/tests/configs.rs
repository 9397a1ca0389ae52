//! What is told of settings, and how words of clients are repeated.

use std::future::poll_fn;

use super::*;

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
pub(super) async fn described(
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

/// A worker of the runtime was theirs for as long as it takes to look at all of them.
#[tokio::test]
async fn who_asks_for_the_settings_of_very_many_lets_others_have_their_turn() {
    with_context(AutoCreate::Disabled, async |context| {
        let call = call(context, ApiKey::DescribeConfigs, 4).await;
        let request = settings_of((0..10_000).map(|number| format!("{number}")));
        let mut asked = Box::pin(describe_configs::handle(&call, request));
        let mut turns = 0;
        let told = poll_fn(|cx| {
            turns += 1;
            asked.as_mut().poll(cx)
        });
        told.await;
        assert!(turns >= 100, "{turns}");
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
