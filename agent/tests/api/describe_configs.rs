//! DescribeConfigs: complete, with sources, types and synonyms, as tools that compare settings need it.

use std::collections::BTreeMap;

use protocol::messages::DescribeConfigsRequest;
use protocol::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
};
use protocol::{ApiKey, ErrorCode};

use crate::shapes::start;
use crate::support::client::Client;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from.
const SET: i8 = 1;
const BY_FLAG: i8 = 4;
const DEFAULT: i8 = 5;

const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const DOUBLE: i8 = 6;
const LIST: i8 = 7;

/// Kafka 4's topic settings with their defaults and types, and one of our own.
const KAFKAS: [(&str, &str, i8); 35] = [
    ("cleanup.policy", "delete", LIST),
    ("compression.gzip.level", "-1", INT),
    ("compression.lz4.level", "9", INT),
    ("compression.type", "producer", STRING),
    ("compression.zstd.level", "3", INT),
    ("delete.retention.ms", "86400000", LONG),
    ("file.delete.delay.ms", "60000", LONG),
    ("flush.messages", "9223372036854775807", LONG),
    ("flush.ms", "9223372036854775807", LONG),
    ("follower.replication.throttled.replicas", "", LIST),
    ("index.interval.bytes", "4096", INT),
    ("leader.replication.throttled.replicas", "", LIST),
    ("local.retention.bytes", "-2", LONG),
    ("local.retention.ms", "-2", LONG),
    ("max.compaction.lag.ms", "9223372036854775807", LONG),
    ("max.decompressed.message.bytes", "2147483639", INT),
    ("max.message.bytes", "1048588", INT),
    ("message.timestamp.after.max.ms", "3600000", LONG),
    (
        "message.timestamp.before.max.ms",
        "9223372036854775807",
        LONG,
    ),
    ("message.timestamp.type", "CreateTime", STRING),
    ("min.cleanable.dirty.ratio", "0.5", DOUBLE),
    ("min.compaction.lag.ms", "0", LONG),
    ("min.insync.replicas", "1", INT),
    ("penstock.trust.producers", "false", BOOLEAN),
    ("preallocate", "false", BOOLEAN),
    ("remote.log.copy.disable", "false", BOOLEAN),
    ("remote.log.delete.on.disable", "false", BOOLEAN),
    ("remote.storage.enable", "false", BOOLEAN),
    ("retention.bytes", "-1", LONG),
    ("retention.ms", "604800000", LONG),
    ("segment.bytes", "1073741824", INT),
    ("segment.index.bytes", "10485760", INT),
    ("segment.jitter.ms", "0", LONG),
    ("segment.ms", "604800000", LONG),
    ("unclean.leader.election.enable", "false", BOOLEAN),
];

/// What tools look at on a broker.
const OF_BROKERS: [&str; 14] = [
    "advertised.listeners",
    "auto.create.topics.enable",
    "broker.id",
    "broker.rack",
    "compression.type",
    "default.replication.factor",
    "delete.topic.enable",
    "log.cleanup.policy",
    "log.retention.bytes",
    "log.retention.ms",
    "message.max.bytes",
    "min.insync.replicas",
    "node.id",
    "num.partitions",
];

fn versions() -> std::ops::RangeInclusive<i16> {
    ApiKey::DescribeConfigs.versions()
}

fn resource(resource_type: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    DescribeConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
    }
}

async fn describe(
    client: &mut Client,
    version: i16,
    wanted: DescribeConfigsResource,
) -> DescribeConfigsResult {
    let request = DescribeConfigsRequest {
        resources: vec![wanted.clone()],
        include_synonyms: true,
        include_documentation: true,
    };
    let mut response = client.ask(version, &request).await;
    assert_eq!(response.results.len(), 1);
    let result = response.results.remove(0);
    assert_eq!(
        (result.resource_type, &result.resource_name),
        (wanted.resource_type, &wanted.resource_name)
    );
    result
}

fn by_name(result: &DescribeConfigsResult) -> BTreeMap<&str, &DescribeConfigsResourceResult> {
    let all: BTreeMap<_, _> = result
        .configs
        .iter()
        .map(|config| (config.name.as_str(), config))
        .collect();
    assert_eq!(all.len(), result.configs.len(), "no setting twice");
    all
}

#[tokio::test]
async fn every_setting_of_a_topic_is_described_in_every_version() {
    let (_broker, mut client) = start(&[]).await;
    let set = [
        ("cleanup.policy", "compact"),
        ("retention.ms", "1000"),
        ("max.message.bytes", "1048588"),
    ];
    client.create_topic("t", 1, &set).await;
    let set: BTreeMap<&str, &str> = set.into();
    for version in versions() {
        let result = describe(&mut client, version, resource(TOPIC, "t", None)).await;
        assert_eq!(
            (result.error_code, &result.error_message),
            (ErrorCode::NONE, &None)
        );
        let described = by_name(&result);
        let names: Vec<&str> = described.keys().copied().collect();
        assert_eq!(names, KAFKAS.map(|(name, ..)| name));
        for (name, default, kind) in KAFKAS {
            let config = described[name];
            let value = set.get(name).copied().unwrap_or(default);
            // Schema Registry and Connect want exactly `compact`.
            assert_eq!(config.value.as_deref(), Some(value), "{name}");
            let source = if set.contains_key(name) { SET } else { DEFAULT };
            assert_eq!(
                (config.config_source, config.read_only, config.is_sensitive),
                (source, false, false),
                "{name}"
            );
            let synonyms: Vec<_> = config
                .synonyms
                .iter()
                .map(|s| (s.value.as_deref(), s.source))
                .collect();
            let of_default = (Some(default), DEFAULT);
            if source == SET {
                assert_eq!(synonyms, [(Some(value), SET), of_default], "{name}");
            } else {
                assert_eq!(synonyms, [of_default], "{name}");
            }
            assert_eq!(
                config.config_type,
                if version >= 3 { kind } else { 0 },
                "{name}"
            );
            assert_eq!(config.documentation.is_some(), version >= 3, "{name}");
        }
    }
}

