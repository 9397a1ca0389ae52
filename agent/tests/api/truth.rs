//! Batches say the truth or are refused, whatever they are packed with: what producers get wrong, what of it is mended, and
//! what a topic wants of its batches.

use std::ops::ControlFlow;

use bytes::Bytes;
use protocol::compression::Codec;
use protocol::messages::produce::PartitionProduceResponse;
use protocol::record_batch::{BatchHeader, HEADER_BYTES, repack};
use protocol::records::{BatchOptions, Record, build_batch};
use protocol::walk::walk_and_unpack;
use protocol::{Allowance, ErrorCode};

use crate::shapes::{altered, batches, now_ms, stamped, start, values};
use crate::support::client::{Client, batch, batch_with, list_offsets_request};

const PACKED: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
/// Where the header says the largest timestamp, and the last offset.
const MAX_TIMESTAMP: usize = 35;
const LAST_OFFSET_DELTA: usize = 23;

fn with_codec(codec: Codec) -> BatchOptions {
    BatchOptions {
        codec,
        ..BatchOptions::default()
    }
}

/// The offset and timestamp found for a time.
async fn by_time(client: &mut Client, topic: &str, timestamp: i64) -> (i64, i64) {
    let request = list_offsets_request(topic, &[(0, timestamp)]);
    let response = client.ask(10, &request).await;
    let found = &response.topics[0].partitions[0];
    assert_eq!(found.error_code, ErrorCode::NONE);
    (found.offset, found.timestamp)
}

async fn high_watermark(client: &mut Client, topic: &str) -> i64 {
    client.fetch(topic, 0, 0).await.high_watermark
}

/// A batch of that codec around contents of any kind, said to be so many records.
fn around(codec: Codec, contents: &[u8], records: usize) -> Bytes {
    let plain = batch(&vec!["a"; records]);
    repack(&plain, contents, (codec, 1), &|| true).expect("it packs")
}

/// The same around bytes that the codec did not make.
fn not_packed(codec: Codec, contents: &[u8], records: usize) -> Bytes {
    let plain = around(Codec::None, contents, records);
    altered(&plain, 21, &codec.bits().to_be_bytes())
}

#[tokio::test]
async fn a_largest_timestamp_that_is_not_the_records_is_mended() {
    let (_broker, mut client) = start(&[]).await;
    for codec in Codec::ALL {
        for said in [-1_i64, 1, 9_999] {
            let topic = format!("{codec:?}-{}", said.unsigned_abs());
            client.create_topic(&topic, 1, &[]).await;
            let times: Vec<i64> = (1000..1010).collect();
            let wrong = altered(
                &stamped(&times, with_codec(codec)),
                MAX_TIMESTAMP,
                &said.to_be_bytes(),
            );
            let placed = client.produce(&topic, 0, wrong.clone()).await;
            assert_eq!(placed.error_code, ErrorCode::NONE, "{topic}");
            client
                .produce(&topic, 0, stamped(&[1020], with_codec(codec)))
                .await;
            // Whatever the header said, they are found by the times of the records.
            assert_eq!(by_time(&mut client, &topic, 1005).await, (5, 1005));
            assert_eq!(by_time(&mut client, &topic, 1).await, (0, 1000));
            assert_eq!(by_time(&mut client, &topic, 1010).await, (10, 1020));
            assert_eq!(by_time(&mut client, &topic, 2000).await, (-1, -1));
            assert_eq!(by_time(&mut client, &topic, -3).await, (10, 1020));
            let fetched = client.fetch(&topic, 0, 0).await;
            let (header, kept) = batches(&fetched.records).remove(0);
            assert_eq!(
                (header.base_timestamp, header.max_timestamp),
                (1000, 1009),
                "{topic}"
            );
            assert_eq!(
                kept.slice(HEADER_BYTES..),
                wrong.slice(HEADER_BYTES..),
                "the records are as they were"
            );
        }
    }
}

