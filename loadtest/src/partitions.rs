//! What many partitions cost at a broker: to make them, to ask for them, to produce to any of them.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use protocol::ErrorCode;
use protocol::messages::create_topics::CreatableTopic;
use protocol::messages::metadata::MetadataRequestTopic;
use protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest, ProduceRequest,
};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::client::{self, Receiver, Sender};
use crate::latency::{Latencies, Summary};
use crate::{produce, report, tail};

const CREATE_VERSION: i16 = 5;
const DELETE_VERSION: i16 = 5;
const METADATA_VERSION: i16 = 9;
const PRODUCE_VERSION: i16 = 9;
/// Topics in one request, and partitions: brokers take no more.
const AT_ONCE: usize = 200;
const PARTITIONS_AT_ONCE: usize = 10_000;
/// Requests of one connection that may be unanswered.
const IN_FLIGHT: usize = 64;
/// Times that all topics are asked for.
const ASKED: usize = 5;
/// Another broker has a new topic well before this.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Broker to connect to
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Another broker, which must come to know the topics, and is produced to as well
    #[arg(long)]
    also: Option<String>,
    /// Topics; made anew
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    topics: u32,
    /// Partitions of each
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// Seconds to produce for, one record a request to partitions at random
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3600))]
    seconds: u64,
    /// Leave the topics there
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    run: &'static str,
    topics: u32,
    partitions: i32,
    create_s: f64,
    /// Until the other broker had all of them, from when the first had.
    #[serde(skip_serializing_if = "Option::is_none")]
    known_elsewhere_s: Option<f64>,
    /// Kafka's Metadata for all topics.
    all_ms: Summary,
    all_mib: f64,
    /// For one of them.
    one_ms: Summary,
    requests_s: f64,
    errors: u64,
    produce_ms: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_s: Option<f64>,
}

type Connection = (Sender, Receiver);

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mut admin = client::connect(&options.bootstrap).await?;
    delete(&options, &mut admin).await?;
    let begun = Instant::now();
    create(&options, &mut admin).await?;
    let create_s = begun.elapsed().as_secs_f64();
    let known_elsewhere_s = match &options.also {
        Some(also) => Some(known(&options, also).await?),
        None => None,
    };
    let (mut all, mut one) = (Latencies::default(), Latencies::default());
    let mut all_bytes = 0;
    for number in 0..ASKED {
        let begun = Instant::now();
        let found = ask(&options, &mut admin, None).await?;
        all.record(begun.elapsed());
        all_bytes = admin.1.frame_bytes();
        anyhow::ensure!(
            found >= options.topics as usize,
            "only {found} topics are there"
        );
        for topic in 0..100 {
            let name = name((number * 100 + topic) % options.topics as usize);
            let begun = Instant::now();
            ask(&options, &mut admin, Some(name)).await?;
            one.record(begun.elapsed());
        }
    }
    let produced = produce(&options).await?;
    let delete_s = match options.keep {
        true => None,
        false => {
            let begun = Instant::now();
            delete(&options, &mut admin).await?;
            Some(begun.elapsed().as_secs_f64())
        }
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "a report needs no more than 52 bits"
    )]
    let (requests, all_mib) = (
        produced.latencies.len() as f64,
        all_bytes as f64 / 1_048_576.0,
    );
    #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
    let seconds = options.seconds.max(1) as f64;
    report::print(&Report {
        run: "partitions",
        topics: options.topics,
        partitions: options.partitions,
        create_s,
        known_elsewhere_s,
        all_ms: all.summary(),
        all_mib,
        one_ms: one.summary(),
        requests_s: requests / seconds,
        errors: produced.errors,
        produce_ms: produced.latencies.summary(),
        delete_s,
    })?;
    anyhow::ensure!(
        produced.errors == 0,
        "{} batches were refused",
        produced.errors
    );
    Ok(())
}

fn name(topic: usize) -> String {
    format!("loadtest-many-{topic:06}")
}

fn names(options: &Options) -> Vec<String> {
    (0..options.topics as usize).map(name).collect()
}

