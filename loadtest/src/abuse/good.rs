//! The client that must not notice: small records at a fixed rate, a consumer that waits for them, and what else a case
//! wants looked at. It runs on a thread of its own, so that attackers do not keep it from its clock. Each latency counts from
//! when its record was due, so a broker that stalls is charged for all it held up.

use std::collections::VecDeque;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use futures::future::join_all;
use protocol::messages::fetch::{FetchPartition, FetchTopic};
use protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::{FetchRequest, ListOffsetsRequest, ProduceRequest};
use protocol::record_batch::BatchHeader;
use protocol::records::{BatchOptions, Record, build_batch, records};
use protocol::{ErrorCode, Records};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::attacks::topics;
use super::probe::{self, FETCH_VERSION, PRODUCE_VERSION, Probe};
use crate::client;
use crate::latency::Latencies;
use crate::produce;

pub(super) const TOPIC: &str = "good";
const LIST_OFFSETS_VERSION: i16 = 7;
/// Fifty records a second.
const EVERY: Duration = Duration::from_millis(20);
const RECORD_BYTES: usize = 1024;
/// More than are due while it waits as long as it may.
const IN_FLIGHT_MAX: usize = 8192;
const STORED_BYTES: usize = 1_000_000;
const UNPACKED_BYTES_MAX: usize = 16 << 20;

/// Whom it talks to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) kafka: String,
    pub(super) http: String,
    /// Smaller attacks.
    pub(super) short: bool,
    pub(super) patience: Duration,
    /// When the case began; records say how long after it they were due.
    pub(super) epoch: Instant,
}

/// One thing that it does, and how it fared.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) latencies: Latencies,
    /// In words, a few of them.
    pub(super) errors: Vec<String>,
}

impl Lane {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            latencies: Latencies::default(),
            errors: Vec::new(),
        }
    }

    pub(super) fn failed(&mut self, why: String) {
        self.errors.push(why);
    }
}

/// Makes its topics.
pub(super) async fn prepare(target: &Target) -> anyhow::Result<()> {
    let large = [("max.message.bytes", "16000000")];
    topics::create(target, TOPIC, 1, &[]).await?;
    topics::create(target, probe::TO, 1, &large).await?;
    topics::create(target, probe::FROM, 1, &large).await?;
    let stored = batch(Bytes::from(vec![b'x'; STORED_BYTES]));
    topics::fill(target, probe::FROM, 1, &stored).await
}

/// Goes on until then; what it waits for may take longer.
pub(super) fn start(
    target: &Target,
    probes: &'static [Probe],
    end: Instant,
) -> JoinHandle<anyhow::Result<Vec<Lane>>> {
    let target = target.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(runtime.block_on(async {
            let probes = join_all(probes.iter().map(|probe| probe.run(&target, end)));
            let (produced, consumed, mut lanes) =
                tokio::join!(produce(&target, end), consume(&target, end), probes);
            lanes.splice(0..0, [produced, consumed]);
            lanes
        }))
    })
}

async fn produce(target: &Target, end: Instant) -> Lane {
    let mut lane = Lane::new("produce 1 KB");
    let mut due = Instant::now();
    while due < end {
        // Whoever is thrown out comes back.
        if let Err(error) = produce_on(target, &mut due, end, &mut lane).await {
            lane.failed(format!("{error:#}"));
            due = due.max(Instant::now()) + EVERY;
            sleep_until(due).await;
        }
    }
    lane
}

/// On one connection, as many requests unanswered as are due.
async fn produce_on(
    target: &Target,
    due: &mut Instant,
    end: Instant,
    lane: &mut Lane,
) -> anyhow::Result<()> {
    let (mut sender, mut receiver) = client::connect(&target.kafka).await?;
    let (sent, mut dues) = mpsc::channel(IN_FLIGHT_MAX);
    let sending = async {
        while *due < end {
            sleep_until(*due).await;
            let request = produce::request(TOPIC, 0, batch(value(target, *due)));
            sent.send(*due).await.context("the receiver stopped")?;
            *due += EVERY;
            sender.send(PRODUCE_VERSION, &request).await?;
        }
        drop(sent);
        Ok(sender)
    };
    let receiving = async {
        while let Some(due) = dues.recv().await {
            let answer = receiver.receive::<ProduceRequest>(PRODUCE_VERSION);
            let answer = timeout(target.patience, answer).await;
            let answer = answer.context("a producer waits too long")??;
            let topic = answer.responses.first();
            let partition = topic.and_then(|topic| topic.partition_responses.first());
            match partition.context("no partition in the answer")?.error_code {
                ErrorCode::NONE => lane.latencies.record(due.elapsed()),
                error => lane.errors.push(format!("a batch was refused: {error}")),
            }
        }
        anyhow::Ok(())
    };
    // A sending side that closes takes the connection with it, answers included.
    let (_sender, ()) = tokio::try_join!(sending, receiving)?;
    Ok(())
}

