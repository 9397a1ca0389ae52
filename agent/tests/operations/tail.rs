//! A consumer at the end of a partition, waiting as clients do.
//!
//! How soon it sees a record after its ack is measured by `loadtest tail`; here it must only be the commit that wakes
//! it, not the end of its own patience.

use std::time::Duration;

use protocol::ErrorCode;
use protocol::messages::FetchRequest;
use tokio::time::{Instant, sleep};

use super::tools::{note, records_of};
use crate::support::broker::{Broker, PATIENCE};
use crate::support::client::{Client, batch, fetch_request};

const RECORDS: i64 = 30;

#[tokio::test]
async fn a_commit_wakes_the_consumer_that_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::in_folder(folder.path(), &[]).await;
    let mut producer = Client::connect(broker.listen).await;
    let mut consumer = Client::connect(broker.listen).await;
    assert_eq!(producer.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let wait_max_ms = i32::try_from(10 * PATIENCE.as_millis()).unwrap();
    let mut lags = Vec::new();
    for offset in 0..RECORDS {
        consumer
            .send(12, &fetch_request("t", 0, offset, wait_max_ms))
            .await;
        let value = offset.to_string();
        let produced = async {
            // The consumer's request should be waiting by then.
            sleep(Duration::from_millis(5)).await;
            let placed = producer.produce("t", 0, batch(&[&value])).await;
            assert_eq!(
                (placed.error_code, placed.base_offset),
                (ErrorCode::NONE, offset)
            );
            Instant::now()
        };
        let seen = async {
            let frame = consumer.receive_frame().await.expect("an answer");
            let seen = Instant::now();
            let (_, answer) = protocol::decode_response::<FetchRequest>(12, frame).unwrap();
            (seen, records_of(&answer.responses[0].partitions[0]))
        };
        let (acked, (seen, records)) = tokio::join!(produced, seen);
        assert_eq!(records, [(offset, value.clone().into())]);
        lags.push(seen.saturating_duration_since(acked));
    }
    lags.sort_unstable();
    let (median, longest) = (lags[lags.len() / 2], lags[lags.len() - 1]);
    note(&format!(
        "seen after its ack: median {median:?}, longest {longest:?}"
    ));
    // `receive_frame` has its own limit; a consumer that nobody wakes would run into it.
    assert!(longest < Duration::from_secs(10), "{longest:?}");
}
