//! What is checked of a batch, and what of it a topic decides: codecs, timestamps, sizes.

use protocol::ErrorCode;
use protocol::compression::Codec;
use protocol::records::BatchOptions;

use super::refusals::{refusals, request_of};
use super::{HOUR_MS, at, high_watermark, only, topics_to_be_refused, versions};
use crate::shapes::{batch_of_size, batches, now_ms, stamped, start};
use crate::support::client::{batch, batch_with, produce_request};

/// Kafka's default for `max.message.bytes`.
const MAX_MESSAGE_BYTES: usize = 1_048_588;

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
