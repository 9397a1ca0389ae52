//! Settings, and requests that only ask what would be.

use protocol::ErrorCode;
use protocol::messages::CreateTopicsRequest;
use protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};

use super::{all, create, refused, request, topic, versions};
use crate::shapes::start;

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
