//! What else a request may say: sessions, leader epochs, isolation, and partitions that are unknown, many, or named twice.

use protocol::ErrorCode;
use protocol::messages::FetchRequest;
use protocol::messages::fetch::FetchTopic;

use super::{LONG_MS, only, several, sizes, versions};
use crate::shapes::{frame, of_topic, produce_topics, start, values};
use crate::support::client::{Client, batch, fetch_request};

#[tokio::test]
async fn what_is_not_known_is_refused_beside_what_is() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, batch(&["a"])).await;
    let mut request = several(
        "t",
        &[(1, 0, 1 << 20), (0, 0, 1 << 20), (-1, 0, 1 << 20)],
        1 << 20,
    );
    request.max_wait_ms = LONG_MS;
    request.min_bytes = 1 << 20;
    let nowhere = FetchTopic {
        topic: "nowhere".to_owned(),
        partitions: request.topics[0].partitions.clone(),
    };
    request.topics.insert(0, nowhere);
    for version in versions() {
        let response = client.ask(version, &request).await;
        let codes: Vec<_> = response
            .responses
            .iter()
            .map(|topic| {
                topic
                    .partitions
                    .iter()
                    .map(|p| (p.partition_index, p.error_code))
                    .collect::<Vec<_>>()
            })
            .collect();
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert_eq!(codes[0], [(1, unknown), (0, unknown), (-1, unknown)]);
        assert_eq!(
            codes[1],
            [(1, unknown), (0, ErrorCode::NONE), (-1, unknown)]
        );
        assert_eq!(values(&response.responses[1].partitions[1].records), ["a"]);
    }
}

#[tokio::test]
async fn sessions_are_not_kept_and_nobody_is_told_otherwise() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, batch(&["a"])).await;
    for version in 7..=*versions().end() {
        let session = |session_id, session_epoch| FetchRequest {
            session_id,
            session_epoch,
            ..fetch_request("t", 0, 0, 0)
        };
        // Without one, asking for one, ending one, asking for another.
        for (id, epoch) in [(0, -1), (0, 0), (77, -1), (77, 0)] {
            let response = client.ask(version, &session(id, epoch)).await;
            assert_eq!(response.session_id, 0);
            assert_eq!(
                values(&only(&response).records),
                ["a"],
                "({id}, {epoch}) in {version}"
            );
        }
        // Going on with one there cannot be.
        for (id, epoch) in [(77, 1), (77, i32::MAX), (0, 1), (-1, 5)] {
            let mut request = session(id, epoch);
            request.max_wait_ms = LONG_MS;
            let response = client.ask(version, &request).await;
            assert_eq!(
                response.error_code,
                ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
                "({id}, {epoch}) in {version}"
            );
            assert_eq!((response.session_id, response.responses.len()), (0, 0));
        }
    }
}

#[tokio::test]
async fn only_a_leader_epoch_to_come_is_refused() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, batch(&["a"])).await;
    for version in 9..=*versions().end() {
        for (epoch, code) in [
            (-1, ErrorCode::NONE),
            (0, ErrorCode::NONE),
            (1, ErrorCode::UNKNOWN_LEADER_EPOCH),
            (i32::MAX, ErrorCode::UNKNOWN_LEADER_EPOCH),
        ] {
            let mut request = fetch_request("t", 0, 0, 0);
            request.topics[0].partitions[0].current_leader_epoch = epoch;
            let response = client.ask(version, &request).await;
            assert_eq!(only(&response).error_code, code, "{epoch} in {version}");
        }
    }
}

#[tokio::test]
async fn read_committed_sees_the_same_while_there_are_no_transactions() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, batch(&["a", "b"])).await;
    for version in versions() {
        let uncommitted = fetch_request("t", 0, 0, 0);
        let committed = FetchRequest {
            isolation_level: 1,
            ..uncommitted.clone()
        };
        let (uncommitted, committed) = (
            client.ask(version, &uncommitted).await,
            client.ask(version, &committed).await,
        );
        assert_eq!(values(&only(&committed).records), ["a", "b"]);
        assert_eq!(values(&only(&uncommitted).records), ["a", "b"]);
        assert_eq!(only(&committed).last_stable_offset, 2);
        assert_eq!(
            only(&uncommitted).aborted_transactions,
            None,
            "Kafka: null for read_uncommitted"
        );
        let aborted = only(&committed)
            .aborted_transactions
            .as_deref()
            .unwrap_or_default();
        assert!(aborted.is_empty());
    }
}

#[tokio::test]
async fn one_fetch_reads_a_hundred_partitions() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 100, &[]).await;
    let all = (0..100).map(|index| (index, batch(&[&format!("of {index}")])));
    client
        .ask(9, &produce_topics(-1, vec![of_topic("t", all)]))
        .await;
    for version in versions() {
        // In another order than they were written in.
        let wanted: Vec<_> = (0..100).rev().map(|index| (index, 0, 1 << 20)).collect();
        let response = client.ask(version, &several("t", &wanted, 50 << 20)).await;
        let partitions = &response.responses[0].partitions;
        assert_eq!(partitions.len(), 100);
        for (partition, (index, ..)) in partitions.iter().zip(&wanted) {
            assert_eq!(
                (partition.partition_index, partition.error_code),
                (*index, ErrorCode::NONE)
            );
            assert_eq!(values(&partition.records), [format!("of {index}")]);
        }
    }
}

#[tokio::test]
async fn a_partition_wanted_twice_is_answered_once_as_was_said_last() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, batch(&["a"])).await;
    client.produce("t", 0, batch(&["b"])).await;
    let response = client
        .ask(
            12,
            &several("t", &[(0, 1, 1 << 20), (0, 0, 1 << 20)], 1 << 20),
        )
        .await;
    assert_eq!(sizes(&response), [2]);
}

#[tokio::test]
async fn nothing_wanted_is_nothing_answered() {
    let (_broker, mut client) = start(&[]).await;
    for version in versions() {
        let mut request = fetch_request("t", 0, 0, 0);
        request.topics.clear();
        let response = client.ask(version, &request).await;
        assert_eq!(
            (response.error_code, response.responses.len()),
            (ErrorCode::NONE, 0)
        );
    }
}

/// One that names more ends its connection: looking them up one after another took minutes.
#[tokio::test]
async fn a_fetch_of_more_partitions_than_may_be_ends_its_connection_and_no_other() {
    let (broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let mut other = Client::connect(broker.listen).await;
    let wanted = |count: i32| -> Vec<_> { (0..count).map(|index| (index, 0, 100)).collect() };
    let response = other.ask(12, &several("t", &wanted(16_384), 100)).await;
    assert_eq!(response.responses[0].partitions.len(), 16_384);
    let many = several("t", &wanted(16_385), 100);
    other.send_raw(&frame(12, 1, &many)).await;
    assert_eq!(other.receive_frame().await, None);
    let response = client.ask(12, &several("t", &wanted(1), 100)).await;
    assert_eq!(sizes(&response), [0]);
}
