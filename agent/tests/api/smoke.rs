//! The shortest way through: make a topic, produce, fetch.

use crate::support::broker::Broker;
use crate::support::client::{Client, batch};
use protocol::ErrorCode;

#[tokio::test]
async fn what_was_produced_is_fetched() {
    let broker = Broker::in_memory(&[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let placed = client.produce("t", 0, batch(&["a", "b"])).await;
    assert_eq!(
        (placed.error_code, placed.base_offset),
        (ErrorCode::NONE, 0)
    );
    let fetched = client.fetch("t", 0, 0).await;
    assert_eq!(
        (fetched.error_code, fetched.high_watermark),
        (ErrorCode::NONE, 2)
    );
    assert!(broker.terminate().await.success());
}
