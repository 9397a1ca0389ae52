//! Produce: what is checked and how it is refused, acks, order, and the offsets that batches get.

use bytes::Bytes;
use protocol::compression::Codec;
use protocol::messages::produce::{PartitionProduceResponse, TopicProduceData};
use protocol::messages::{ListOffsetsRequest, ProduceRequest, ProduceResponse};
use protocol::records::BatchOptions;
use protocol::{ApiKey, ErrorCode};

use crate::shapes::{
    altered, batch_of_size, batches, frame, now_ms, numbered, of_topic, produce_topics, stamped,
    start, values,
};
use crate::support::client::{Client, batch, batch_with, fetch_request, produce_request};

/// Kafka's default for `max.message.bytes`.
const MAX_MESSAGE_BYTES: usize = 1_048_588;
const HOUR_MS: i64 = 3_600_000;

fn versions() -> std::ops::RangeInclusive<i16> {
    ApiKey::Produce.versions()
}

fn only(response: &ProduceResponse) -> &PartitionProduceResponse {
    assert_eq!(response.responses.len(), 1);
    assert_eq!(response.responses[0].partition_responses.len(), 1);
    &response.responses[0].partition_responses[0]
}

async fn high_watermark(client: &mut Client, topic: &str) -> i64 {
    client.fetch(topic, 0, 0).await.high_watermark
}

#[tokio::test]
async fn acks_say_whether_there_is_an_answer() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for (offset, acks) in (0..).zip([1, -1]) {
        let response = client
            .ask(9, &produce_request("t", 0, acks, batch(&["a"])))
            .await;
        assert_eq!(
            (only(&response).error_code, only(&response).base_offset),
            (ErrorCode::NONE, offset)
        );
    }
    for acks in [2, -2, 5, i16::MAX, i16::MIN] {
        for version in versions() {
            let response = client
                .ask(version, &produce_request("t", 0, acks, batch(&["a"])))
                .await;
            assert_eq!(
                only(&response).error_code,
                ErrorCode::INVALID_REQUIRED_ACKS,
                "{acks} in {version}"
            );
            assert_eq!(only(&response).base_offset, -1);
        }
    }
    assert_eq!(
        high_watermark(&mut client, "t").await,
        2,
        "what was refused is not there"
    );
}

#[tokio::test]
async fn without_acks_the_next_answer_is_that_of_the_next_request() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for value in ["a", "b", "c"] {
        client
            .send(9, &produce_request("t", 0, 0, batch(&[value])))
            .await;
    }
    // `produce` checks the correlation id of what it gets.
    let placed = client.produce("t", 0, batch(&["d"])).await;
    assert_eq!(
        (placed.error_code, placed.base_offset),
        (ErrorCode::NONE, 3)
    );
    let fetched = client.fetch("t", 0, 0).await;
    assert_eq!(values(&fetched.records), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn without_acks_an_error_closes_the_connection() {
    let (broker, mut good) = start(&[]).await;
    good.create_topic("t", 1, &[]).await;
    let damaged = altered(&batch(&["a"]), 57, &2_i32.to_be_bytes());
    for request in [
        produce_request("nowhere", 0, 0, batch(&["a"])),
        produce_request("t", 1, 0, batch(&["a"])),
        produce_request("t", 0, 0, damaged),
        produce_request("t", 0, 0, numbered(&["a"], 1 << 40, 0, 7)),
    ] {
        let mut client = Client::connect(broker.listen).await;
        let later = frame(9, 2, &produce_request("t", 0, 1, batch(&["later"])));
        client
            .send_raw(&[frame(9, 1, &request), later].concat())
            .await;
        assert_eq!(client.receive_frame().await, None, "{request:?}");
    }
    assert_eq!(
        good.produce("t", 0, batch(&["b"])).await.error_code,
        ErrorCode::NONE
    );
}

/// What a partition is sent, where, and what it must be answered with.
struct Case {
    what: &'static str,
    topic: &'static str,
    partition: i32,
    records: Option<Bytes>,
    code: ErrorCode,
    /// The record at fault.
    record: Option<i32>,
}

fn case(what: &'static str, topic: &'static str, records: Bytes, code: ErrorCode) -> Case {
    Case {
        what,
        topic,
        partition: 0,
        records: Some(records),
        code,
        record: None,
    }
}

fn with_attributes(attributes: i16) -> Bytes {
    batch_with(
        &["a"],
        BatchOptions {
            attributes,
            ..BatchOptions::default()
        },
    )
}

fn at(timestamp: i64) -> Bytes {
    stamped(&[timestamp], BatchOptions::default())
}

fn keyed_but_the_second(codec: Codec) -> Bytes {
    let record = |offset_delta, key: Option<&'static str>| protocol::records::Record {
        offset_delta,
        key: key.map(|key| Bytes::from_static(key.as_bytes())),
        value: Some(Bytes::from_static(b"v")),
        ..Default::default()
    };
    let options = BatchOptions {
        codec,
        ..BatchOptions::default()
    };
    protocol::records::build_batch(
        &[record(0, Some("k")), record(1, None), record(2, Some("k"))],
        options,
    )
}