async fn create(options: &Options, admin: &mut Connection) -> anyhow::Result<()> {
    let at_once = PARTITIONS_AT_ONCE / usize::try_from(options.partitions)?;
    for some in names(options).chunks(at_once.min(AT_ONCE)) {
        let topic = |name: &String| CreatableTopic {
            name: name.clone(),
            num_partitions: options.partitions,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: some.iter().map(topic).collect(),
            timeout_ms: 60_000,
            ..Default::default()
        };
        let created = client::ask(admin, CREATE_VERSION, &request).await?;
        let refused = created
            .topics
            .iter()
            .find(|topic| topic.error_code != ErrorCode::NONE);
        if let Some(refused) = refused {
            anyhow::bail!("cannot create {}: {:?}", refused.name, refused.error_code);
        }
    }
    Ok(())
}

/// Those that are there.
async fn delete(options: &Options, admin: &mut Connection) -> anyhow::Result<()> {
    for some in names(options).chunks(AT_ONCE) {
        let request = DeleteTopicsRequest {
            topic_names: some.to_vec(),
            timeout_ms: 60_000,
            ..Default::default()
        };
        client::ask(admin, DELETE_VERSION, &request).await?;
    }
    Ok(())
}

/// Topics found with all their partitions, of all or of the one named.
async fn ask(
    options: &Options,
    connection: &mut Connection,
    name: Option<String>,
) -> anyhow::Result<usize> {
    let request = MetadataRequest {
        topics: name.map(|name| {
            vec![MetadataRequestTopic {
                name: Some(name),
                ..Default::default()
            }]
        }),
        ..Default::default()
    };
    let answer = client::ask(connection, METADATA_VERSION, &request).await?;
    let whole = answer.topics.iter().filter(|topic| {
        let count = i32::try_from(topic.partitions.len());
        topic.error_code == ErrorCode::NONE && count == Ok(options.partitions)
    });
    Ok(whole.count())
}

async fn known(options: &Options, also: &str) -> anyhow::Result<f64> {
    let mut connection = client::connect(also).await?;
    let begun = Instant::now();
    let last = name(options.topics as usize - 1);
    while ask(options, &mut connection, Some(last.clone())).await? == 0 {
        anyhow::ensure!(
            begun.elapsed() < PATIENCE,
            "{also} does not come to know {last}"
        );
        sleep(Duration::from_millis(1)).await;
    }
    Ok(begun.elapsed().as_secs_f64())
}

#[derive(Debug, Default)]
struct Produced {
    latencies: Latencies,
    errors: u64,
}

async fn produce(options: &Options) -> anyhow::Result<Produced> {
    let brokers = std::iter::once(&options.bootstrap).chain(&options.also);
    let mut all = Produced::default();
    let running = (1..)
        .zip(brokers)
        .map(|(seed, broker)| one(options, broker, seed));
    for done in futures::future::join_all(running).await {
        let done = done?;
        all.errors += done.errors;
        all.latencies.extend(done.latencies);
    }
    Ok(all)
}

/// As many requests as are answered in time.
async fn one(options: &Options, broker: &str, seed: u64) -> anyhow::Result<Produced> {
    let (mut sender, mut receiver) = client::connect(broker).await?;
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let (mut done, mut waiting) = (Produced::default(), VecDeque::new());
    loop {
        while waiting.len() < IN_FLIGHT && Instant::now() < end {
            let topic = name(usize::try_from(next(options.topics.into()))?);
            let partition = i32::try_from(next(u64::try_from(options.partitions)?))?;
            let request = produce::request(&topic, partition, tail::record());
            waiting.push_back(Instant::now());
            sender.send(PRODUCE_VERSION, &request).await?;
        }
        let Some(sent) = waiting.pop_front() else {
            return Ok(done);
        };
        let answer = receiver.receive::<ProduceRequest>(PRODUCE_VERSION).await?;
        let topic = answer.responses.first();
        let partition = topic.and_then(|topic| topic.partition_responses.first());
        match partition.context("no partition in the answer")?.error_code {
            ErrorCode::NONE => done.latencies.record(sent.elapsed()),
            _ => done.errors += 1,
        }
    }
}
