//! ListOffsets: the ends, and offsets by time, exact inside batches of every codec.

use protocol::compression::Codec;
use protocol::messages::ListOffsetsRequest;
use protocol::messages::list_offsets::ListOffsetsPartitionResponse;
use protocol::records::BatchOptions;
use protocol::{ApiKey, ErrorCode};

use crate::shapes::{of_topic, produce_topics, stamped, start};
use crate::support::client::{Client, batch, list_offsets_request as request};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

const CODECS: [Codec; 5] = [
    Codec::None,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];

fn versions() -> std::ops::RangeInclusive<i16> {
    ApiKey::ListOffsets.versions()
}

async fn ask(
    client: &mut Client,
    version: i16,
    topic: &str,
    timestamp: i64,
) -> ListOffsetsPartitionResponse {
    let response = client
        .ask(version, &request(topic, &[(0, timestamp)]))
        .await;
    assert_eq!(
        (response.topics.len(), response.topics[0].partitions.len()),
        (1, 1)
    );
    response.topics[0].partitions[0].clone()
}

/// Offset and timestamp, or the error.
async fn look(
    client: &mut Client,
    version: i16,
    topic: &str,
    timestamp: i64,
) -> Result<(i64, i64), ErrorCode> {
    let found = ask(client, version, topic, timestamp).await;
    match found.error_code {
        ErrorCode::NONE => Ok((found.offset, found.timestamp)),
        code => {
            assert_eq!(
                (found.offset, found.timestamp, found.leader_epoch),
                (-1, -1, -1)
            );
            Err(code)
        }
    }
}

#[tokio::test]
async fn the_ends_are_found_in_every_version() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    client.create_topic("empty", 1, &[]).await;
    client.produce("t", 0, batch(&["a", "b", "c"])).await;
    client.produce("t", 0, batch(&["d"])).await;
    for version in versions() {
        for (topic, end) in [("t", 4), ("empty", 0)] {
            assert_eq!(
                look(&mut client, version, topic, LATEST).await,
                Ok((end, -1))
            );
            assert_eq!(
                look(&mut client, version, topic, EARLIEST).await,
                Ok((0, -1))
            );
            let committed = ListOffsetsRequest {
                isolation_level: 1,
                ..request(topic, &[(0, LATEST)])
            };
            let committed = client.ask(version, &committed).await;
            assert_eq!(committed.topics[0].partitions[0].offset, end);
        }
        let epoch = ask(&mut client, version, "t", LATEST).await.leader_epoch;
        assert_eq!(epoch, if version >= 4 { 0 } else { -1 });
    }
}

#[tokio::test]
async fn special_timestamps_belong_to_versions() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    client
        .produce("t", 0, stamped(&[100, 300, 200], BatchOptions::default()))
        .await;
    for version in versions() {
        for (timestamp, since, found) in [
            (MAX_TIMESTAMP, 7, (1, 300)),
            (EARLIEST_LOCAL, 8, (0, -1)),
            (LATEST_TIERED, 9, (-1, -1)),
            (-6, i16::MAX, (0, 0)),
            (-7, i16::MAX, (0, 0)),
            (i64::MIN, i16::MAX, (0, 0)),
        ] {
            let expected = if version >= since {
                Ok(found)
            } else {
                Err(ErrorCode::UNSUPPORTED_VERSION)
            };
            assert_eq!(
                look(&mut client, version, "t", timestamp).await,
                expected,
                "{timestamp} in {version}"
            );
        }
    }
}

#[tokio::test]
async fn an_empty_partition_has_no_times() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for version in versions() {
        for timestamp in [0, 1, 1_700_000_000_000, i64::MAX] {
            let found = ask(&mut client, version, "t", timestamp).await;
            assert_eq!(
                (found.error_code, found.offset, found.timestamp),
                (ErrorCode::NONE, -1, -1)
            );
        }
        if version >= 7 {
            assert_eq!(
                look(&mut client, version, "t", MAX_TIMESTAMP).await,
                Ok((-1, -1))
            );
        }
    }
}

/// Batches whose records, batches and segments are out of order in time.
const TIMES: [&[i64]; 6] = [
    &[10_000, 10_500, 10_100, 10_900, 10_200],
    &[9_000, 8_000, 9_500],
    &[10_900, 10_901],
    &[20_000],
    &[15_000, 20_000, 20_000, 14_000],
    &[100, 0, 19_999],
];

/// The first offset with that timestamp or a later one, by looking at every record.
fn first_at_or_after(timestamp: i64) -> (i64, i64) {
    let all = (0..).zip(TIMES.concat());
    all.into_iter()
        .find(|(_, at)| *at >= timestamp)
        .unwrap_or((-1, -1))
}

/// How the batches lie in the bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    /// Each in a segment of its own.
    Apart,
    /// All in one.
    Together,
}

async fn produce_times(client: &mut Client, topic: &str, codec: Codec, layout: Layout) {
    let options = BatchOptions {
        codec,
        ..BatchOptions::default()
    };
    let batches: Vec<_> = TIMES
        .iter()
        .map(|times| (0, stamped(times, options.clone())))
        .collect();
    let requests = match layout {
        Layout::Apart => batches.into_iter().map(|batch| vec![batch]).collect(),
        Layout::Together => vec![batches],
    };
    for batches in requests {
        let request = produce_topics(-1, vec![of_topic(topic, batches)]);
        let response = client.ask(9, &request).await;
        let placed = &response.responses[0].partition_responses;
        assert!(placed.iter().all(|each| each.error_code == ErrorCode::NONE));
    }
}

