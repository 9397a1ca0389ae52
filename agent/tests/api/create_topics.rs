//! CreateTopics: names, sizes, assignments and settings at Kafka's limits and past them.

use std::collections::BTreeMap;

use protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult,
};
use protocol::messages::{CreateTopicsRequest, MetadataRequest};
use protocol::{ApiKey, ErrorCode, Uuid};

use crate::shapes::start;
use crate::support::client::{Client, batch};

fn versions() -> std::ops::RangeInclusive<i16> {
    ApiKey::CreateTopics.versions()
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic {
        name: name.to_owned(),
        num_partitions,
        replication_factor,
        ..Default::default()
    }
}

fn assigned(name: &str, places: &[(i32, &[i32])]) -> CreatableTopic {
    let assignments =
        places
            .iter()
            .map(|(partition_index, broker_ids)| CreatableReplicaAssignment {
                partition_index: *partition_index,
                broker_ids: broker_ids.to_vec(),
            });
    CreatableTopic {
        assignments: assignments.collect(),
        ..topic(name, -1, -1)
    }
}

fn configured(name: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
        name: (*name).to_owned(),
        value: value.map(str::to_owned),
    });
    CreatableTopic {
        configs: configs.collect(),
        ..topic(name, 1, 1)
    }
}

fn request(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest {
        topics,
        timeout_ms: 30_000,
        validate_only: false,
    }
}

async fn create(client: &mut Client, version: i16, topic: CreatableTopic) -> CreatableTopicResult {
    let name = topic.name.clone();
    let mut response = client.ask(version, &request(vec![topic])).await;
    assert_eq!(
        (response.topics.len(), &response.topics[0].name),
        (1, &name)
    );
    response.topics.remove(0)
}

/// Refused for that reason, with a sentence, in every version; and not made.
async fn refused(client: &mut Client, topic: &CreatableTopic, code: ErrorCode) {
    let what: String = format!("{topic:?}").chars().take(300).collect();
    for version in versions() {
        let result = create(client, version, topic.clone()).await;
        assert_eq!(result.error_code, code, "{what} in {version}");
        let message = result.error_message.unwrap_or_default();
        assert!(message.contains(' '), "a sentence, not {message:?}");
        assert_eq!(
            (result.num_partitions, result.topic_id),
            (-1, Uuid::default()),
            "{what}"
        );
    }
    assert!(
        !all(client).await.contains_key(&topic.name),
        "{what} was made all the same"
    );
}