#[tokio::test]
async fn only_what_is_asked_for_is_described() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for version in versions() {
        let some = resource(
            TOPIC,
            "t",
            Some(&["retention.ms", "no.such.setting", "cleanup.policy"]),
        );
        let result = describe(&mut client, version, some).await;
        let names: Vec<&str> = by_name(&result).into_keys().collect();
        assert_eq!(names, ["cleanup.policy", "retention.ms"]);
        let request = DescribeConfigsRequest {
            resources: vec![resource(TOPIC, "t", None)],
            include_synonyms: false,
            include_documentation: false,
        };
        let plain = client.ask(version, &request).await.results.remove(0);
        assert_eq!(plain.configs.len(), KAFKAS.len());
        assert!(
            plain
                .configs
                .iter()
                .all(|config| config.synonyms.is_empty() && config.documentation.is_none())
        );
    }
}

#[tokio::test]
async fn a_broker_describes_itself_under_its_id() {
    let (broker, mut client) =
        start(&["--num-partitions", "4", "--node-id", "9", "--zone", "z"]).await;
    for version in versions() {
        let result = describe(&mut client, version, resource(BROKER, "9", None)).await;
        assert_eq!(result.error_code, ErrorCode::NONE);
        let described = by_name(&result);
        for name in OF_BROKERS {
            let config = described.get(name).copied().expect(name);
            assert!(
                config.read_only && !config.is_sensitive && !config.synonyms.is_empty(),
                "{name}"
            );
            assert!([BY_FLAG, DEFAULT].contains(&config.config_source), "{name}");
        }
        let value = |name: &str| described[name].value.as_deref();
        assert_eq!(
            (
                value("num.partitions"),
                described["num.partitions"].config_source
            ),
            (Some("4"), BY_FLAG)
        );
        assert_eq!(
            (value("broker.id"), value("node.id"), value("broker.rack")),
            (Some("9"), Some("9"), Some("z"))
        );
        assert_eq!(value("auto.create.topics.enable"), Some("true"));
        assert_eq!(value("message.max.bytes"), Some("1048588"));
        let listeners = format!("PLAINTEXT://{}", broker.listen);
        assert_eq!(value("advertised.listeners"), Some(listeners.as_str()));
        // The defaults for all brokers that somebody set: none.
        let defaults = describe(&mut client, version, resource(BROKER, "", None)).await;
        assert_eq!(
            (defaults.error_code, defaults.configs.len()),
            (ErrorCode::NONE, 0)
        );
    }
}

#[tokio::test]
async fn what_is_not_known_is_refused_beside_the_rest() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let cases = [
        (TOPIC, "nowhere", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "a/b", ErrorCode::INVALID_TOPIC_EXCEPTION),
        (TOPIC, "t", ErrorCode::NONE),
        (BROKER, "2", ErrorCode::INVALID_REQUEST),
        (BROKER, "one", ErrorCode::INVALID_REQUEST),
        (0, "t", ErrorCode::INVALID_REQUEST),
        (3, "t", ErrorCode::INVALID_REQUEST),
        (-1, "", ErrorCode::INVALID_REQUEST),
    ];
    let request = DescribeConfigsRequest {
        resources: cases
            .iter()
            .map(|(kind, name, _)| resource(*kind, name, None))
            .collect(),
        ..Default::default()
    };
    for version in versions() {
        let response = client.ask(version, &request).await;
        assert_eq!(response.results.len(), cases.len());
        for (result, (kind, name, code)) in response.results.iter().zip(&cases) {
            assert_eq!(
                (result.resource_type, result.resource_name.as_str()),
                (*kind, *name)
            );
            assert_eq!(result.error_code, *code, "{kind} {name}");
            let refused = *code != ErrorCode::NONE;
            assert_eq!(
                (result.error_message.is_some(), result.configs.is_empty()),
                (refused, refused)
            );
        }
    }
    let topics = client
        .ask(
            12,
            &protocol::messages::MetadataRequest {
                topics: None,
                ..Default::default()
            },
        )
        .await;
    assert_eq!(
        topics.topics.len(),
        1,
        "nobody makes a topic by asking for its settings"
    );
}

#[tokio::test]
async fn a_resource_named_very_often_is_described_once() {
    let (broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let before = broker.resident();
    let each = [resource(TOPIC, "t", None), resource(BROKER, "1", None)];
    let request = DescribeConfigsRequest {
        resources: each.into_iter().cycle().take(40_000).collect(),
        include_synonyms: true,
        include_documentation: true,
    };
    for version in versions() {
        let response = client.ask(version, &request).await;
        let described: Vec<_> = response
            .results
            .iter()
            .map(|result| (result.resource_type, result.configs.len()))
            .collect();
        assert_eq!(described[0], (TOPIC, KAFKAS.len()));
        assert_eq!((described.len(), described[1].0), (2, BROKER));
    }
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for a request of 200 KB");
}