#[tokio::test]
async fn times_are_found_exactly_in_every_codec() {
    let (_broker, mut client) = start(&[]).await;
    let mut asked: Vec<i64> = TIMES
        .concat()
        .iter()
        .flat_map(|at| [at - 1, *at, at + 1])
        .collect();
    asked.extend([0, 1, 12_345, 30_000, i64::MAX]);
    asked.retain(|timestamp| *timestamp >= 0);
    asked.sort_unstable();
    asked.dedup();
    for (codec, layout) in CODECS
        .into_iter()
        .flat_map(|codec| [(codec, Layout::Apart), (codec, Layout::Together)])
    {
        let topic = format!("{}-{layout:?}", codec.name());
        client.create_topic(&topic, 1, &[]).await;
        produce_times(&mut client, &topic, codec, layout).await;
        for timestamp in &asked {
            let found = look(&mut client, 7, &topic, *timestamp).await;
            let expected = Ok(first_at_or_after(*timestamp));
            assert_eq!(found, expected, "{timestamp} in {topic}");
        }
        // The first of the three records with the largest timestamp.
        let largest = look(&mut client, 7, &topic, MAX_TIMESTAMP).await;
        assert_eq!(largest, Ok((10, 20_000)), "{topic}");
    }
    for version in versions() {
        for timestamp in [8_500, 10_600, 14_500, 20_001] {
            let found = look(&mut client, version, "zstd-Together", timestamp).await;
            assert_eq!(
                found,
                Ok(first_at_or_after(timestamp)),
                "{timestamp} in {version}"
            );
        }
    }
}

#[tokio::test]
async fn times_of_arrival_are_found_too() {
    let (_broker, mut client) = start(&[]).await;
    client
        .create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")])
        .await;
    let mut arrived = Vec::new();
    for _ in 0..3 {
        let placed = client
            .produce("t", 0, stamped(&[5, 7], BatchOptions::default()))
            .await;
        arrived.push((placed.base_offset, placed.log_append_time_ms));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    for (offset, time) in &arrived {
        assert_eq!(look(&mut client, 7, "t", *time).await, Ok((*offset, *time)));
    }
    assert_eq!(
        look(&mut client, 7, "t", 6).await,
        Ok(arrived[0]),
        "what the producer said is gone"
    );
    assert_eq!(
        look(&mut client, 7, "t", arrived[2].1 + 1).await,
        Ok((-1, -1))
    );
    assert_eq!(
        look(&mut client, 7, "t", MAX_TIMESTAMP).await,
        Ok(arrived[2])
    );
}

#[tokio::test]
async fn what_is_unknown_or_named_twice_is_refused_beside_the_rest() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 2, &[]).await;
    client.produce("t", 1, batch(&["a"])).await;
    let mut request = request(
        "t",
        &[
            (0, LATEST),
            (1, LATEST),
            (2, LATEST),
            (-1, 5),
            (i32::MAX, EARLIEST),
            (0, EARLIEST),
        ],
    );
    let nowhere = self::request("nowhere", &[(0, LATEST), (1, 5)])
        .topics
        .remove(0);
    request.topics.push(nowhere);
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    for version in versions() {
        let response = client.ask(version, &request).await;
        let codes = |topic: usize| -> Vec<_> {
            response.topics[topic]
                .partitions
                .iter()
                .map(|p| (p.partition_index, p.error_code))
                .collect()
        };
        let twice = ErrorCode::INVALID_REQUEST;
        let mut first = codes(0);
        first.sort();
        let mut expected = [
            (0, twice),
            (1, ErrorCode::NONE),
            (2, unknown),
            (-1, unknown),
            (i32::MAX, unknown),
            (0, twice),
        ];
        expected.sort();
        assert_eq!(first, expected, "{version}");
        assert_eq!(codes(1), [(0, unknown), (1, unknown)]);
    }
}

#[tokio::test]
async fn only_a_leader_epoch_to_come_is_refused() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for version in 4..=*versions().end() {
        for (epoch, code) in [
            (-1, ErrorCode::NONE),
            (0, ErrorCode::NONE),
            (1, ErrorCode::UNKNOWN_LEADER_EPOCH),
        ] {
            let mut request = request("t", &[(0, LATEST)]);
            request.topics[0].partitions[0].current_leader_epoch = epoch;
            let response = client.ask(version, &request).await;
            assert_eq!(
                response.topics[0].partitions[0].error_code, code,
                "{epoch} in {version}"
            );
        }
    }
}

#[tokio::test]
async fn many_partitions_are_asked_for_at_once() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 200, &[]).await;
    for index in [3, 50, 199] {
        client
            .produce("t", index, stamped(&[1000, 2000], BatchOptions::default()))
            .await;
    }
    for (timestamp, found, empty) in [(LATEST, (2, -1), (0, -1)), (1500, (1, 2000), (-1, -1))] {
        let wanted: Vec<_> = (0..200).map(|index| (index, timestamp)).collect();
        let response = client.ask(7, &request("t", &wanted)).await;
        assert_eq!(response.topics[0].partitions.len(), 200);
        for partition in &response.topics[0].partitions {
            let filled = [3, 50, 199].contains(&partition.partition_index);
            let expected = if filled { found } else { empty };
            assert_eq!(
                (partition.offset, partition.timestamp),
                expected,
                "{}",
                partition.partition_index
            );
        }
    }
}