/// Every topic and its number of partitions.
async fn all(client: &mut Client) -> BTreeMap<String, usize> {
    let everything = MetadataRequest {
        topics: None,
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let response = client.ask(12, &everything).await;
    let named = response
        .topics
        .into_iter()
        .map(|topic| (topic.name.expect("a name"), topic.partitions.len()));
    named.collect()
}

#[tokio::test]
async fn a_new_topic_is_there_at_once_in_every_version() {
    let (broker, mut client) = start(&[]).await;
    let mut other = Client::connect(broker.listen).await;
    for version in versions() {
        let name = format!("in-{version}");
        let result = create(&mut client, version, topic(&name, 3, 2)).await;
        assert_eq!(
            (result.error_code, &result.error_message),
            (ErrorCode::NONE, &None)
        );
        if version >= 5 {
            assert_eq!(
                (result.num_partitions, result.replication_factor),
                (3, 2),
                "as asked for"
            );
            assert!(result.configs.is_some_and(|configs| configs.len() > 20));
        }
        assert_eq!(result.topic_id != Uuid::default(), version >= 7);
        // No sleep, and through another connection (section 5, 43).
        assert_eq!(
            other.produce(&name, 2, batch(&["a"])).await.error_code,
            ErrorCode::NONE
        );
        assert_eq!(all(&mut other).await.get(&name), Some(&3));
        let again = create(&mut other, version, topic(&name, 1, 1)).await;
        assert_eq!(again.error_code, ErrorCode::TOPIC_ALREADY_EXISTS);
        assert!(
            again
                .error_message
                .is_some_and(|message| message.contains(&name))
        );
        assert_eq!(
            all(&mut other).await.get(&name),
            Some(&3),
            "it is as it was"
        );
    }
}

#[tokio::test]
async fn names_are_lawful_up_to_249_characters() {
    let (_broker, mut client) = start(&["--auto-create-topics-enable", "false"]).await;
    for name in ["a", "...", "-", "_", "A.b_c-9", "__mine", &"x".repeat(249)] {
        let result = create(&mut client, 7, topic(name, 1, 1)).await;
        assert_eq!(result.error_code, ErrorCode::NONE, "{name}");
        assert_eq!(
            client.produce(name, 0, batch(&["a"])).await.base_offset,
            0,
            "{name}"
        );
    }
    for name in [
        "",
        ".",
        "..",
        "a b",
        "a/b",
        "a\\b",
        "a:b",
        "a,b",
        "a\0b",
        "a\nb",
        "*",
        "gr\u{fc}n",
        "\u{430}",
        &"x".repeat(250),
        &"x".repeat(32_767),
    ] {
        refused(
            &mut client,
            &topic(name, 1, 1),
            ErrorCode::INVALID_TOPIC_EXCEPTION,
        )
        .await;
    }
}

#[tokio::test]
async fn names_that_differ_in_dots_and_underscores_alone_collide() {
    let (_broker, mut client) = start(&[]).await;
    for name in ["a.b", "c_d", "plain"] {
        assert_eq!(
            create(&mut client, 7, topic(name, 1, 1)).await.error_code,
            ErrorCode::NONE
        );
    }
    for name in ["a_b", "c.d"] {
        refused(
            &mut client,
            &topic(name, 1, 1),
            ErrorCode::INVALID_TOPIC_EXCEPTION,
        )
        .await;
    }
    let exists = create(&mut client, 7, topic("a.b", 1, 1)).await;
    assert_eq!(exists.error_code, ErrorCode::TOPIC_ALREADY_EXISTS);
    // Two in one request: the first is made.
    let response = client
        .ask(7, &request(vec![topic("x.y", 1, 1), topic("x_y", 1, 1)]))
        .await;
    let codes: Vec<_> = response
        .topics
        .iter()
        .map(|topic| topic.error_code)
        .collect();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::INVALID_TOPIC_EXCEPTION]);
}

#[tokio::test]
async fn kafkas_internal_topics_are_nobodys_to_make() {
    let (_broker, mut client) = start(&[]).await;
    for name in ["__consumer_offsets", "__transaction_state"] {
        refused(
            &mut client,
            &topic(name, 1, 1),
            ErrorCode::INVALID_TOPIC_EXCEPTION,
        )
        .await;
    }
}

