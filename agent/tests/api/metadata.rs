//! Metadata: brokers, topics by name and by id, and topics made by asking for them.

use protocol::messages::create_partitions::CreatePartitionsTopic;
use protocol::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use protocol::messages::{CreatePartitionsRequest, MetadataRequest, MetadataResponse};
use protocol::{ApiKey, ErrorCode, Uuid};

use crate::shapes::start;
use crate::support::client::{Client, batch};

const NO_CREATE: [&str; 2] = ["--auto-create-topics-enable", "false"];

fn versions() -> std::ops::RangeInclusive<i16> {
    ApiKey::Metadata.versions()
}

fn named(names: &[&str]) -> MetadataRequest {
    let topics = names.iter().map(|name| MetadataRequestTopic {
        name: Some((*name).to_owned()),
        topic_id: Uuid::default(),
    });
    MetadataRequest {
        topics: Some(topics.collect()),
        ..Default::default()
    }
}

fn by_id(id: Uuid) -> MetadataRequest {
    let topics = vec![MetadataRequestTopic {
        name: None,
        topic_id: id,
    }];
    MetadataRequest {
        topics: Some(topics),
        ..Default::default()
    }
}

async fn topic(
    client: &mut Client,
    version: i16,
    request: &MetadataRequest,
) -> MetadataResponseTopic {
    let mut response = client.ask(version, request).await;
    assert_eq!(response.topics.len(), 1);
    response.topics.remove(0)
}

fn names(response: &MetadataResponse) -> Vec<&str> {
    let mut names: Vec<&str> = response
        .topics
        .iter()
        .filter_map(|topic| topic.name.as_deref())
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn the_broker_says_where_it_is() {
    let (broker, mut client) = start(&["--zone", "a", "--node-id", "5"]).await;
    let mut ids = Vec::new();
    for version in versions() {
        let response = client.ask(version, &named(&[])).await;
        assert_eq!(response.brokers.len(), 1);
        let only = &response.brokers[0];
        let at = (only.node_id, only.host.as_str(), only.port);
        assert_eq!(at, (5, "127.0.0.1", i32::from(broker.listen.port())));
        assert_eq!(only.rack.as_deref(), (version >= 1).then_some("a"));
        assert_eq!(response.controller_id, if version >= 1 { 5 } else { -1 });
        if version >= 2 {
            ids.push(response.cluster_id.expect("the cluster has an id"));
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "always the same");
    assert!(!ids[0].is_empty());
}

#[tokio::test]
async fn an_advertised_address_is_what_clients_are_told() {
    let (_broker, mut client) = start(&["--advertise", "kafka.example.com:1234"]).await;
    let response = client.ask(12, &named(&[])).await;
    assert_eq!(
        (response.brokers[0].host.as_str(), response.brokers[0].port),
        ("kafka.example.com", 1234)
    );
}

#[tokio::test]
async fn null_asks_for_all_and_an_empty_list_for_none_but_in_version_0() {
    let (_broker, mut client) = start(&[]).await;
    for name in ["a", "b", "c"] {
        client.create_topic(name, 2, &[]).await;
    }
    for version in versions() {
        let empty = client.ask(version, &named(&[])).await;
        assert_eq!(
            names(&empty),
            if version == 0 {
                vec!["a", "b", "c"]
            } else {
                vec![]
            },
            "{version}"
        );
        if version >= 1 {
            let all = MetadataRequest {
                topics: None,
                ..Default::default()
            };
            assert_eq!(names(&client.ask(version, &all).await), ["a", "b", "c"]);
        }
        assert_eq!(
            names(&client.ask(version, &named(&["c", "a", "c"])).await),
            ["a", "c"],
            "each once"
        );
    }
}

#[tokio::test]
async fn every_partition_is_served_by_a_broker_of_the_list() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 5, &[]).await;
    for version in versions() {
        let found = topic(&mut client, version, &named(&["t"])).await;
        assert_eq!(
            (found.error_code, found.name.as_deref(), found.is_internal),
            (ErrorCode::NONE, Some("t"), false)
        );
        assert_eq!(found.topic_id != Uuid::default(), version >= 10);
        let indexes: Vec<i32> = found
            .partitions
            .iter()
            .map(|partition| partition.partition_index)
            .collect();
        assert_eq!(indexes, [0, 1, 2, 3, 4]);
        for partition in &found.partitions {
            assert_eq!(
                (partition.error_code, partition.leader_id),
                (ErrorCode::NONE, 1)
            );
            assert_eq!(
                (&*partition.replica_nodes, &*partition.isr_nodes),
                (&[1][..], &[1][..])
            );
            assert!(partition.offline_replicas.is_empty());
            assert_eq!(partition.leader_epoch, if version >= 7 { 0 } else { -1 });
        }
    }
}

