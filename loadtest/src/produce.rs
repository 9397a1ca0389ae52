//! Produces at a fixed rate. Open loop: each batch has a time at which it is due, and its latency counts from then, so a
//! broker that stalls is charged for all it held up.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use protocol::messages::ProduceRequest;
use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::records::{BatchOptions, Record, build_batch};
use protocol::{ErrorCode, Records};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::client::{self, Receiver, Sender};
use crate::latency::{Latencies, Summary};
use crate::{report, scrape};

const VERSION: i16 = 9;
/// Requests of one connection that may be unanswered: enough for 20 MiB/s of small batches over a slow store.
const IN_FLIGHT_MAX: usize = 2048;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Broker to connect to
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Where the broker serves /metrics; its object-store requests are then counted
    #[arg(long)]
    metrics: Option<String>,
    /// Topic; made anew
    #[arg(long, default_value = "loadtest")]
    topic: String,
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// Connections, each with its share of the rate
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// MiB a second in all
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Seconds to produce for
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Bytes of a record's value
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    record_bytes: u32,
    /// Records of a batch
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch_records: u32,
}

#[derive(Debug, Serialize)]
struct Report {
    run: &'static str,
    partitions: i32,
    connections: u32,
    offered_mib_s: f64,
    acked_mib: f64,
    acked_mib_s: f64,
    errors: u64,
    latency_ms: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_store: Option<ObjectStore>,
}

#[derive(Debug, Serialize)]
struct ObjectStore {
    puts: f64,
    puts_per_second: f64,
    put_mib: f64,
    gets: f64,
}

#[derive(Debug, Default)]
struct Outcome {
    acked_bytes: u64,
    errors: u64,
    latencies: Latencies,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mut admin = client::connect(&options.bootstrap).await?;
    client::recreate_topic(&mut admin, &options.topic, options.partitions).await?;
    let before = match &options.metrics {
        Some(address) => Some(scrape::scrape(address).await?),
        None => None,
    };
    let began = Instant::now();
    let mut all = Outcome::default();
    let workers = (0..options.connections).map(|worker| connection(options.clone(), worker, began));
    for outcome in futures_join(workers).await {
        let outcome = outcome?;
        all.acked_bytes += outcome.acked_bytes;
        all.errors += outcome.errors;
        all.latencies.extend(outcome.latencies);
    }
    let seconds = began.elapsed().as_secs_f64();
    let object_store = match (&options.metrics, before) {
        (Some(address), Some(before)) => {
            let after = scrape::scrape(address).await?;
            let grown =
                |metric: &str, op: &str| after.sum(metric, &[op]) - before.sum(metric, &[op]);
            let puts = grown("penstock_object_store_requests_total", "op=\"put\"");
            Some(ObjectStore {
                puts,
                puts_per_second: puts / seconds,
                put_mib: grown("penstock_object_store_bytes_total", "op=\"put\"") / 1_048_576.0,
                gets: grown("penstock_object_store_requests_total", "op=\"get\""),
            })
        }
        _ => None,
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "a report needs no more than 52 bits"
    )]
    let acked_mib = all.acked_bytes as f64 / 1_048_576.0;
    let run = Report {
        run: "produce",
        partitions: options.partitions,
        connections: options.connections,
        offered_mib_s: options.rate,
        acked_mib,
        acked_mib_s: acked_mib / seconds,
        errors: all.errors,
        latency_ms: all.latencies.summary(),
        object_store,
    };
    report::print(&run)?;
    anyhow::ensure!(run.errors == 0, "{} batches were refused", run.errors);
    Ok(())
}

/// All workers side by side, in one task: a load generator of this size needs no more than a core.
async fn futures_join<F: Future>(workers: impl Iterator<Item = F>) -> Vec<F::Output> {
    futures::future::join_all(workers).await
}

async fn connection(options: Options, worker: u32, began: Instant) -> anyhow::Result<Outcome> {
    let (sender, receiver) = client::connect(&options.bootstrap).await?;
    let batch = batch(&options);
    let interval = interval(&options, batch.len());
    let (due, dues) = mpsc::channel(IN_FLIGHT_MAX);
    let sending = send_all(&options, worker, began, interval, &batch, sender, due);
    let receiving = receive_all(receiver, dues, batch.len());
    let (sent, outcome) = tokio::join!(sending, receiving);
    // Held until here: a sending side that closes takes the connection with it, answers included.
    let _sender = sent?;
    outcome
}

/// Between two batches of one connection.
fn interval(options: &Options, batch_bytes: usize) -> Duration {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a batch is smaller than 2^52 bytes"
    )]
    let share = options.rate * 1_048_576.0 / f64::from(options.connections) / batch_bytes as f64;
    Duration::from_secs_f64(1.0 / share.max(0.001))
}

async fn send_all(
    options: &Options,
    worker: u32,
    began: Instant,
    interval: Duration,
    batch: &Bytes,
    mut sender: Sender,
    dues: mpsc::Sender<Instant>,
) -> anyhow::Result<Sender> {
    let end = began + Duration::from_secs(options.seconds);
    // Workers start a part of an interval after each other, so that they do not beat in time.
    let mut due = began + interval * worker / options.connections;
    let mut partition = i32::try_from(worker)?;
    while due < end {
        sleep_until(due).await;
        dues.send(due).await.context("the receiver stopped")?;
        let request = request(
            &options.topic,
            partition % options.partitions,
            batch.clone(),
        );
        sender.send(VERSION, &request).await?;
        partition = partition.wrapping_add(i32::try_from(options.connections)?) & i32::MAX;
        due += interval;
    }
    Ok(sender)
}

async fn receive_all(
    mut receiver: Receiver,
    mut dues: mpsc::Receiver<Instant>,
    batch_bytes: usize,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut waiting = VecDeque::new();
    while let Some(due) = dues.recv().await {
        waiting.push_back(due);
        let response = receiver.receive::<ProduceRequest>(VERSION).await?;
        let due = waiting.pop_front().context("an answer to nothing")?;
        let partitions = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses);
        if partitions
            .clone()
            .any(|partition| partition.error_code != ErrorCode::NONE)
        {
            outcome.errors += 1;
            continue;
        }
        outcome.acked_bytes += batch_bytes as u64;
        outcome.latencies.record(due.elapsed());
    }
    Ok(outcome)
}

pub(crate) fn request(topic: &str, index: i32, batch: Bytes) -> ProduceRequest {
    ProduceRequest {
        acks: -1,
        timeout_ms: 60_000,
        topic_data: vec![TopicProduceData {
            name: topic.to_string(),
            partition_data: vec![PartitionProduceData {
                index,
                records: Some(Records::from(batch)),
            }],
        }],
        ..Default::default()
    }
}

/// Values are half random, as benchmarks of the field have it: they compress about twofold.
fn batch(options: &Options) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    let records: Vec<Record> = (0..options.batch_records)
        .map(|delta| {
            let bytes = options.record_bytes as usize;
            let value: Vec<u8> = (0..bytes)
                .map(|i| if i < bytes / 2 { random() } else { b'x' })
                .collect();
            Record {
                offset_delta: i32::try_from(delta).expect("bounded by the flag"),
                timestamp_delta: 0,
                key: None,
                value: Some(Bytes::from(value)),
                headers: Vec::new(),
            }
        })
        .collect();
    build_batch(&records, BatchOptions::default())
}
