//! How much one connection may have in flight, seen while the bucket takes nothing: many small requests, few large ones.

use std::time::Duration;

use protocol::messages::ProduceRequest;
use protocol::{ErrorCode, Request, RequestHeader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::ReadHalf;
use tokio::time::{Instant, sleep, timeout};

use super::bucket_away::{bring_back, put_away};
use super::tools::until;
use crate::support::broker::{Broker, PATIENCE};
use crate::support::client::{Client, batch, produce_request};

const VERSION: i16 = 9;

fn frame(value: &str) -> Vec<u8> {
    let header = RequestHeader {
        api_key: ProduceRequest::KEY.code(),
        api_version: VERSION,
        correlation_id: 1,
        client_id: None,
    };
    let request = produce_request("t", 0, -1, batch(&[value]));
    protocol::encode_request(&header, &request).concat()
}

/// The next answer says that its batch is stored.
async fn stored(socket: &mut ReadHalf<'_>) {
    let answer = async {
        let length = socket.read_u32().await.expect("an answer");
        let mut frame = vec![0; length as usize];
        socket.read_exact(&mut frame).await.expect("all of it");
        protocol::decode_response::<ProduceRequest>(VERSION, frame.into()).expect("of its kind")
    };
    let (_, response) = timeout(PATIENCE, answer).await.expect("an answer");
    let code = response.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::NONE);
}

#[tokio::test]
async fn many_small_requests_of_one_connection_share_a_segment() {
    const REQUESTS: usize = 3000;
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::in_folder(data.path(), &["--preset", "eco"]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let (bucket, away) = (data.path().join("bucket"), data.path().join("away"));
    // While nothing is stored, segments are sealed by their age.
    put_away(&bucket, &away);
    let (mut read, mut write) = client.socket.split();
    write
        .write_all(&frame("small").repeat(REQUESTS))
        .await
        .unwrap();
    until("requests that wait for the bucket", async || {
        broker.metric("penstock_buffered_bytes", &[]).await >= (REQUESTS * 1024) as f64
    })
    .await;
    bring_back(&bucket, &away);
    for _ in 0..REQUESTS {
        stored(&mut read).await;
    }
    let segments = broker.metric("penstock_segments_total", &[]).await;
    assert!(segments * 64.0 < REQUESTS as f64, "{segments} segments");
}

#[tokio::test]
async fn large_requests_of_one_connection_stay_within_its_share() {
    const REQUESTS: usize = 50;
    const REQUEST_BYTES: usize = 900_000;
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::in_folder(data.path(), &["--buffer-memory", "64MiB"]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let (bucket, away) = (data.path().join("bucket"), data.path().join("away"));
    put_away(&bucket, &away);
    let (mut read, mut write) = client.socket.split();
    let large = frame(&"x".repeat(REQUEST_BYTES));
    let sending = async {
        for _ in 0..REQUESTS {
            write.write_all(&large).await.unwrap();
        }
    };
    let answers = async {
        let buffered = async || broker.metric("penstock_buffered_bytes", &[]).await;
        until("a quarter of the buffer", async || {
            buffered().await >= f64::from(16 << 20)
        })
        .await;
        let (mut most, until) = (0.0, Instant::now() + Duration::from_millis(500));
        while Instant::now() < until {
            most = buffered().await.max(most);
            sleep(Duration::from_millis(20)).await;
        }
        bring_back(&bucket, &away);
        for _ in 0..REQUESTS {
            stored(&mut read).await;
        }
        most
    };
    let ((), most) = tokio::join!(sending, answers);
    let bound = (16 << 20) + 2 * REQUEST_BYTES;
    assert!(most < bound as f64, "{most} bytes of one connection");
}
