//! How many: topics, partitions, replicas, and assignments by hand.

use protocol::ErrorCode;
use protocol::messages::CreateTopicsRequest;
use protocol::messages::create_topics::{CreatableReplicaAssignment, CreatableTopic};

use super::{all, create, refused, request, topic, versions};
use crate::shapes::start;
use crate::support::client::batch;

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
