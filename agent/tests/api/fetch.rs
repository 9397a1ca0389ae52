//! Fetch: which batches come, within which limits, when they come, and what is refused.

use std::time::Duration;

use bytes::Bytes;
use protocol::compression::Codec;
use protocol::messages::fetch::{FetchPartition, FetchTopic, PartitionData};
use protocol::messages::{FetchRequest, FetchResponse};
use protocol::record_batch::PREFIX_BYTES;
use protocol::records::BatchOptions;
use protocol::{ApiKey, ErrorCode};
use tokio::time::{Instant, sleep, timeout};

use crate::shapes::{
    batches, frame, new_producer, numbered, of_topic, produce_topics, start, values,
};
use crate::support::broker::PATIENCE;
use crate::support::client::{Client, batch, batch_with, fetch_request};

/// Longer than any test waits: whoever gets an answer did not sleep it out.
const LONG_MS: i32 = 600_000;

fn versions() -> std::ops::RangeInclusive<i16> {
    ApiKey::Fetch.versions()
}

fn only(response: &FetchResponse) -> &PartitionData {
    assert_eq!(response.error_code, ErrorCode::NONE);
    assert_eq!(
        (
            response.responses.len(),
            response.responses[0].partitions.len()
        ),
        (1, 1)
    );
    &response.responses[0].partitions[0]
}

/// What a fetch of several partitions of one topic asks for: index, offset, byte limit.
fn several(topic: &str, wanted: &[(i32, i64, i32)], max_bytes: i32) -> FetchRequest {
    let mut request = fetch_request(topic, 0, 0, 0);
    request.max_bytes = max_bytes;
    let partitions = wanted
        .iter()
        .map(|(partition, fetch_offset, limit)| FetchPartition {
            partition: *partition,
            current_leader_epoch: -1,
            fetch_offset: *fetch_offset,
            partition_max_bytes: *limit,
            ..Default::default()
        });
    request.topics[0].partitions = partitions.collect();
    request
}

fn sizes(response: &FetchResponse) -> Vec<usize> {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions);
    partitions
        .map(|partition| batches(&partition.records).len())
        .collect()
}

#[tokio::test]
async fn every_offset_gets_the_whole_batch_it_lies_in() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("apart", 1, &[]).await;
    client.create_topic("together", 1, &[]).await;
    for values in [&["a", "b"], &["c", "d"]] {
        client.produce("apart", 0, batch(values)).await;
    }
    // In one request, so that they share a segment and lie side by side.
    let both = [&["a", "b"], &["c", "d"]].map(|values| (0, batch(values)));
    let both = produce_topics(-1, vec![of_topic("together", both)]);
    client.ask(9, &both).await;
    for topic in ["apart", "together"] {
        for version in versions() {
            for (offset, expected, first) in [
                (0, &["a", "b", "c", "d"][..], 0),
                (1, &["a", "b", "c", "d"], 0),
                (2, &["c", "d"], 2),
                (3, &["c", "d"], 2),
            ] {
                let response = client
                    .ask(version, &fetch_request(topic, 0, offset, 0))
                    .await;
                let fetched = only(&response);
                let what = format!("{topic} {offset} in {version}");
                assert_eq!(
                    (fetched.error_code, fetched.high_watermark),
                    (ErrorCode::NONE, 4),
                    "{what}"
                );
                assert_eq!(values(&fetched.records), expected, "{what}");
                let came = batches(&fetched.records);
                assert_eq!(came[0].0.base_offset, first, "{what}");
                assert!(
                    came.iter().all(|(header, _)| header.leader_epoch == 0),
                    "{what}"
                );
            }
        }
    }
}

#[tokio::test]
async fn at_the_end_there_is_nothing_and_outside_is_out_of_range() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    client.create_topic("empty", 1, &[]).await;
    client.produce("t", 0, batch(&["a", "b"])).await;
    for version in versions() {
        let log_start = if version >= 5 { 0 } else { -1 };
        for (topic, end) in [("t", 2), ("empty", 0)] {
            let response = client.ask(version, &fetch_request(topic, 0, end, 0)).await;
            let fetched = only(&response);
            assert_eq!(
                (fetched.error_code, batches(&fetched.records).len()),
                (ErrorCode::NONE, 0)
            );
            assert_eq!(
                (fetched.high_watermark, fetched.last_stable_offset),
                (end, end)
            );
            assert_eq!(fetched.log_start_offset, log_start);
            for offset in [end + 1, end + 1000, i64::MAX, -1, -2, i64::MIN] {
                // It must not be slept on either.
                let response = client
                    .ask(version, &fetch_request(topic, 0, offset, LONG_MS))
                    .await;
                let fetched = only(&response);
                assert_eq!(
                    fetched.error_code,
                    ErrorCode::OFFSET_OUT_OF_RANGE,
                    "{offset} in {version}"
                );
                assert!(batches(&fetched.records).is_empty());
            }
        }
    }
}

#[tokio::test]
async fn batches_come_back_byte_for_byte_but_for_their_prefix() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let mut sent: Vec<Bytes> = Vec::new();
    for codec in [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ] {
        // Small ones and one that a reply does not copy; text that packs well and text that does not.
        let noise: String = (0_u32..20_000)
            .map(|i| char::from(b'!' + (i.wrapping_mul(2_654_435_761) >> 25) as u8 % 90))
            .collect();
        for values in [&["a", "b", "c"][..], &["", &"x".repeat(50_000)], &[&noise]] {
            let options = BatchOptions {
                codec,
                ..BatchOptions::default()
            };
            let batch = batch_with(values, options);
            let placed = client.produce("t", 0, batch.clone()).await;
            assert_eq!(placed.error_code, ErrorCode::NONE, "{codec:?}");
            sent.push(batch);
        }
    }
    for version in versions() {
        let response = client.ask(version, &fetch_request("t", 0, 0, 0)).await;
        let came = batches(&only(&response).records);
        assert_eq!(came.len(), sent.len());
        let mut offset = 0;
        for ((header, came), sent) in came.iter().zip(&sent) {
            assert_eq!(came.slice(PREFIX_BYTES..), sent.slice(PREFIX_BYTES..));
            assert_eq!((header.base_offset, header.leader_epoch), (offset, 0));
            offset += i64::from(header.last_offset_delta) + 1;
        }
    }
}