/// Section 3.2 of the compatibility notes, in its order.
fn refusals() -> Vec<Case> {
    let good = batch(&["a", "b"]);
    let mut flipped = good.to_vec();
    *flipped.last_mut().expect("bytes") ^= 1;
    let cut = good.slice(..good.len() - 1);
    let now = now_ms();
    vec![
        case("nothing", "t", Bytes::new(), ErrorCode::INVALID_RECORD),
        Case {
            records: None,
            ..case("null", "t", Bytes::new(), ErrorCode::INVALID_RECORD)
        },
        case(
            "two batches",
            "t",
            [good.clone(), good.clone()].concat().into(),
            ErrorCode::INVALID_RECORD,
        ),
        case(
            "magic 0",
            "t",
            altered(&good, 16, &[0]),
            ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
        ),
        case(
            "magic 1",
            "t",
            altered(&good, 16, &[1]),
            ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
        ),
        case(
            "codec 5",
            "t",
            altered(&good, 21, &5_i16.to_be_bytes()),
            ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
        ),
        case(
            "too large",
            "small",
            batch_of_size(501),
            ErrorCode::MESSAGE_TOO_LARGE,
        ),
        case(
            "a wrong checksum",
            "t",
            flipped.into(),
            ErrorCode::CORRUPT_MESSAGE,
        ),
        case("cut short", "t", cut, ErrorCode::CORRUPT_MESSAGE),
        case(
            "a negative length",
            "t",
            altered(&good, 8, &(-1_i32).to_be_bytes()),
            ErrorCode::CORRUPT_MESSAGE,
        ),
        case(
            "less than a header",
            "t",
            good.slice(..40),
            ErrorCode::CORRUPT_MESSAGE,
        ),
        case(
            "no records",
            "t",
            altered(&good, 57, &0_i32.to_be_bytes()),
            ErrorCode::INVALID_RECORD,
        ),
        case(
            "fewer records than offsets",
            "t",
            altered(&good, 57, &1_i32.to_be_bytes()),
            ErrorCode::INVALID_RECORD,
        ),
        case(
            "a last offset delta of -1",
            "t",
            altered(&good, 23, &(-1_i32).to_be_bytes()),
            ErrorCode::INVALID_RECORD,
        ),
        case(
            "a third record announced and not there",
            "t",
            altered(
                &altered(&good, 23, &2_i32.to_be_bytes()),
                57,
                &3_i32.to_be_bytes(),
            ),
            ErrorCode::INVALID_RECORD,
        ),
        case(
            "a control batch",
            "t",
            with_attributes(1 << 5),
            ErrorCode::INVALID_RECORD,
        ),
        case(
            "no transaction",
            "t",
            numbered_in_transaction(),
            ErrorCode::INVALID_TXN_STATE,
        ),
        case(
            "no sequence",
            "t",
            numbered(&["a"], 7, 0, -1),
            ErrorCode::INVALID_RECORD,
        ),
        case(
            "append time from a client",
            "t",
            with_attributes(1 << 3),
            ErrorCode::INVALID_TIMESTAMP,
        ),
        Case {
            record: Some(0),
            ..case(
                "the future",
                "t",
                at(now + 2 * HOUR_MS),
                ErrorCode::INVALID_TIMESTAMP,
            )
        },
        Case {
            record: Some(0),
            ..case(
                "the far future",
                "t",
                at(i64::MAX),
                ErrorCode::INVALID_TIMESTAMP,
            )
        },
        Case {
            record: Some(0),
            ..case(
                "the past",
                "recent",
                at(now - 2 * HOUR_MS),
                ErrorCode::INVALID_TIMESTAMP,
            )
        },
        Case {
            record: Some(1),
            ..case(
                "no key",
                "keyed",
                keyed_but_the_second(Codec::None),
                ErrorCode::INVALID_RECORD,
            )
        },
        Case {
            record: Some(1),
            ..case(
                "no key, packed",
                "keyed",
                keyed_but_the_second(Codec::Gzip),
                ErrorCode::INVALID_RECORD,
            )
        },
        case(
            "no such topic",
            "nowhere",
            good.clone(),
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ),
        Case {
            partition: 1,
            ..case(
                "past the last",
                "t",
                good.clone(),
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            )
        },
        Case {
            partition: -1,
            ..case(
                "-1",
                "t",
                good.clone(),
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            )
        },
        Case {
            partition: i32::MAX,
            ..case(
                "the largest",
                "t",
                good,
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            )
        },
    ]
}

