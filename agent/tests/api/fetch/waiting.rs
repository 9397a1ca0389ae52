//! When an answer comes: what is not waited for, what wakes who waits, and when time is up.

use std::time::Duration;

use protocol::ErrorCode;
use protocol::messages::FetchRequest;
use tokio::time::{Instant, sleep, timeout};

use super::{LONG_MS, only, several, sizes, versions};
use crate::shapes::{start, values};
use crate::support::broker::PATIENCE;
use crate::support::client::{Client, batch, fetch_request};

#[tokio::test]
async fn what_is_there_is_not_waited_for() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 2, &[]).await;
    client.produce("t", 1, batch(&["a"])).await;
    for version in versions() {
        // The other partition has nothing: one is enough.
        let mut request = several("t", &[(0, 0, 1 << 20), (1, 0, 1 << 20)], 1 << 20);
        request.max_wait_ms = LONG_MS;
        let response = client.ask(version, &request).await;
        assert_eq!(sizes(&response), [0, 1], "{version}");
        // No bytes are enough as well.
        let mut request = fetch_request("t", 0, 0, LONG_MS);
        request.min_bytes = 0;
        let response = client.ask(version, &request).await;
        assert_eq!(sizes(&response), [0], "{version}");
    }
}

#[tokio::test]
async fn an_empty_answer_takes_as_long_as_was_asked_for() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, batch(&["a"])).await;
    let asked = Instant::now();
    let response = client.ask(12, &fetch_request("t", 0, 1, 300)).await;
    assert_eq!(sizes(&response), [0]);
    assert!(
        asked.elapsed() >= Duration::from_millis(295),
        "{:?}",
        asked.elapsed()
    );
    // Some bytes, but fewer than wanted: they come when time is up.
    let mut request = fetch_request("t", 0, 0, 300);
    request.min_bytes = 1 << 20;
    let asked = Instant::now();
    let response = client.ask(12, &request).await;
    assert_eq!(sizes(&response), [1]);
    assert!(
        asked.elapsed() >= Duration::from_millis(295),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn nobody_waits_for_more_than_he_takes() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for _ in 0..3 {
        client.produce("t", 0, batch(&[&"x".repeat(1000)])).await;
    }
    for version in versions() {
        let mut request = fetch_request("t", 0, 0, 20_000);
        (request.min_bytes, request.max_bytes) = (100_000, 2500);
        let asked = Instant::now();
        let response = client.ask(version, &request).await;
        assert_eq!(sizes(&response), [2]);
        assert!(asked.elapsed() < Duration::from_secs(10), "{version}");
    }
}

#[tokio::test]
async fn a_waiting_consumer_is_woken_by_what_another_connection_produces() {
    let (broker, mut producer) = start(&[]).await;
    producer.create_topic("t", 2, &[]).await;
    for (round, partition) in [(0, 0), (1, 0), (0, 1)] {
        let mut consumer = Client::connect(broker.listen).await;
        let mut request = several(
            "t",
            &[
                (0, if partition == 0 { round } else { 2 }, 1 << 20),
                (1, 0, 1 << 20),
            ],
            1 << 20,
        );
        request.max_wait_ms = LONG_MS;
        let fetch = consumer.ask(12, &request);
        let produce = async {
            sleep(Duration::from_millis(100)).await;
            producer.produce("t", partition, batch(&["woken"])).await
        };
        let (response, placed) = timeout(PATIENCE, async { tokio::join!(fetch, produce) })
            .await
            .expect("it is woken");
        assert_eq!(placed.error_code, ErrorCode::NONE);
        let place = usize::try_from(partition).expect("small");
        let fetched = &response.responses[0].partitions[place];
        assert_eq!(values(&fetched.records), ["woken"], "{round} {partition}");
    }
}

#[tokio::test]
async fn a_waiting_consumer_gets_as_many_bytes_as_it_asked_for() {
    let (broker, mut producer) = start(&[]).await;
    producer.create_topic("t", 1, &[]).await;
    let sent = batch(&["v".repeat(1000).as_str()]);
    let mut consumer = Client::connect(broker.listen).await;
    let mut request = fetch_request("t", 0, 0, LONG_MS);
    request.min_bytes = i32::try_from(3 * sent.len()).expect("small");
    let produce = async {
        for _ in 0..3 {
            sleep(Duration::from_millis(50)).await;
            assert_eq!(
                producer.produce("t", 0, sent.clone()).await.error_code,
                ErrorCode::NONE
            );
        }
    };
    let both = async { tokio::join!(consumer.ask(12, &request), produce) };
    let (response, ()) = timeout(PATIENCE, both).await.expect("it is woken");
    assert_eq!(sizes(&response), [3]);
}

#[tokio::test]
async fn a_waiting_consumer_does_not_hold_up_other_connections() {
    let (broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let mut consumer = Client::connect(broker.listen).await;
        consumer.send(12, &fetch_request("t", 0, 0, LONG_MS)).await;
        waiting.push(consumer);
    }
    assert_eq!(
        client.produce("t", 0, batch(&["for all"])).await.error_code,
        ErrorCode::NONE
    );
    for consumer in &mut waiting {
        let answer = consumer.receive_frame().await.expect("woken");
        let (_, response) =
            protocol::decode_response::<FetchRequest>(12, answer).expect("a Fetch response");
        assert_eq!(values(&only(&response).records), ["for all"]);
    }
}

#[tokio::test]
async fn a_deleted_topic_ends_the_wait_for_it() {
    let (broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let mut consumer = Client::connect(broker.listen).await;
    let request = fetch_request("t", 0, 0, LONG_MS);
    let delete = async {
        sleep(Duration::from_millis(100)).await;
        let request = protocol::messages::DeleteTopicsRequest {
            topic_names: vec!["t".to_owned()],
            ..Default::default()
        };
        client.ask(5, &request).await.responses[0].error_code
    };
    let both = async { tokio::join!(consumer.ask(12, &request), delete) };
    let (response, deleted) = timeout(PATIENCE, both).await.expect("it is woken");
    assert_eq!(deleted, ErrorCode::NONE);
    assert_eq!(
        only(&response).error_code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    );
}

#[tokio::test]
async fn one_fetch_waits_for_ten_thousand_partitions() {
    let (broker, mut producer) = start(&[]).await;
    producer.create_topic("t", 10_000, &[]).await;
    let mut consumer = Client::connect(broker.listen).await;
    for index in [9_999, 5_000] {
        let wanted: Vec<_> = (0..10_000)
            .filter(|partition| *partition <= index)
            .map(|partition| (partition, 0, 1 << 20))
            .collect();
        let mut request = several("t", &wanted, 50 << 20);
        request.max_wait_ms = LONG_MS;
        let produce = async {
            sleep(Duration::from_millis(300)).await;
            producer.produce("t", index, batch(&["woken"])).await
        };
        let both = async { tokio::join!(consumer.ask(12, &request), produce) };
        let (response, placed) = timeout(PATIENCE, both).await.expect("it is woken");
        assert_eq!(placed.error_code, ErrorCode::NONE);
        let partitions = &response.responses[0].partitions;
        assert_eq!(partitions.len(), wanted.len());
        let last = partitions.last().expect("the one produced to");
        assert_eq!(values(&last.records), ["woken"]);
    }
}