async fn consume(target: &Target, end: Instant) -> Lane {
    let mut lane = Lane::new("produce to consumed");
    // The last record is due then, or later.
    let last = end - EVERY - EVERY / 2;
    let mut next = None;
    loop {
        match consume_on(target, &mut next, last, &mut lane).await {
            Ok(()) => return lane,
            Err(error) => lane.failed(format!("{error:#}")),
        }
        if Instant::now() > end {
            lane.failed("the last records never came".to_owned());
            return lane;
        }
        sleep_until(Instant::now() + EVERY).await;
    }
}

/// On one connection, from where the last one ended or the partition ends; until a record comes that was due then.
async fn consume_on(
    target: &Target,
    next: &mut Option<i64>,
    last: Instant,
    lane: &mut Lane,
) -> anyhow::Result<()> {
    let mut connection = client::connect(&target.kafka).await?;
    let mut offset = match *next {
        Some(offset) => offset,
        None => {
            let latest = latest();
            let asked = client::ask(&mut connection, LIST_OFFSETS_VERSION, &latest);
            let answer = timeout(target.patience, asked).await;
            let answer = answer.context("a consumer waits too long for the end")??;
            let topic = answer.topics.first();
            let partition = topic.and_then(|topic| topic.partitions.first());
            partition.context("no partition in the answer")?.offset
        }
    };
    loop {
        *next = Some(offset);
        let request = fetch(TOPIC, offset, 500);
        let asked = client::ask::<FetchRequest>(&mut connection, FETCH_VERSION, &request);
        let answer = timeout(target.patience, asked).await;
        let answer = answer.context("a consumer waits too long")??;
        let topic = answer.responses.into_iter().next();
        let partition = topic.and_then(|topic| topic.partitions.into_iter().next());
        let partition = partition.context("no partition in the answer")?;
        let error = partition.error_code;
        anyhow::ensure!(error == ErrorCode::NONE, "a fetch was refused: {error}");
        let (dues, after) = seen(target, partition.records)?;
        offset = after.unwrap_or(offset);
        for due in &dues {
            lane.latencies.record(due.elapsed());
        }
        if dues.back().is_some_and(|due| *due >= last) {
            return Ok(());
        }
        let waits = last.elapsed() > target.patience;
        anyhow::ensure!(!waits, "the last records do not come");
    }
}

/// When the records of an answer were due, and the offset after them.
fn seen(
    target: &Target,
    fetched: Option<Records>,
) -> anyhow::Result<(VecDeque<Instant>, Option<i64>)> {
    let mut all = BytesMut::new();
    for slice in fetched.map(|records| records.0).unwrap_or_default() {
        all.extend_from_slice(&slice);
    }
    let mut rest = all.freeze();
    let (mut dues, mut next) = (VecDeque::new(), None);
    while !rest.is_empty() {
        let header = BatchHeader::read(&rest)?;
        let batch = rest.split_to(header.size.min(rest.len()));
        for record in records(&batch, UNPACKED_BYTES_MAX)? {
            let value = record?.value.unwrap_or_default();
            let micros = value.first_chunk().context("a record that is not ours")?;
            dues.push_back(target.epoch + Duration::from_micros(u64::from_be_bytes(*micros)));
        }
        next = Some(header.base_offset + i64::from(header.last_offset_delta) + 1);
    }
    Ok((dues, next))
}

/// Says when it was due.
fn value(target: &Target, due: Instant) -> Bytes {
    let micros = due.saturating_duration_since(target.epoch).as_micros();
    let mut value = u64::try_from(micros)
        .unwrap_or(u64::MAX)
        .to_be_bytes()
        .to_vec();
    value.resize(RECORD_BYTES, b'x');
    value.into()
}

/// One record.
pub(super) fn batch(value: Bytes) -> Bytes {
    let record = Record {
        key: Some(Bytes::from_static(b"good")),
        value: Some(value),
        ..Record::default()
    };
    build_batch(&[record], BatchOptions::default())
}

/// What the Java consumer asks by default, of one partition.
pub(super) fn fetch(topic: &str, fetch_offset: i64, max_wait_ms: i32) -> FetchRequest {
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 52_428_800,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: topic.to_owned(),
            partitions: vec![FetchPartition {
                partition: 0,
                current_leader_epoch: -1,
                fetch_offset,
                partition_max_bytes: 1_048_576,
                ..Default::default()
            }],
        }],
        ..Default::default()
    }
}

fn latest() -> ListOffsetsRequest {
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: TOPIC.to_owned(),
            partitions: vec![ListOffsetsPartition {
                partition_index: 0,
                timestamp: -1,
                ..Default::default()
            }],
        }],
        ..Default::default()
    }
}
