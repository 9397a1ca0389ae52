//! How long after its ack a record reaches a consumer that waits for it, at Kafka's default settings; through one broker or
//! across two. What was acknowledged at one must be the end that the other names.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use protocol::ErrorCode;
use protocol::messages::fetch::{FetchPartition, FetchTopic};
use protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::{FetchRequest, ListOffsetsRequest, ProduceRequest};
use protocol::records::{BatchOptions, Record, build_batch};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::client::{self, Receiver, Sender};
use crate::latency::{Latencies, Summary};
use crate::{produce, report};

const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;
const LIST_OFFSETS_VERSION: i16 = 7;
/// The timestamp that asks for the end.
const LATEST: i64 = -1;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Broker to connect to
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Another broker, at which the consumer waits
    #[arg(long)]
    consume_from: Option<String>,
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
    /// ListOffsets for the end where the consumer is, asked at the ack; it always had the record.
    list_offsets_ms: Summary,
}

type Connection = (Sender, Receiver);

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mut producer = client::connect(&options.bootstrap).await?;
    let from = options.consume_from.as_ref().unwrap_or(&options.bootstrap);
    let mut consumer = client::connect(from).await?;
    let mut asking = client::connect(from).await?;
    client::recreate_topic(&mut producer, &options.topic, 1).await?;
    let (mut lags, mut acks) = (Latencies::default(), Latencies::default());
    let mut ends = Latencies::default();
    for offset in 0..options.records {
        let acked = async {
            // The consumer's request should be waiting by then.
            sleep(Duration::from_millis(2)).await;
            let sent = Instant::now();
            produce_one(&mut producer, &options.topic).await?;
            let acked = Instant::now();
            let end = end(&mut asking, &options.topic).await?;
            anyhow::ensure!(
                end > i64::from(offset),
                "record {offset} was acknowledged, but the end is {end}"
            );
            anyhow::Ok((sent, acked, Instant::now()))
        };
        let seen = seen(&mut consumer, &options.topic, offset);
        let (seen, (sent, acked, told)) = tokio::try_join!(seen, acked)?;
        acks.record(acked - sent);
        ends.record(told - acked);
        lags.record(seen.saturating_duration_since(acked));
    }
    report::print(&Report {
        run: "tail",
        ack_to_seen_ms: lags.summary(),
        ack_ms: acks.summary(),
        list_offsets_ms: ends.summary(),
    })
}

/// When the record is there.
async fn seen(consumer: &mut Connection, topic: &str, offset: u32) -> anyhow::Result<Instant> {
    loop {
        let response = client::ask(consumer, FETCH_VERSION, &fetch(topic, offset)).await?;
        let topic = response.responses.first();
        let partition = topic.and_then(|topic| topic.partitions.first());
        let partition = partition.context("no partition in the answer")?;
        match partition.error_code {
            ErrorCode::NONE => {}
            // The topic was made at the other broker a moment ago.
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION if offset == 0 => {
                sleep(Duration::from_millis(1)).await;
            }
            error => anyhow::bail!("cannot fetch offset {offset}: {error:?}"),
        }
        let records = partition.records.as_ref();
        if records.is_some_and(|records| !records.is_empty()) {
            return Ok(Instant::now());
        }
    }
}

async fn produce_one(producer: &mut Connection, topic: &str) -> anyhow::Result<()> {
    let request = produce::request(topic, 0, record());
    let answer = client::ask::<ProduceRequest>(producer, PRODUCE_VERSION, &request).await?;
    let topic = answer.responses.first();
    let partition = topic.and_then(|topic| topic.partition_responses.first());
    let error = partition.context("no partition in the answer")?.error_code;
    anyhow::ensure!(error == ErrorCode::NONE, "cannot produce: {error:?}");
    Ok(())
}

async fn end(asking: &mut Connection, topic: &str) -> anyhow::Result<i64> {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.to_string(),
            partitions: vec![ListOffsetsPartition {
                partition_index: 0,
                timestamp: LATEST,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let answer = client::ask(asking, LIST_OFFSETS_VERSION, &request).await?;
    let topic = answer.topics.first();
    let partition = topic.and_then(|topic| topic.partitions.first());
    let partition = partition.context("no partition in the answer")?;
    let error = partition.error_code;
    anyhow::ensure!(
        error == ErrorCode::NONE,
        "cannot ask for the end: {error:?}"
    );
    Ok(partition.offset)
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

pub(crate) fn record() -> Bytes {
    let record = Record {
        offset_delta: 0,
        timestamp_delta: 0,
        key: None,
        value: Some(Bytes::from_static(b"seen?")),
        headers: Vec::new(),
    };
    build_batch(&[record], BatchOptions::default())
}
