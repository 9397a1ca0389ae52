//! The offsets that batches get: of many partitions in a request, many requests at once, many connections.

use bytes::Bytes;
use protocol::ErrorCode;
use protocol::messages::ProduceRequest;
use protocol::messages::produce::TopicProduceData;

use super::{only, versions};
use crate::shapes::{altered, batches, frame, of_topic, produce_topics, start, values};
use crate::support::client::{Client, batch, fetch_request, list_offsets_request, produce_request};

#[tokio::test]
async fn one_refused_partition_does_not_harm_the_others() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("a", 3, &[]).await;
    client.create_topic("b", 1, &[]).await;
    let request = produce_topics(
        -1,
        vec![
            of_topic(
                "a",
                [
                    (2, batch(&["a2"])),
                    (0, altered(&batch(&["bad"]), 16, &[1])),
                    (1, batch(&["a1", "a1"])),
                    (3, batch(&["nowhere"])),
                ],
            ),
            of_topic("nowhere", [(0, batch(&["nowhere"]))]),
            of_topic("b", [(0, batch(&["b0"]))]),
        ],
    );
    for version in versions() {
        let response = client.ask(version, &request).await;
        let codes: Vec<_> = response
            .responses
            .iter()
            .flat_map(|topic| {
                topic
                    .partition_responses
                    .iter()
                    .map(move |p| (&*topic.name, p.index, p.error_code))
            })
            .collect();
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert_eq!(
            codes,
            [
                ("a", 2, ErrorCode::NONE),
                ("a", 0, ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT),
                ("a", 1, ErrorCode::NONE),
                ("a", 3, unknown),
                ("nowhere", 0, unknown),
                ("b", 0, ErrorCode::NONE),
            ]
        );
        let round = i64::from(version - versions().start());
        let offsets = |topic: usize, place: usize| {
            response.responses[topic].partition_responses[place].base_offset
        };
        assert_eq!(
            (offsets(0, 0), offsets(0, 2), offsets(2, 0)),
            (round, 2 * round, round)
        );
    }
}

#[tokio::test]
async fn an_empty_request_is_answered_empty() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for version in versions() {
        let nothing = client.ask(version, &produce_topics(-1, Vec::new())).await;
        assert_eq!(nothing.responses, []);
        let no_partition = client
            .ask(version, &produce_topics(1, vec![of_topic("t", [])]))
            .await;
        assert_eq!(no_partition.responses[0].partition_responses, []);
    }
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_order_with_consecutive_offsets() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for round in 0..20 {
        let bytes: Vec<u8> = (0..5)
            .flat_map(|index| {
                frame(
                    9,
                    100 + index,
                    &produce_request("t", 0, -1, batch(&["a", "b", "c"])),
                )
            })
            .collect();
        assert!(client.send_raw(&bytes).await);
        for index in 0..5 {
            let answer = client.receive_frame().await.expect("an answer");
            let (correlation_id, response) =
                protocol::decode_response::<ProduceRequest>(9, answer).expect("a Produce response");
            assert_eq!(correlation_id, 100 + index);
            let offset = (round * 5 + i64::from(index)) * 3;
            assert_eq!(
                (only(&response).error_code, only(&response).base_offset),
                (ErrorCode::NONE, offset)
            );
        }
    }
}

#[tokio::test]
async fn connections_side_by_side_share_a_partition_without_a_gap() {
    let (broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let produce = async |name: &str| {
        let mut client = Client::connect(broker.listen).await;
        let mut placed = Vec::new();
        for index in 0..50 {
            let value = format!("{name}{index}");
            let response = client.produce("t", 0, batch(&[&value, &value])).await;
            assert_eq!(response.error_code, ErrorCode::NONE);
            placed.push((response.base_offset, value));
        }
        placed
    };
    let (a, b) = tokio::join!(produce("a"), produce("b"));
    assert!(
        a.is_sorted() && b.is_sorted(),
        "a connection's order is kept"
    );
    let mut all: Vec<(i64, String)> = a.into_iter().chain(b).collect();
    all.sort();
    let offsets: Vec<i64> = all.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, (0..100).map(|index| index * 2).collect::<Vec<_>>());
    let fetched = client.fetch("t", 0, 0).await;
    let acknowledged: Vec<String> = all
        .into_iter()
        .flat_map(|(_, value)| [value.clone(), value])
        .collect();
    assert_eq!(
        values(&fetched.records),
        acknowledged,
        "records lie where their acks said"
    );
}

#[tokio::test]
async fn one_request_may_name_very_many_partitions() {
    const PARTITIONS: i32 = 3000;
    let (_broker, mut client) = start(&[]).await;
    assert_eq!(
        client.create_topic("t", PARTITIONS, &[]).await,
        ErrorCode::NONE
    );
    let all: Vec<(i32, Bytes)> = (0..PARTITIONS)
        .map(|index| (index, batch(&[&index.to_string()])))
        .collect();
    for round in 0..2 {
        let request = produce_topics(-1, vec![of_topic("t", all.clone())]);
        let response = client.ask(9, &request).await;
        let answered = &response.responses[0].partition_responses;
        assert_eq!(answered.len(), all.len());
        for (index, placed) in (0..).zip(answered) {
            assert_eq!(
                (placed.index, placed.error_code, placed.base_offset),
                (index, ErrorCode::NONE, round)
            );
        }
    }
    for index in [0, 1, PARTITIONS / 2, PARTITIONS - 1] {
        let fetched = client.fetch("t", index, 0).await;
        assert_eq!(
            values(&fetched.records),
            [index.to_string(), index.to_string()]
        );
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_seen_by_everybody_at_once() {
    let (broker, mut producer) = start(&[]).await;
    let mut other = Client::connect(broker.listen).await;
    producer.create_topic("t", 1, &[]).await;
    for index in 0..50 {
        let placed = producer.produce("t", 0, batch(&["a"])).await;
        assert_eq!(placed.base_offset, index);
        let latest = other.ask(7, &list_offsets_request("t", &[(0, -1)])).await;
        assert_eq!(latest.topics[0].partitions[0].offset, index + 1);
        let fetched = other.ask(12, &fetch_request("t", 0, index, 0)).await;
        assert_eq!(
            batches(&fetched.responses[0].partitions[0].records).len(),
            1
        );
    }
}

#[tokio::test]
async fn a_partition_named_twice_takes_both_batches_in_order() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let twice: TopicProduceData = of_topic("t", [(0, batch(&["a"])), (0, batch(&["b"]))]);
    let response = client.ask(9, &produce_topics(-1, vec![twice])).await;
    let offsets: Vec<i64> = response.responses[0]
        .partition_responses
        .iter()
        .map(|p| p.base_offset)
        .collect();
    assert_eq!(offsets, [0, 1]);
    assert_eq!(values(&client.fetch("t", 0, 0).await.records), ["a", "b"]);
}
