//! One segment cannot be stored, and those behind it can.

use std::time::Duration;

use protocol::ErrorCode;
use protocol::messages::produce::PartitionProduceResponse;
use protocol::messages::{InitProducerIdRequest, ProduceRequest};
use protocol::records::BatchOptions;
use tokio::time::timeout;

use super::bucket::Held;
use super::lifecycle::over;
use crate::support::client::{Client, batch_with, produce_request};

/// The first batch was committed, but its client has not heard of it and sends it again, with the next five behind it. The
/// repetition's segment is lost; if the others were committed the first batch would leave the window of five, and the client
/// be told that its oldest batch is out of order, which to it is a loss of data.
#[tokio::test]
async fn batches_behind_one_that_could_not_be_stored_are_refused_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Held::start().await;
    let broker = over(&bucket, &folder.path().join("log"), &["--preset", "fast"]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let asked = InitProducerIdRequest {
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let producer_id = client.ask(4, &asked).await.producer_id;
    let numbered = |base_sequence| {
        let options = BatchOptions {
            producer_id,
            producer_epoch: 0,
            base_sequence,
            ..BatchOptions::default()
        };
        produce_request("t", 0, -1, batch_with(&["v"], options))
    };
    let first = client.ask(9, &numbered(0)).await;
    assert_eq!(fate(&first.responses[0].partition_responses[0]), Ok(0));

    bucket.hold();
    bucket.refuse_next();
    let before = bucket.puts();
    client.send(9, &numbered(0)).await;
    bucket.wait_for_puts(before + 1).await;
    for sequence in 1..6 {
        client.send(9, &numbered(sequence)).await;
    }
    bucket.wait_for_puts(before + 2).await;
    bucket.release();
    for _ in 0..6 {
        assert_eq!(
            answer(&mut client).await,
            Err(ErrorCode::NOT_ENOUGH_REPLICAS)
        );
    }
    assert_eq!(client.fetch("t", 0, 0).await.high_watermark, 1);

    for sequence in 0..6 {
        client.send(9, &numbered(sequence)).await;
    }
    for offset in 0..6 {
        assert_eq!(answer(&mut client).await, Ok(offset));
    }
}

/// A client that was told that time is up would send the same again, beside the first that may still be stored.
#[tokio::test]
async fn a_producer_is_answered_when_it_is_known_what_happened_whatever_time_it_gives() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Held::start().await;
    let broker = over(&bucket, &folder.path().join("log"), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    bucket.hold();
    let before = bucket.puts();
    let batch = batch_with(&["v"], BatchOptions::default());
    let hurried = ProduceRequest {
        timeout_ms: 1,
        ..produce_request("t", 0, -1, batch)
    };
    client.send(9, &hurried).await;
    bucket.wait_for_puts(before + 1).await;
    let early = timeout(Duration::from_millis(500), client.receive_frame()).await;
    assert!(early.is_err(), "nothing is known yet");
    bucket.release();
    assert_eq!(answer(&mut client).await, Ok(0));
    assert_eq!(client.fetch("t", 0, 0).await.high_watermark, 1);
}

async fn answer(client: &mut Client) -> Result<i64, ErrorCode> {
    let frame = client.receive_frame().await.expect("an answer");
    let (_, answer) = protocol::decode_response::<ProduceRequest>(9, frame).unwrap();
    fate(&answer.responses[0].partition_responses[0])
}

fn fate(placed: &PartitionProduceResponse) -> Result<i64, ErrorCode> {
    match placed.error_code {
        ErrorCode::NONE => Ok(placed.base_offset),
        code => Err(code),
    }
}