#[tokio::test]
async fn records_have_the_times_that_a_topic_takes_whatever_the_header_says() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let now = now_ms();
    for codec in Codec::ALL {
        let far = stamped(&[now, now * 1000, now], with_codec(codec));
        for said in [-1, now] {
            let hidden = altered(&far, MAX_TIMESTAMP, &said.to_be_bytes());
            let refused = client.produce("t", 0, hidden).await;
            assert_eq!(refused.error_code, ErrorCode::INVALID_TIMESTAMP);
            names_the_setting(&refused);
            let blamed: Vec<_> = refused
                .record_errors
                .iter()
                .map(|error| error.batch_index)
                .collect();
            assert_eq!(blamed, [1], "{codec:?}");
        }
        // Only the records count, not what the header says.
        let wrong = altered(
            &stamped(&[now], with_codec(codec)),
            MAX_TIMESTAMP,
            &(now * 1000).to_be_bytes(),
        );
        assert_eq!(
            client.produce("t", 0, wrong).await.error_code,
            ErrorCode::NONE
        );
    }
}

#[tokio::test]
async fn what_is_inside_a_batch_is_what_its_header_says() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let two = batch(&["some value", "another value"]).slice(HEADER_BYTES..);
    let mut refuse = async |what: &str, batch: Bytes| {
        let refused = client.produce("t", 0, batch).await;
        assert_eq!(refused.error_code, ErrorCode::INVALID_RECORD, "{what}");
        assert!(refused.error_message.is_some(), "{what}");
        assert_eq!(refused.base_offset, -1, "{what}");
    };
    for codec in Codec::ALL {
        let name = codec.name();
        refuse(&format!("{name}: a third one"), around(codec, &two, 3)).await;
        refuse(&format!("{name}: too many"), around(codec, &two, 1)).await;
        refuse(&format!("{name}: nothing"), around(codec, b"", 1)).await;
        refuse(&format!("{name}: garbage"), around(codec, &[0xff; 40], 2)).await;
        let followed = [&two[..], b"tail"].concat();
        refuse(&format!("{name}: a tail"), around(codec, &followed, 2)).await;
        let cut = &two[..two.len() - 1];
        refuse(&format!("{name}: cut"), around(codec, cut, 2)).await;
    }
    for codec in PACKED {
        let name = codec.name();
        refuse(&format!("{name}: not packed"), not_packed(codec, &two, 2)).await;
        let whole = around(codec, &two, 2).slice(HEADER_BYTES..);
        let cut = &whole[..whole.len() - 4];
        refuse(&format!("{name}: cut short"), not_packed(codec, cut, 2)).await;
        let followed = [&whole[..], b"garbage"].concat();
        refuse(
            &format!("{name}: followed"),
            not_packed(codec, &followed, 2),
        )
        .await;
        refuse(&format!("{name}: empty"), not_packed(codec, b"", 1)).await;
    }
    assert_eq!(high_watermark(&mut client, "t").await, 0);
    for codec in Codec::ALL {
        let good = client.produce("t", 0, around(codec, &two, 2)).await;
        assert_eq!(good.error_code, ErrorCode::NONE, "{codec:?}");
    }
    assert_eq!(values(&client.fetch("t", 0, 0).await.records).len(), 10);
}

#[tokio::test]
async fn records_at_fault_are_named() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let compacted = [("cleanup.policy", "compact")];
    client.create_topic("keyed", 1, &compacted).await;
    let at = |offset_delta, key: Option<&'static [u8]>| Record {
        offset_delta,
        key: key.map(Bytes::from_static),
        ..Record::default()
    };
    for codec in Codec::ALL {
        let gap = build_batch(&[at(0, None), at(5, None)], with_codec(codec));
        let gap = altered(&gap, LAST_OFFSET_DELTA, &1_i32.to_be_bytes());
        let no_keys = [at(0, None), at(1, Some(b"k")), at(2, None)];
        let no_keys = build_batch(&no_keys, with_codec(codec));
        for (topic, batch, expected) in [("t", gap, vec![1]), ("keyed", no_keys, vec![0, 2])] {
            let refused = client.produce(topic, 0, batch).await;
            assert_eq!(refused.error_code, ErrorCode::INVALID_RECORD, "{codec:?}");
            let errors = refused.record_errors.iter();
            let blamed: Vec<_> = errors.clone().map(|error| error.batch_index).collect();
            assert_eq!(blamed, expected, "{topic} {codec:?}");
            assert!(
                errors
                    .clone()
                    .all(|e| e.batch_index_error_message.is_some())
            );
        }
    }
    // However many there are, an answer names a few.
    let crowd: Vec<_> = (0..10_000).map(|delta| at(delta, None)).collect();
    let refused = client
        .produce("keyed", 0, build_batch(&crowd, BatchOptions::default()))
        .await;
    assert_eq!(refused.record_errors.len(), 16);
}

