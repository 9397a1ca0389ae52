//! One socket, whatever comes over it: frames of every kind of wrong, in pieces, in heaps, and replies nobody reads.

use std::time::Duration;

use protocol::messages::{
    ApiVersionsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest,
};
use protocol::{ApiKey, ErrorCode};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::shapes::{batches, frame, start, values};
use crate::support::broker::{Broker, PATIENCE};
use crate::support::client::{Client, batch, fetch_request, produce_request};

fn versions_asked() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1".to_owned(),
    }
}

/// A length and what follows it.
fn claimed(length: i32, bytes: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes(), bytes].concat()
}

/// A header: api key, version, correlation id, the length of the client id.
fn header(key: i16, version: i16, client_id_length: i16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(key.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(1_i32.to_be_bytes());
    bytes.extend(client_id_length.to_be_bytes());
    bytes
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    claimed(i32::try_from(bytes.len()).expect("small"), bytes)
}

/// The broker closes a connection that sends this, without an answer.
async fn closes(broker: &Broker, bytes: &[u8]) {
    let mut client = Client::connect(broker.listen).await;
    client.send_raw(bytes).await;
    let what = &bytes[..bytes.len().min(32)];
    assert_eq!(client.receive_frame().await, None, "{what:?}");
}

#[tokio::test]
async fn impossible_lengths_close_the_connection() {
    let (broker, mut good) = start(&[]).await;
    for length in [
        -1,
        0,
        i32::MIN,
        i32::MAX,
        0x4000_0000,
        100 * 1024 * 1024 + 1,
    ] {
        closes(&broker, &claimed(length, &header(18, 3, -1))).await;
    }
    // Too short for a header.
    for length in 1..10_usize {
        closes(&broker, &framed(&header(18, 0, -1)[..length])).await;
    }
    // Large, and no Produce: refused before the bulk is read.
    closes(
        &broker,
        &claimed(9 << 20, &[header(3, 1, -1), vec![0; 20_000]].concat()),
    )
    .await;
    assert_eq!(
        good.ask(3, &versions_asked()).await.error_code,
        ErrorCode::NONE
    );
}

#[tokio::test]
async fn malformed_requests_close_the_connection() {
    let (broker, mut good) = start(&[]).await;
    let array = |count: i32| count.to_be_bytes().to_vec();
    for bytes in [
        // A client id past the frame, of a negative length, and one that is not text.
        [header(18, 0, 100), b"x".to_vec()].concat(),
        header(18, 0, -2),
        [header(18, 0, 2), vec![0xff, 0xfe]].concat(),
        // Metadata: an array past the frame, a negative one, a topic cut short.
        [header(3, 1, -1), array(i32::MAX)].concat(),
        [header(3, 1, -1), array(-2)].concat(),
        [header(3, 1, -1), array(1), vec![0, 5, b'a']].concat(),
        // A flexible header with ten million tagged fields.
        [header(18, 3, -1), vec![0x80, 0xad, 0xe2, 0x04]].concat(),
        // Produce: topics announced and not there.
        [
            header(0, 3, -1),
            vec![0xff, 0xff, 0, 1, 0, 0, 0, 0],
            array(i32::MAX),
        ]
        .concat(),
        // Fetch with nothing in it.
        header(1, 12, -1),
        // Somebody speaks HTTP; somebody TLS.
        b"aaaaaaaaaaaaaaaaaaaaaaa".to_vec(),
    ] {
        closes(&broker, &framed(&bytes)).await;
    }
    closes(&broker, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    closes(
        &broker,
        &[
            0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03,
        ],
    )
    .await;
    assert_eq!(
        good.ask(3, &versions_asked()).await.error_code,
        ErrorCode::NONE
    );
}

#[tokio::test]
async fn what_was_asked_before_the_nonsense_is_answered() {
    let (broker, mut good) = start(&[]).await;
    good.create_topic("t", 1, &[]).await;
    for nonsense in [
        claimed(-1, &[]),
        framed(&header(9999, 0, -1)),
        framed(&header(1, 12, -1)),
    ] {
        let mut client = Client::connect(broker.listen).await;
        let produce = |id| frame(9, id, &produce_request("t", 0, -1, batch(&["kept"])));
        let all = [
            produce(1),
            produce(2),
            frame(3, 3, &versions_asked()),
            nonsense,
        ]
        .concat();
        client.send_raw(&all).await;
        for id in 1..=3_i32 {
            let answer = client.receive_frame().await.expect("an answer");
            assert_eq!(answer[..4], id.to_be_bytes());
        }
        assert_eq!(client.receive_frame().await, None);
    }
    assert_eq!(good.fetch("t", 0, 0).await.high_watermark, 6);
}

#[tokio::test]
async fn any_bytes_leave_the_broker_as_it_was() {
    let (broker, mut good) = start(&[]).await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let keys: Vec<i16> = ApiKey::ALL.iter().map(|key| key.code()).collect();
    for round in 0..300_usize {
        // A good header for a known version, and noise after it.
        let key = ApiKey::ALL[round % keys.len()];
        let versions: Vec<i16> = key.versions().collect();
        let version = versions[usize::try_from(random() % 64).expect("small") % versions.len()];
        let noise: Vec<u8> = (0..random() % 200)
            .map(|_| (random() & 0xff) as u8 & if round % 2 == 0 { 0xff } else { 3 })
            .collect();
        let mut client = Client::connect(broker.listen).await;
        client
            .send_raw(&framed(&[header(key.code(), version, -1), noise].concat()))
            .await;
        // Whatever it makes of it, an answer or an end: the sender is gone.
    }
    assert_eq!(good.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    assert_eq!(good.produce("t", 0, batch(&["a"])).await.base_offset, 0);
}

#[tokio::test]
async fn half_a_frame_and_gone_is_no_matter() {
    let (broker, mut good) = start(&[]).await;
    good.create_topic("t", 1, &[]).await;
    let whole = frame(
        9,
        1,
        &produce_request("t", 0, -1, batch(&["x".repeat(100_000).as_str()])),
    );
    for length in [1, 3, 4, 5, 14, 50, 20_000, whole.len() - 1] {
        let mut client = Client::connect(broker.listen).await;
        client.send_raw(&whole[..length]).await;
        client.socket.shutdown().await.expect("a TCP option");
        assert_eq!(client.receive_frame().await, None, "{length} bytes of it");
    }
    assert_eq!(
        good.produce("t", 0, batch(&["a"])).await.base_offset,
        0,
        "nothing came of the halves"
    );
}

#[tokio::test]
async fn what_a_client_sent_before_it_left_is_kept() {
    let (broker, mut good) = start(&[]).await;
    good.create_topic("t", 1, &[]).await;
    for _ in 0..10 {
        let mut client = Client::connect(broker.listen).await;
        client
            .send(9, &produce_request("t", 0, 0, batch(&["a"])))
            .await;
    }
    let mut consumer = Client::connect(broker.listen).await;
    let all_there = async {
        while good.fetch("t", 0, 0).await.high_watermark < 10 {
            consumer
                .ask(
                    12,
                    &fetch_request("t", 0, good.fetch("t", 0, 0).await.high_watermark, 100),
                )
                .await;
        }
    };
    timeout(PATIENCE, all_there)
        .await
        .expect("acks=0 is stored although its sender is gone");
}

#[tokio::test]
async fn a_frame_may_come_one_byte_at_a_time() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for bytes in [
        frame(3, 7, &versions_asked()),
        frame(9, 7, &produce_request("t", 0, -1, batch(&["slow"]))),
    ] {
        for byte in bytes {
            client.socket.write_all(&[byte]).await.expect("sent");
            client.socket.flush().await.expect("sent");
            tokio::task::yield_now().await;
        }
        let answer = client.receive_frame().await.expect("an answer");
        assert_eq!(answer[..4], 7_i32.to_be_bytes());
    }
    assert_eq!(values(&client.fetch("t", 0, 0).await.records), ["slow"]);
}

#[tokio::test]
async fn frames_may_be_cut_anywhere() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let large = "x".repeat(40_000);
    let two: Vec<u8> = (0..2)
        .flat_map(|id| {
            frame(
                9,
                id,
                &produce_request("t", 0, -1, batch(&[large.as_str()])),
            )
        })
        .collect();
    for cut in [
        1,
        2,
        4,
        10,
        100,
        16_383,
        16_384,
        16_385,
        16_388,
        40_000,
        two.len() / 2 + 2,
        two.len() - 1,
    ] {
        client.socket.write_all(&two[..cut]).await.expect("sent");
        tokio::time::sleep(Duration::from_millis(2)).await;
        client.socket.write_all(&two[cut..]).await.expect("sent");
        for id in 0..2_i32 {
            let answer = client.receive_frame().await.expect("an answer");
            let (correlation_id, response) =
                protocol::decode_response::<ProduceRequest>(9, answer).expect("a Produce response");
            assert_eq!(correlation_id, id, "cut at {cut}");
            assert_eq!(
                response.responses[0].partition_responses[0].error_code,
                ErrorCode::NONE
            );
        }
    }
}

#[tokio::test]
async fn heaps_of_requests_are_answered_in_their_order() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    // More than may be in flight, slow ones among quick ones.
    for count in [64, 65, 500_i32] {
        let requests: Vec<u8> = (0..count)
            .flat_map(|id| match id % 5 {
                0 => frame(9, id, &produce_request("t", 0, -1, batch(&["a"]))),
                1 => frame(3, id, &versions_asked()),
                2 => frame(12, id, &fetch_request("t", 0, 0, 10)),
                3 => frame(12, id, &MetadataRequest::default()),
                _ => frame(7, id, &ListOffsetsRequest::default()),
            })
            .collect();
        assert!(client.send_raw(&requests).await);
        for id in 0..count {
            let answer = client.receive_frame().await.expect("an answer");
            assert_eq!(answer[..4], id.to_be_bytes(), "of {count}");
        }
    }
}