fn numbered_in_transaction() -> Bytes {
    let options = BatchOptions {
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: 0,
        attributes: 1 << 4,
        ..BatchOptions::default()
    };
    batch_with(&["a"], options)
}

async fn topics_to_be_refused(client: &mut Client) {
    for (name, configs) in [
        ("t", &[][..]),
        ("small", &[("max.message.bytes", "500")]),
        ("recent", &[("message.timestamp.before.max.ms", "3600000")]),
        ("keyed", &[("cleanup.policy", "compact")]),
    ] {
        assert_eq!(client.create_topic(name, 1, configs).await, ErrorCode::NONE);
    }
}

fn request_of(case: &Case) -> ProduceRequest {
    let mut request = produce_request(case.topic, case.partition, -1, Bytes::new());
    request.topic_data[0].partition_data[0].records = case.records.clone().map(Into::into);
    request
}

#[tokio::test]
async fn every_check_has_its_code_in_every_version() {
    let (_broker, mut client) = start(&[]).await;
    topics_to_be_refused(&mut client).await;
    let cases = refusals();
    for version in versions() {
        for case in &cases {
            let response = client.ask(version, &request_of(case)).await;
            let refused = only(&response);
            let what = format!("{} in version {version}: {refused:?}", case.what);
            assert_eq!(refused.error_code, case.code, "{what}");
            assert_eq!(refused.index, case.partition, "{what}");
            assert_eq!(
                (refused.base_offset, refused.log_append_time_ms),
                (-1, -1),
                "{what}"
            );
            let explains = version >= 8;
            assert_eq!(refused.error_message.is_some(), explains, "{what}");
            let blamed: Vec<i32> = refused
                .record_errors
                .iter()
                .map(|error| error.batch_index)
                .collect();
            let expected: Vec<i32> = case.record.into_iter().filter(|_| explains).collect();
            assert_eq!(blamed, expected, "{what}");
        }
    }
    for topic in ["t", "small", "recent", "keyed"] {
        assert_eq!(
            high_watermark(&mut client, topic).await,
            0,
            "{topic} took something"
        );
    }
}