#[tokio::test]
async fn a_base_offset_other_than_0_is_refused() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for base_offset in [1, 100, -1, i64::MAX] {
        let options = BatchOptions {
            base_offset,
            ..BatchOptions::default()
        };
        let refused = client.produce("t", 0, batch_with(&["a"], options)).await;
        assert_eq!(refused.error_code, ErrorCode::INVALID_RECORD);
    }
    assert_eq!(high_watermark(&mut client, "t").await, 0);
}

#[tokio::test]
async fn a_topic_may_say_how_its_batches_are_packed() {
    let (_broker, mut client) = start(&[]).await;
    let text = "a value that repeats ".repeat(50);
    for (word, kept_as) in [
        ("gzip", Codec::Gzip),
        ("snappy", Codec::Snappy),
        ("lz4", Codec::Lz4),
        ("zstd", Codec::Zstd),
        ("uncompressed", Codec::None),
    ] {
        let settings = [("compression.type", word)];
        client.create_topic(word, 1, &settings).await;
        for (base_offset, codec) in (0..).step_by(2).zip(Codec::ALL) {
            let sent = batch_with(&[&text, &text], with_codec(codec));
            let placed = client.produce(word, 0, sent.clone()).await;
            assert_eq!(
                (placed.error_code, placed.base_offset),
                (ErrorCode::NONE, base_offset)
            );
            let fetched = client.fetch(word, 0, base_offset).await;
            let (header, kept) = batches(&fetched.records).remove(0);
            assert_eq!(header.codec(), Some(kept_as), "{word} of {codec:?}");
            assert_eq!(contents(&kept), contents(&sent));
            if codec == kept_as {
                let (kept, sent) = (kept.slice(HEADER_BYTES..), sent.slice(HEADER_BYTES..));
                assert_eq!(kept, sent, "already packed so");
            }
        }
        assert_eq!(values(&client.fetch(word, 0, 0).await.records).len(), 10);
    }
    // What is larger than the topic takes once it is unpacked is refused, as in Kafka.
    let settings = [
        ("compression.type", "uncompressed"),
        ("max.message.bytes", "1000"),
    ];
    client.create_topic("small", 1, &settings).await;
    let small = batch_with(&[&text], with_codec(Codec::Zstd));
    let refused = client.produce("small", 0, small).await;
    assert_eq!(refused.error_code, ErrorCode::MESSAGE_TOO_LARGE);
}

fn contents(batch: &Bytes) -> Vec<u8> {
    let header = BatchHeader::read(batch).expect("a header");
    walk_and_unpack(batch, &header, 1 << 20, &mut Allowance::of(1 << 20), |_| {
        ControlFlow::Continue(())
    })
    .expect("it unpacks")
}

/// That of a timestamp in the future.
fn names_the_setting(refused: &PartitionProduceResponse) {
    let said = refused.error_message.as_deref().expect("a sentence");
    let setting = "message.timestamp.after.max.ms=3600000";
    assert!(said.contains(setting), "no {setting} in {said}");
}

#[tokio::test]
async fn a_topic_may_trust_its_producers() {
    let (_broker, mut client) = start(&[]).await;
    let trusting = ("penstock.trust.producers", "true");
    client.create_topic("trusting", 1, &[trusting]).await;
    let compacted = [trusting, ("cleanup.policy", "compact")];
    client.create_topic("compacted", 1, &compacted).await;
    let two = batch(&["a", "b"]).slice(HEADER_BYTES..);
    let lie = |codec| around(codec, &two, 3);
    for codec in Codec::ALL {
        let placed = client.produce("trusting", 0, lie(codec)).await;
        let expected = match codec {
            // It lies open.
            Codec::None => ErrorCode::INVALID_RECORD,
            _ => ErrorCode::NONE,
        };
        assert_eq!(placed.error_code, expected, "{codec:?}");
        // Where keys are looked at, the rest is, too.
        let refused = client.produce("compacted", 0, lie(codec)).await;
        assert_eq!(refused.error_code, ErrorCode::INVALID_RECORD, "{codec:?}");
    }
    let future = stamped(&[now_ms() * 1000], with_codec(Codec::Zstd));
    let refused = client.produce("trusting", 0, future).await;
    assert_eq!(refused.error_code, ErrorCode::INVALID_TIMESTAMP);
    names_the_setting(&refused);
}

