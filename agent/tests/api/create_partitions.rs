//! CreatePartitions: topics grow, at once and for everybody.

use protocol::messages::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use protocol::messages::metadata::MetadataRequestTopic;
use protocol::messages::{CreatePartitionsRequest, MetadataRequest};
use protocol::{ApiKey, ErrorCode, Uuid};

use crate::shapes::{start, values};
use crate::support::broker::Broker;
use crate::support::client::{Client, batch};

fn versions() -> std::ops::RangeInclusive<i16> {
    ApiKey::CreatePartitions.versions()
}

fn topic(name: &str, count: i32, assignments: Option<&[&[i32]]>) -> CreatePartitionsTopic {
    let assignments = assignments.map(|all| {
        let each = all.iter().map(|ids| CreatePartitionsAssignment {
            broker_ids: ids.to_vec(),
        });
        each.collect()
    });
    CreatePartitionsTopic {
        name: name.to_owned(),
        count,
        assignments,
    }
}

fn request(topics: Vec<CreatePartitionsTopic>) -> CreatePartitionsRequest {
    CreatePartitionsRequest {
        topics,
        timeout_ms: 30_000,
        validate_only: false,
    }
}

async fn grow(
    client: &mut Client,
    version: i16,
    topic: CreatePartitionsTopic,
) -> CreatePartitionsTopicResult {
    let mut response = client.ask(version, &request(vec![topic])).await;
    assert_eq!(response.results.len(), 1);
    response.results.remove(0)
}

async fn partitions(client: &mut Client, name: &str) -> usize {
    let topics = vec![MetadataRequestTopic {
        name: Some(name.to_owned()),
        topic_id: Uuid::default(),
    }];
    let request = MetadataRequest {
        topics: Some(topics),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    client.ask(12, &request).await.topics[0].partitions.len()
}

#[tokio::test]
async fn new_partitions_are_there_at_once() {
    let (broker, mut client) = start(&[]).await;
    let mut other = Client::connect(broker.listen).await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, batch(&["old"])).await;
    for version in versions() {
        let count = i32::from(version) + 2;
        let grown = grow(&mut client, version, topic("t", count, None)).await;
        assert_eq!(
            (grown.name.as_str(), grown.error_code, grown.error_message),
            ("t", ErrorCode::NONE, None)
        );
        assert_eq!(
            other
                .produce("t", count - 1, batch(&["new"]))
                .await
                .base_offset,
            0
        );
        assert_eq!(
            values(&other.fetch("t", count - 1, 0).await.records),
            ["new"]
        );
        assert_eq!(
            partitions(&mut other, "t").await,
            usize::try_from(count).expect("small")
        );
    }
    assert_eq!(
        values(&client.fetch("t", 0, 0).await.records),
        ["old"],
        "what was there stays"
    );
}

#[tokio::test]
async fn topics_never_shrink_and_have_a_limit() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 3, &[]).await;
    for version in versions() {
        for count in [3, 2, 1, 0, -1, -2, i32::MIN, 100_001, i32::MAX] {
            let refused = grow(&mut client, version, topic("t", count, None)).await;
            assert_eq!(
                refused.error_code,
                ErrorCode::INVALID_PARTITIONS,
                "{count} in {version}"
            );
            assert!(
                refused
                    .error_message
                    .is_some_and(|message| message.contains(' '))
            );
        }
        for name in ["nowhere", "", "a/b"] {
            let unknown = grow(&mut client, version, topic(name, 5, None)).await;
            assert_eq!(unknown.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
    }
    assert_eq!(partitions(&mut client, "t").await, 3);
    let grown = grow(&mut client, 3, topic("t", 10_000, None)).await;
    assert_eq!(grown.error_code, ErrorCode::NONE);
    assert_eq!(partitions(&mut client, "t").await, 10_000);
    assert_eq!(
        client.produce("t", 9_999, batch(&["a"])).await.base_offset,
        0
    );
}

#[tokio::test]
async fn assignments_are_for_the_new_partitions() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for bad in [&[][..], &[&[1][..]], &[&[1], &[1], &[1]], &[&[1], &[]]] {
        let refused = grow(&mut client, 3, topic("t", 3, Some(bad))).await;
        assert_eq!(
            refused.error_code,
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            "{bad:?}"
        );
    }
    let grown = grow(&mut client, 3, topic("t", 3, Some(&[&[1], &[1]]))).await;
    assert_eq!(
        (grown.error_code, partitions(&mut client, "t").await),
        (ErrorCode::NONE, 3)
    );
}

#[tokio::test]
async fn judging_alone_and_names_given_twice_change_nothing() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    client.create_topic("u", 1, &[]).await;
    for version in versions() {
        let all = vec![
            topic("t", 5, None),
            topic("u", 1, None),
            topic("nowhere", 5, None),
        ];
        let judge = CreatePartitionsRequest {
            validate_only: true,
            ..request(all)
        };
        let response = client.ask(version, &judge).await;
        let codes: Vec<_> = response
            .results
            .iter()
            .map(|topic| topic.error_code)
            .collect();
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert_eq!(
            codes,
            [ErrorCode::NONE, ErrorCode::INVALID_PARTITIONS, unknown]
        );
        let twice = client
            .ask(
                version,
                &request(vec![topic("t", 5, None), topic("t", 6, None)]),
            )
            .await;
        assert!(
            twice
                .results
                .iter()
                .all(|topic| topic.error_code == ErrorCode::INVALID_REQUEST)
        );
        assert_eq!(client.ask(version, &request(Vec::new())).await.results, []);
    }
    assert_eq!(partitions(&mut client, "t").await, 1);
}

#[tokio::test]
async fn a_hundred_thousand_partitions_survive_a_restart() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    client.create_topic("t", 1, &[]).await;
    let grown = grow(&mut client, 3, topic("t", 100_000, None)).await;
    assert_eq!(grown.error_code, ErrorCode::NONE);
    let places = [0, 50_000, 99_999];
    for index in places {
        let placed = client.produce("t", index, batch(&["kept"])).await;
        assert_eq!(
            (placed.error_code, placed.base_offset),
            (ErrorCode::NONE, 0)
        );
    }
    broker.kill().await;
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(partitions(&mut client, "t").await, 100_000);
    for index in places {
        let fetched = client.fetch("t", index, 0).await;
        assert_eq!(values(&fetched.records), ["kept"]);
    }
    let more = grow(&mut client, 3, topic("t", 100_001, None)).await;
    assert_eq!(more.error_code, ErrorCode::INVALID_PARTITIONS);
    assert!(broker.resident() < 200 << 20, "{}", broker.resident());
}