#[tokio::test]
async fn a_client_id_may_be_anything_or_nothing() {
    let (_broker, mut client) = start(&[]).await;
    for client_id in [
        None,
        Some(""),
        Some("gr\u{fc}n"),
        Some("x".repeat(10_000).as_str()),
    ] {
        let header = protocol::RequestHeader {
            api_key: 18,
            api_version: 3,
            correlation_id: 5,
            client_id: client_id.map(str::to_owned),
        };
        client
            .send_raw(&protocol::encode_request(&header, &versions_asked()).concat())
            .await;
        let answer = client.receive_frame().await.expect("an answer");
        assert_eq!(answer[..6], [0, 0, 0, 5, 0, 0]);
    }
}

#[tokio::test]
async fn clients_that_never_read_do_not_hold_up_the_others() {
    let (broker, mut good) = start(&[]).await;
    good.create_topic("t", 1, &[]).await;
    for _ in 0..40 {
        good.produce("t", 0, batch(&["x".repeat(1_000_000).as_str()]))
            .await;
    }
    // Each asks for 40 MB eight times and takes nothing.
    let mut request = fetch_request("t", 0, 0, 0);
    request.topics[0].partitions[0].partition_max_bytes = i32::MAX;
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut client = Client::connect(broker.listen).await;
        for _ in 0..8 {
            client.send(12, &request).await;
        }
        silent.push(client);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let served = async {
        for index in 0..5 {
            let placed = good.produce("t", 0, batch(&["still there"])).await;
            assert_eq!(
                (placed.error_code, placed.base_offset),
                (ErrorCode::NONE, 40 + index)
            );
            let fetched = good.fetch("t", 0, 40).await;
            let came = i64::try_from(batches(&fetched.records).len());
            assert_eq!(came, Ok(index + 1));
            // What is large waits for the memory that the others hold, but not for long.
            let large = good.fetch("t", 0, index).await;
            assert_eq!(batches(&large.records)[0].0.base_offset, index);
        }
    };
    timeout(Duration::from_secs(40), served)
        .await
        .expect("a good client is served meanwhile");
}

