//! Which batches come: by offset, as they were sent, and within the limits.

use bytes::Bytes;
use protocol::ErrorCode;
use protocol::compression::Codec;
use protocol::record_batch::PREFIX_BYTES;
use protocol::records::BatchOptions;

use super::{LONG_MS, only, several, sizes, versions};
use crate::shapes::{batches, new_producer, numbered, of_topic, produce_topics, start, values};
use crate::support::client::{batch, batch_with, fetch_request};

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