#[tokio::test]
async fn a_topic_asked_for_is_made_with_the_brokers_defaults() {
    let (broker, mut client) = start(&["--num-partitions", "3"]).await;
    let mut other = Client::connect(broker.listen).await;
    for version in versions() {
        let name = format!("in-{version}");
        let made = topic(&mut client, version, &named(&[&name])).await;
        assert_eq!(
            (made.error_code, made.partitions.len()),
            (ErrorCode::NONE, 3),
            "{version}"
        );
        assert!(
            made.partitions
                .iter()
                .all(|partition| partition.leader_id == 1),
            "with leaders at once"
        );
        assert_eq!(other.produce(&name, 2, batch(&["a"])).await.base_offset, 0);
        let again = topic(&mut other, version, &named(&[&name])).await;
        assert_eq!(again.topic_id, made.topic_id, "the same topic");
        if version >= 4 {
            // The client does not want it.
            let name = format!("not-in-{version}");
            let request = MetadataRequest {
                allow_auto_topic_creation: false,
                ..named(&[&name])
            };
            let unknown = topic(&mut client, version, &request).await;
            assert_eq!(unknown.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            assert!(unknown.partitions.is_empty());
        }
    }
}

#[tokio::test]
async fn many_clients_that_ask_for_a_topic_make_one() {
    let (broker, _client) = start(&[]).await;
    let asks = (0..20).map(async |_| {
        let mut client = Client::connect(broker.listen).await;
        topic(&mut client, 12, &named(&["t"])).await
    });
    let made = futures::future::join_all(asks).await;
    assert!(
        made.iter()
            .all(|topic| topic.error_code == ErrorCode::NONE && topic.topic_id == made[0].topic_id)
    );
}

#[tokio::test]
async fn no_topic_is_made_where_the_broker_does_not_want_it() {
    let (_broker, mut client) = start(&NO_CREATE).await;
    for version in versions() {
        let unknown = topic(&mut client, version, &named(&["t"])).await;
        assert_eq!(
            unknown.error_code,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            "{version}"
        );
        assert_eq!(
            (unknown.name.as_deref(), unknown.partitions.len()),
            (Some("t"), 0)
        );
        let unlawful = topic(&mut client, version, &named(&["a/b"])).await;
        assert_eq!(unlawful.error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
}

#[tokio::test]
async fn unlawful_names_are_not_made() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("a.b", 1, &[]).await;
    for version in versions() {
        for name in [
            "",
            ".",
            "..",
            "a b",
            "a/b",
            "gr\u{fc}n",
            "a_b",
            &"x".repeat(250),
            "__consumer_offsets",
        ] {
            let refused = topic(&mut client, version, &named(&[name])).await;
            assert_eq!(
                refused.error_code,
                ErrorCode::INVALID_TOPIC_EXCEPTION,
                "{name} in {version}"
            );
            assert_eq!(refused.name.as_deref(), Some(name));
        }
    }
    let all = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    assert_eq!(names(&client.ask(12, &all).await), ["a.b"]);
}

#[tokio::test]
async fn topics_are_found_by_id() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 2, &[]).await;
    let id = topic(&mut client, 12, &named(&["t"])).await.topic_id;
    for version in 12..=*versions().end() {
        let found = topic(&mut client, version, &by_id(id)).await;
        assert_eq!(
            (found.error_code, found.name.as_deref()),
            (ErrorCode::NONE, Some("t"))
        );
        assert_eq!((found.topic_id, found.partitions.len()), (id, 2));
        for unknown in [Uuid(id.0 ^ 1), Uuid(u128::MAX)] {
            let found = topic(&mut client, version, &by_id(unknown)).await;
            assert_eq!(
                (found.error_code, found.name),
                (ErrorCode::UNKNOWN_TOPIC_ID, None)
            );
            assert_eq!(found.topic_id, unknown);
        }
    }
    // Ids are in these versions, and may not be asked by.
    for version in 10..12 {
        let refused = topic(&mut client, version, &by_id(id)).await;
        assert_eq!(refused.error_code, ErrorCode::INVALID_REQUEST);
    }
}

#[tokio::test]
async fn operations_are_named_only_to_those_who_ask() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for version in versions() {
        let silent = client.ask(version, &named(&["t"])).await;
        assert_eq!(silent.cluster_authorized_operations, i32::MIN);
        assert_eq!(silent.topics[0].topic_authorized_operations, i32::MIN);
        if version >= 8 {
            let asking = MetadataRequest {
                include_cluster_authorized_operations: version <= 10,
                include_topic_authorized_operations: true,
                ..named(&["t"])
            };
            let told = client.ask(version, &asking).await;
            // READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS.
            assert_eq!(told.topics[0].topic_authorized_operations, 0b1101_1111_1000);
            assert_eq!(told.cluster_authorized_operations > 0, version <= 10);
        }
    }
}

/// Each held an answer of 26 MB of its own.
#[tokio::test]
async fn those_who_ask_for_a_million_partitions_and_do_not_read_hold_one_answer() {
    let (broker, mut client) = start(&[]).await;
    for number in 0..10 {
        let name = format!("t{number}");
        client.create_topic(&name, 1, &[]).await;
        let grow = CreatePartitionsTopic {
            name,
            count: 100_000,
            assignments: None,
        };
        let request = CreatePartitionsRequest {
            topics: vec![grow],
            timeout_ms: 60_000,
            ..Default::default()
        };
        let grown = client.ask(3, &request).await;
        assert_eq!(grown.results[0].error_code, ErrorCode::NONE);
    }
    let all = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let before = broker.resident();
    let mut silent = Vec::new();
    for _ in 0..32 {
        let mut other = Client::connect(broker.listen).await;
        other.send(12, &all).await;
        silent.push(other);
    }
    // Its answer comes behind theirs, which are all on their way then.
    client.send(12, &all).await;
    let frame = client.receive_frame().await.expect("an answer");
    assert!(frame.len() > 26_000_000, "{}", frame.len());
    let more = broker.resident().saturating_sub(before) >> 20;
    assert!(more < 160, "{more} MiB more");
    drop(silent);
}