#[tokio::test]
async fn numbers_of_partitions_are_judged() {
    let (broker, mut client) = start(&["--num-partitions", "7"]).await;
    for partitions in [0, -2, -1000, i32::MIN] {
        refused(
            &mut client,
            &topic("t", partitions, 1),
            ErrorCode::INVALID_PARTITIONS,
        )
        .await;
    }
    for partitions in [10_001, 100_000, i32::MAX] {
        refused(
            &mut client,
            &topic("t", partitions, 1),
            ErrorCode::POLICY_VIOLATION,
        )
        .await;
    }
    let default = create(&mut client, 7, topic("default", -1, -1)).await;
    assert_eq!(
        (
            default.error_code,
            default.num_partitions,
            default.replication_factor
        ),
        (ErrorCode::NONE, 7, 1)
    );
    let before = broker.resident();
    let many = create(&mut client, 7, topic("many", 10_000, 1)).await;
    assert_eq!(
        (many.error_code, many.num_partitions),
        (ErrorCode::NONE, 10_000)
    );
    assert_eq!(all(&mut client).await.get("many"), Some(&10_000));
    for index in [0, 4_999, 9_999] {
        assert_eq!(
            client
                .produce("many", index, batch(&["a"]))
                .await
                .base_offset,
            0
        );
        assert_eq!(client.fetch("many", index, 0).await.high_watermark, 1);
    }
    let unknown = client.produce("many", 10_000, batch(&["a"])).await;
    assert_eq!(unknown.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for 10,000 partitions");
}

#[tokio::test]
async fn a_request_for_too_many_partitions_makes_none_of_them() {
    let (_broker, mut client) = start(&[]).await;
    let two = || vec![topic("a", 5_000, 1), topic("b", 5_000, 1)];
    for version in versions() {
        let topics = [two(), vec![topic("c", 1, 1), topic("a/b", 1, 1)]].concat();
        let response = client.ask(version, &request(topics)).await;
        let codes: Vec<_> = response
            .topics
            .iter()
            .map(|topic| topic.error_code)
            .collect();
        assert_eq!(
            codes,
            [ErrorCode::POLICY_VIOLATION; 4],
            "Kafka's order of checks"
        );
    }
    assert_eq!(all(&mut client).await.len(), 0);
    let response = client.ask(7, &request(two())).await;
    assert!(
        response
            .topics
            .iter()
            .all(|topic| topic.error_code == ErrorCode::NONE)
    );
    assert_eq!(all(&mut client).await.len(), 2);
}

#[tokio::test]
async fn any_positive_replication_factor_is_taken() {
    let (_broker, mut client) = start(&[]).await;
    for factor in [1, 2, 3, 32_767] {
        let result = create(&mut client, 7, topic(&format!("t{factor}"), 1, factor)).await;
        assert_eq!(
            (result.error_code, result.replication_factor),
            (ErrorCode::NONE, factor)
        );
    }
    for factor in [0, -2, i16::MIN] {
        refused(
            &mut client,
            &topic("t", 1, factor),
            ErrorCode::INVALID_REPLICATION_FACTOR,
        )
        .await;
    }
}

#[tokio::test]
async fn assignments_by_hand_are_checked_and_counted() {
    let (_broker, mut client) = start(&[]).await;
    for version in versions() {
        let name = format!("in-{version}");
        let result = create(
            &mut client,
            version,
            assigned(&name, &[(1, &[1]), (0, &[1]), (2, &[1])]),
        )
        .await;
        assert_eq!(
            result.error_code,
            ErrorCode::NONE,
            "{:?}",
            result.error_message
        );
        assert_eq!(all(&mut client).await.get(&name), Some(&3));
    }
    for bad in [
        assigned("t", &[(1, &[1])]),
        assigned("t", &[(0, &[1]), (2, &[1])]),
        assigned("t", &[(0, &[1]), (0, &[1])]),
        assigned("t", &[(-1, &[1])]),
        assigned("t", &[(0, &[])]),
        assigned("t", &[(0, &[1, 1])]),
        assigned("t", &[(0, &[1]), (1, &[1, 2])]),
    ] {
        refused(&mut client, &bad, ErrorCode::INVALID_REPLICA_ASSIGNMENT).await;
    }
    let numbers = CreatableTopic {
        num_partitions: 1,
        ..assigned("t", &[(0, &[1])])
    };
    refused(&mut client, &numbers, ErrorCode::INVALID_REQUEST).await;
    let factor = CreatableTopic {
        replication_factor: 1,
        ..assigned("t", &[(0, &[1])])
    };
    refused(&mut client, &factor, ErrorCode::INVALID_REQUEST).await;
}

#[tokio::test]
async fn settings_are_known_and_within_their_bounds_or_refused() {
    let (_broker, mut client) = start(&[]).await;
    for (name, value) in [
        ("no.such.setting", Some("1")),
        ("", Some("1")),
        ("Retention.ms", Some("1")),
        ("message.format.version", Some("2.8")),
        ("retention.ms", Some("-2")),
        ("retention.ms", Some("")),
        ("retention.ms", Some("9223372036854775808")),
        ("retention.ms", Some("1.5")),
        ("retention.ms", None),
        ("max.message.bytes", Some("-1")),
        ("max.message.bytes", Some("2147483648")),
        ("cleanup.policy", Some("shred")),
        ("cleanup.policy", Some("delete,shred")),
        ("compression.type", Some("brotli")),
        ("message.timestamp.type", Some("createtime")),
        ("min.cleanable.dirty.ratio", Some("1.1")),
        ("preallocate", Some("maybe")),
        ("min.insync.replicas", Some("0")),
    ] {
        refused(
            &mut client,
            &configured("t", &[(name, value)]),
            ErrorCode::INVALID_CONFIG,
        )
        .await;
    }
    let twice = configured(
        "t",
        &[("retention.ms", Some("1")), ("retention.ms", Some("2"))],
    );
    refused(&mut client, &twice, ErrorCode::INVALID_CONFIG).await;
    let many: Vec<_> = (0..)
        .map_while(|index| CONFIGS.get(index).map(|(k, v)| (*k, Some(*v))))
        .collect();
    let result = create(&mut client, 7, configured("good", &many)).await;
    assert_eq!(
        result.error_code,
        ErrorCode::NONE,
        "{:?}",
        result.error_message
    );
    let echoed = result.configs.expect("they are echoed");
    for (name, value) in CONFIGS {
        let config = echoed
            .iter()
            .find(|config| config.name == name)
            .expect(name);
        assert_eq!(
            (config.value.as_deref(), config.config_source),
            (Some(value), 1),
            "{name}"
        );
    }
    let retention = echoed
        .iter()
        .find(|config| config.name == "retention.ms")
        .expect("every setting");
    assert_eq!(
        (retention.value.as_deref(), retention.config_source),
        (Some("604800000"), 5)
    );
}

const CONFIGS: [(&str, &str); 6] = [
    ("cleanup.policy", "delete,compact"),
    ("compression.type", "zstd"),
    ("max.message.bytes", "2000000"),
    ("message.timestamp.type", "LogAppendTime"),
    ("min.insync.replicas", "2"),
    ("retention.bytes", "-1"),
];

#[tokio::test]
async fn judging_alone_makes_nothing() {
    let (_broker, mut client) = start(&[]).await;
    create(&mut client, 7, topic("there", 1, 1)).await;
    for version in versions() {
        let topics = vec![
            topic("t", 3, 1),
            topic("there", 1, 1),
            topic("a/b", 1, 1),
            topic("t2", 0, 1),
            configured("t3", &[("no.such.setting", Some("1"))]),
        ];
        let judge = CreateTopicsRequest {
            validate_only: true,
            ..request(topics)
        };
        let response = client.ask(version, &judge).await;
        let codes: Vec<_> = response
            .topics
            .iter()
            .map(|topic| topic.error_code)
            .collect();
        assert_eq!(
            codes,
            [
                ErrorCode::NONE,
                ErrorCode::TOPIC_ALREADY_EXISTS,
                ErrorCode::INVALID_TOPIC_EXCEPTION,
                ErrorCode::INVALID_PARTITIONS,
                ErrorCode::INVALID_CONFIG,
            ]
        );
        assert_eq!(
            response.topics[0].num_partitions,
            if version >= 5 { 3 } else { -1 }
        );
        assert_eq!(all(&mut client).await.len(), 1, "nothing was made");
    }
}

#[tokio::test]
async fn a_name_given_twice_is_refused_once_and_the_rest_is_made() {
    let (_broker, mut client) = start(&[]).await;
    for version in versions() {
        let good = format!("good-{version}");
        let topics = vec![
            topic("twice", 1, 1),
            topic(&good, 2, 1),
            topic("twice", 1, 1),
            topic("a b", 1, 1),
        ];
        let response = client.ask(version, &request(topics)).await;
        let mut codes: Vec<_> = response
            .topics
            .iter()
            .map(|topic| (&*topic.name, topic.error_code))
            .collect();
        codes.sort();
        let mut expected = [
            ("twice", ErrorCode::INVALID_REQUEST),
            (&*good, ErrorCode::NONE),
            ("a b", ErrorCode::INVALID_TOPIC_EXCEPTION),
        ];
        expected.sort();
        assert_eq!(codes, expected);
        let there = all(&mut client).await;
        assert!(there.contains_key(&good) && !there.contains_key("twice"));
    }
}

#[tokio::test]
async fn a_request_may_make_nothing_or_ten_thousand() {
    let (_broker, mut client) = start(&[]).await;
    for version in versions() {
        assert_eq!(client.ask(version, &request(Vec::new())).await.topics, []);
    }
    // With letters that are compared with those of every other name.
    let many = |prefix: &str| {
        let topics = (0..10_000).map(|index| topic(&format!("{prefix}of_many_{index}"), 1, 1));
        request(topics.collect())
    };
    let response = client.ask(7, &many("a.topic.")).await;
    assert!(
        response
            .topics
            .iter()
            .all(|topic| topic.error_code == ErrorCode::NONE)
    );
    let judge = |prefix| CreateTopicsRequest {
        validate_only: true,
        ..many(prefix)
    };
    for (prefix, code) in [
        ("a_topic_", ErrorCode::INVALID_TOPIC_EXCEPTION),
        ("another.topic_", ErrorCode::NONE),
    ] {
        let response = client.ask(7, &judge(prefix)).await;
        assert!(
            response.topics.iter().all(|topic| topic.error_code == code),
            "{prefix}"
        );
    }
    assert_eq!(all(&mut client).await.len(), 10_000);
}