#[tokio::test]
async fn a_refused_batch_between_others_leaves_no_trace() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let id = new_producer(&mut client).await;
    // One segment, whose block of the partition holds batches that were not taken: a repetition, and one after a gap.
    let sent = [
        numbered(&["a", "b"], id, 0, 0),
        numbered(&["a", "b"], id, 0, 0),
        numbered(&["c"], id, 0, 2),
        numbered(&["x", "x", "x"], id, 0, 9),
        numbered(&["d"], id, 0, 3),
    ];
    let all = of_topic("t", sent.map(|batch| (0, batch)));
    let response = client.ask(9, &produce_topics(-1, vec![all])).await;
    let placed: Vec<i64> = response.responses[0]
        .partition_responses
        .iter()
        .map(|partition| partition.base_offset)
        .collect();
    assert_eq!(placed, [0, 0, 2, -1, 3]);
    for (offset, expected) in [
        (0, &["a", "b", "c", "d"][..]),
        (1, &["a", "b", "c", "d"]),
        (2, &["c", "d"]),
        (3, &["d"]),
        (4, &[]),
    ] {
        let fetched = client.fetch("t", 0, offset).await;
        assert_eq!(fetched.high_watermark, 4);
        assert_eq!(values(&fetched.records), expected, "from {offset}");
    }
}

#[tokio::test]
async fn limits_cut_between_batches_but_never_before_the_first() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 3, &[]).await;
    let sent = batch(&["v".repeat(5000).as_str()]);
    let size = i32::try_from(sent.len()).expect("small");
    // The first partition stays empty.
    for _ in 0..3 {
        let both = [(1, sent.clone()), (2, sent.clone())];
        client
            .ask(9, &produce_topics(-1, vec![of_topic("t", both)]))
            .await;
    }
    let all = 10 * size;
    for (limits, max_bytes, expected) in [
        ([all, all, all], all, [0, 3, 3]),
        // For a partition.
        ([all, 3 * size, all], all, [0, 3, 3]),
        ([all, 3 * size - 1, all], all, [0, 2, 3]),
        ([all, 2 * size, all], all, [0, 2, 3]),
        ([all, size, size], all, [0, 1, 1]),
        ([all, size - 1, all], all, [0, 1, 3]),
        ([all, 1, all], all, [0, 1, 3]),
        ([1, all, 1], all, [0, 3, 0]),
        // For the whole reply.
        ([all, all, all], 4 * size, [0, 3, 1]),
        ([all, all, all], 4 * size - 1, [0, 3, 0]),
        ([all, all, all], 2 * size, [0, 2, 0]),
        ([all, all, all], 1, [0, 1, 0]),
        ([all, all, all], 0, [0, 1, 0]),
        ([0, 0, 0], all, [0, 1, 0]),
        ([-1, -1, i32::MIN], all, [0, 1, 0]),
        ([all, all, all], -1, [0, 1, 0]),
        ([i32::MAX, i32::MAX, i32::MAX], i32::MAX, [0, 3, 3]),
    ] {
        for version in versions() {
            let wanted: Vec<_> = (0..)
                .zip(limits)
                .map(|(index, limit)| (index, 0, limit))
                .collect();
            let response = client.ask(version, &several("t", &wanted, max_bytes)).await;
            assert_eq!(
                sizes(&response),
                expected,
                "{limits:?} {max_bytes} in {version}"
            );
        }
    }
}

#[tokio::test]
async fn a_batch_larger_than_every_limit_is_read_all_the_same() {
    let (_broker, mut client) = start(&[]).await;
    client
        .create_topic("t", 1, &[("max.message.bytes", "9000000")])
        .await;
    let large = batch(&["v".repeat(8_000_000).as_str()]);
    assert_eq!(
        client.produce("t", 0, large.clone()).await.error_code,
        ErrorCode::NONE
    );
    assert_eq!(
        client.produce("t", 0, batch(&["next"])).await.base_offset,
        1
    );
    let response = client.ask(12, &several("t", &[(0, 0, 1)], 1)).await;
    let came = batches(&only(&response).records);
    assert_eq!(came.len(), 1);
    assert_eq!(came[0].1.slice(PREFIX_BYTES..), large.slice(PREFIX_BYTES..));
}

#[tokio::test]
async fn a_consumer_reads_everything_in_small_steps() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let expected: Vec<String> = (0..300).map(|index| format!("value {index}")).collect();
    for some in expected.chunks(7) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        client.produce("t", 0, batch(&some)).await;
    }
    for limit in [1, 200, 1000, 1 << 20] {
        let (mut read, mut offset) = (Vec::new(), 0);
        while offset < 300 {
            let response = client
                .ask(12, &several("t", &[(0, offset, limit)], limit))
                .await;
            for (header, _) in batches(&only(&response).records) {
                assert_eq!(header.base_offset, offset, "no gap and no repetition");
                offset += i64::from(header.last_offset_delta) + 1;
            }
            read.extend(values(&only(&response).records));
        }
        assert_eq!(read, expected, "{limit} bytes at a time");
    }
}

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