/// What it asked for next is not read before it takes its answer, and so holds none of the memory that others wait for.
#[tokio::test]
async fn what_a_client_asks_for_that_does_not_read_holds_up_nobody() {
    let (broker, mut good) = start(&[]).await;
    good.create_topic("t", 1, &[]).await;
    for _ in 0..20 {
        good.produce("t", 0, batch(&["x".repeat(1_000_000).as_str()]))
            .await;
    }
    let mut silent = Client::connect(broker.listen).await;
    let mut large = fetch_request("t", 0, 0, 0);
    large.topics[0].partitions[0].partition_max_bytes = i32::MAX;
    silent.send(12, &large).await;
    // As many names as make the agent set all memory for requests aside.
    let mut many = fetch_request("t", 0, 0, 0);
    let partition = many.topics[0].partitions[0].clone();
    many.topics[0].partitions = vec![partition; 150_000];
    let sending = silent.send(12, &many);
    let asking = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        timeout(Duration::from_secs(5), good.fetch("t", 0, 20)).await
    };
    // Whether or not all of it can be sent to one who does not read it.
    let (answered, _) = tokio::join!(asking, timeout(Duration::from_secs(8), sending));
    assert_eq!(answered.expect("at once").error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_is_let_go() {
    let broker = Broker::in_memory(&[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    // Waits for a day, unless somebody produces.
    client.send(12, &fetch_request("t", 0, 0, 86_400_000)).await;
    let connections = async || broker.metric("penstock_connections", &[]).await;
    assert_eq!(connections().await, 1.0);
    drop(client);
    let gone = async {
        while connections().await > 0.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("let go");
}

#[tokio::test]
async fn what_follows_a_request_that_waits_is_answered_after_it() {
    let broker = Broker::in_memory(&[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    client.send(12, &fetch_request("t", 0, 0, 86_400_000)).await;
    client.send(3, &versions_asked()).await;
    let mut other = Client::connect(broker.listen).await;
    let placed = other.produce("t", 0, batch(&["wakes"])).await;
    assert_eq!(placed.error_code, ErrorCode::NONE);
    let fetched = client.receive_frame().await.expect("the first answer");
    let (_, fetched) = protocol::decode_response::<FetchRequest>(12, fetched).expect("of a fetch");
    let records = fetched.responses[0].partitions[0].records.as_ref();
    assert!(records.is_some_and(|records| !records.is_empty()));
    let versions = client.receive_frame().await.expect("the second answer");
    let (_, versions) =
        protocol::decode_response::<ApiVersionsRequest>(3, versions).expect("of the versions");
    assert_eq!(versions.error_code, ErrorCode::NONE);
}
