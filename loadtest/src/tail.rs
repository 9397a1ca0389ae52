//! How long after its ack a record reaches a consumer that waits for it, at Kafka's default settings.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use protocol::messages::fetch::{FetchPartition, FetchTopic};
use protocol::messages::{FetchRequest, ProduceRequest};
use protocol::records::{BatchOptions, Record, build_batch};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::client;
use crate::latency::{Latencies, Summary};
use crate::{produce, report};

const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Broker to connect to
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Topic; made anew
    #[arg(long, default_value = "loadtest-tail")]
    topic: String,
    /// Records, one at a time
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    records: u32,
}

#[derive(Debug, Serialize)]
struct Report {
    run: &'static str,
    /// From the ack's arrival at the producer to the record's at the consumer; 0 where the record came first.
    ack_to_seen_ms: Summary,
    ack_ms: Summary,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mut producer = client::connect(&options.bootstrap).await?;
    let mut consumer = client::connect(&options.bootstrap).await?;
    client::recreate_topic(&mut producer, &options.topic, 1).await?;
    let (mut lags, mut acks) = (Latencies::default(), Latencies::default());
    for offset in 0..options.records {
        let seen = async {
            loop {
                let response =
                    client::ask(&mut consumer, FETCH_VERSION, &fetch(&options.topic, offset))
                        .await?;
                let partition = response
                    .responses
                    .first()
                    .and_then(|topic| topic.partitions.first());
                let records = partition
                    .context("no partition in the answer")?
                    .records
                    .as_ref();
                if records.is_some_and(|records| !records.is_empty()) {
                    return anyhow::Ok(Instant::now());
                }
            }
        };
        let acked = async {
            // The consumer's request should be waiting by then.
            sleep(Duration::from_millis(2)).await;
            let sent = Instant::now();
            let request = produce::request(&options.topic, 0, record());
            client::ask::<ProduceRequest>(&mut producer, PRODUCE_VERSION, &request).await?;
            anyhow::Ok((sent, Instant::now()))
        };
        let (seen, acked) = tokio::join!(seen, acked);
        let (sent, acked) = acked?;
        acks.record(acked - sent);
        lags.record(seen?.saturating_duration_since(acked));
    }
    report::print(&Report {
        run: "tail",
        ack_to_seen_ms: lags.summary(),
        ack_ms: acks.summary(),
    })
}

/// What the Java consumer asks by default.
fn fetch(topic: &str, offset: u32) -> FetchRequest {
    FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 52_428_800,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: topic.to_string(),
            partitions: vec![FetchPartition {
                partition: 0,
                current_leader_epoch: -1,
                fetch_offset: i64::from(offset),
                partition_max_bytes: 1_048_576,
                ..Default::default()
            }],
        }],
        ..Default::default()
    }
}

fn record() -> Bytes {
    let record = Record {
        offset_delta: 0,
        timestamp_delta: 0,
        key: None,
        value: Some(Bytes::from_static(b"seen?")),
        headers: Vec::new(),
    };
    build_batch(&[record], BatchOptions::default())
}
