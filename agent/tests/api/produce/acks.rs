//! Acks: who is answered, and what becomes of who wants no answer.

use protocol::ErrorCode;

use super::{high_watermark, only, versions};
use crate::shapes::{altered, frame, numbered, start, values};
use crate::support::client::{Client, batch, produce_request};

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