#[tokio::test]
async fn a_record_may_unpack_into_as_much_as_the_topic_says() {
    let (_broker, mut client) = start(&[]).await;
    let settings = [("max.decompressed.message.bytes", "1000")];
    client.create_topic("t", 1, &settings).await;
    for (bytes, taken) in [(900, true), (1100, false)] {
        let text = "x".repeat(bytes);
        for codec in Codec::ALL {
            let placed = client
                .produce("t", 0, batch_with(&[&text], with_codec(codec)))
                .await;
            // Kafka limits what was packed alone.
            let expected = match taken || codec == Codec::None {
                true => ErrorCode::NONE,
                false => ErrorCode::INVALID_RECORD,
            };
            assert_eq!(placed.error_code, expected, "{codec:?} {bytes}");
        }
    }
}

/// A batch of one record of nothing but zeros.
fn bomb(codec: Codec, bytes: usize) -> Bytes {
    let record = Record {
        key: Some(Bytes::from_static(b"k")),
        value: Some(vec![0; bytes].into()),
        ..Record::default()
    };
    build_batch(&[record], with_codec(codec))
}

#[tokio::test]
async fn what_unpacks_into_much_is_taken_and_what_unpacks_into_too_much_is_refused() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let much = client.produce("t", 0, bomb(Codec::Zstd, 60 << 20)).await;
    assert_eq!(much.error_code, ErrorCode::NONE);
    let too_much = client.produce("t", 0, bomb(Codec::Zstd, 130 << 20)).await;
    assert_eq!(too_much.error_code, ErrorCode::MESSAGE_TOO_LARGE);
    // The order of requests on a connection is kept, however long each of them takes to look at.
    let placed = client.produce("t", 0, batch(&["a"])).await;
    assert_eq!(
        (placed.error_code, placed.base_offset),
        (ErrorCode::NONE, 1)
    );
    // And it is found by time, for which it is unpacked again.
    assert_eq!(by_time(&mut client, "t", 0).await, (0, 0));
}

#[tokio::test]
async fn a_client_that_leaves_at_once_without_wanting_acks_is_heard() {
    let (broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for codec in Codec::ALL {
        let mut brief = Client::connect(broker.listen).await;
        let request = crate::support::client::produce_request("t", 0, 0, bomb(codec, 900_000));
        if codec != Codec::None {
            brief.send(9, &request).await;
        }
    }
    for _ in 0..500 {
        if high_watermark(&mut client, "t").await == 4 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{}", high_watermark(&mut client, "t").await);
}

#[tokio::test]
async fn requests_sent_at_once_keep_their_order_however_long_each_is_looked_at() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let producer_id = crate::shapes::new_producer(&mut client).await;
    let sizes = [60 << 20, 10, 3 << 20, 1000, 20 << 20, 10];
    for (base_sequence, bytes) in (0..).zip(sizes) {
        let record = Record {
            value: Some(vec![0; bytes].into()),
            ..Record::default()
        };
        let options = BatchOptions {
            codec: Codec::Zstd,
            producer_id,
            producer_epoch: 0,
            base_sequence,
            ..BatchOptions::default()
        };
        let request =
            crate::support::client::produce_request("t", 0, -1, build_batch(&[record], options));
        client.send(9, &request).await;
    }
    for offset in 0..6 {
        let frame = client.receive_frame().await.expect("an answer");
        let (_, response) =
            protocol::decode_response::<protocol::messages::ProduceRequest>(9, frame).unwrap();
        let placed = &response.responses[0].partition_responses[0];
        assert_eq!(
            (placed.error_code, placed.base_offset),
            (ErrorCode::NONE, offset)
        );
    }
}