#[tokio::test]
async fn zstd_needs_version_7() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let packed = |codec| {
        batch_with(
            &["a", "b"],
            BatchOptions {
                codec,
                ..BatchOptions::default()
            },
        )
    };
    for version in versions() {
        for codec in [
            Codec::None,
            Codec::Gzip,
            Codec::Snappy,
            Codec::Lz4,
            Codec::Zstd,
        ] {
            let response = client
                .ask(version, &produce_request("t", 0, -1, packed(codec)))
                .await;
            let expected = match codec {
                Codec::Zstd if version < 7 => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
                _ => ErrorCode::NONE,
            };
            assert_eq!(
                only(&response).error_code,
                expected,
                "{codec:?} in {version}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_lawful_is_taken_in_every_version() {
    let (_broker, mut client) = start(&[]).await;
    topics_to_be_refused(&mut client).await;
    let now = now_ms();
    let mut offset = 0;
    for version in versions() {
        for records in [at(now), at(now + HOUR_MS / 2), at(0), at(-1), batch(&["a"])] {
            let response = client
                .ask(version, &produce_request("t", 0, -1, records))
                .await;
            let placed = only(&response);
            assert_eq!(
                (placed.error_code, placed.base_offset),
                (ErrorCode::NONE, offset),
                "{version}"
            );
            assert_eq!(placed.log_append_time_ms, -1);
            assert_eq!(placed.log_start_offset, if version >= 5 { 0 } else { -1 });
            assert_eq!(
                (&placed.error_message, placed.record_errors.len()),
                (&None, 0)
            );
            offset += 1;
        }
    }
    let recent = client.produce("recent", 0, at(now - HOUR_MS / 2)).await;
    assert_eq!(recent.error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn a_batch_may_be_as_large_as_the_topic_says_and_no_byte_larger() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("plain", 1, &[]).await;
    client
        .create_topic("small", 1, &[("max.message.bytes", "500")])
        .await;
    client
        .create_topic("large", 1, &[("max.message.bytes", "5000000")])
        .await;
    for (topic, limit) in [
        ("plain", MAX_MESSAGE_BYTES),
        ("small", 500),
        ("large", 5_000_000),
    ] {
        let placed = client.produce(topic, 0, batch_of_size(limit)).await;
        assert_eq!(placed.error_code, ErrorCode::NONE, "{topic}");
        let refused = client.produce(topic, 0, batch_of_size(limit + 1)).await;
        assert_eq!(refused.error_code, ErrorCode::MESSAGE_TOO_LARGE, "{topic}");
        let fetched = client.fetch(topic, 0, 0).await;
        let sizes: Vec<usize> = batches(&fetched.records)
            .iter()
            .map(|(_, batch)| batch.len())
            .collect();
        assert_eq!((fetched.high_watermark, sizes), (1, vec![limit]), "{topic}");
    }
}

#[tokio::test]
async fn a_topic_may_stamp_records_with_their_arrival() {
    let (_broker, mut client) = start(&[]).await;
    let settings = [("message.timestamp.type", "LogAppendTime")];
    client.create_topic("t", 1, &settings).await;
    for (codec, version) in [(Codec::None, 3), (Codec::Lz4, 9), (Codec::Zstd, 12)] {
        let before = now_ms();
        let options = BatchOptions {
            codec,
            ..BatchOptions::default()
        };
        // A time that CreateTime would refuse: it is replaced.
        let sent = stamped(&[before + 5 * HOUR_MS, before], options);
        let response = client
            .ask(version, &produce_request("t", 0, -1, sent.clone()))
            .await;
        let placed = only(&response);
        assert_eq!(placed.error_code, ErrorCode::NONE);
        let time = placed.log_append_time_ms;
        assert!((before..=now_ms()).contains(&time), "{before} <= {time}");
        let fetched = client.fetch("t", 0, placed.base_offset).await;
        let (header, kept) = batches(&fetched.records).remove(0);
        assert!(header.has_log_append_time());
        assert_eq!(
            (header.base_offset, header.max_timestamp),
            (placed.base_offset, time)
        );
        assert_eq!(
            header.base_timestamp,
            before + 5 * HOUR_MS,
            "Kafka leaves the first timestamp"
        );
        assert_eq!(
            kept.slice(61..),
            sent.slice(61..),
            "the records are as they were"
        );
    }
}

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
        let latest = other.ask(7, &latest("t")).await;
        assert_eq!(latest.topics[0].partitions[0].offset, index + 1);
        let fetched = other.ask(12, &fetch_request("t", 0, index, 0)).await;
        assert_eq!(
            batches(&fetched.responses[0].partitions[0].records).len(),
            1
        );
    }
}

fn latest(topic: &str) -> ListOffsetsRequest {
    use protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
    let partitions = vec![ListOffsetsPartition {
        timestamp: -1,
        ..Default::default()
    }];
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.to_owned(),
            partitions,
        }],
        ..Default::default()
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
