//! The sequencer over a store with faults: what is answered is durable, and nothing answered is ever lost.

mod alone;
mod clocks;
mod close;
mod damaged;
mod faults;
#[cfg(feature = "fdb")]
mod foundationdb;
mod free;
mod harmed;
mod hindered;
mod leftovers;
mod lineage;
mod locate;
mod lost;
mod moved;
mod pace;
#[cfg(feature = "postgres")]
mod postgres;
mod questions;
mod quiet;
mod random;
mod redb;
mod refused;
mod silent;
mod slow;
mod snapshots;
mod takeover;
mod takes_writes;
mod unclear;
mod watch;
mod wide;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Options, start};
use crate::command::{BatchProducer, CommitBatch, CommitBlock, CommitObject, Placed};
use crate::command::{Command, CreateTopic, Outcome};
use crate::error::Error;
use crate::handle::Metadata;
use crate::kv::over_memory::OverMemory;
use crate::kv::{Kv, KvError, Memory, Transaction};
use crate::types::{
    BatchFlags, BlockCodec, BlockRange, Extent, Located, Lsn, NamingEpoch, ObjectKey, Offset,
    PartitionIndex, ProducerEpoch, ProducerId, Sequence, Share, Timestamp, TopicId, TopicPartition,
};

pub(crate) const START: i64 = 1_790_000_000_000;
pub(crate) const TOPIC: TopicId = TopicId(7);

/// A sequencer that runs, and its handle.
struct Running {
    metadata: Metadata,
    task: JoinHandle<Result<(), Error>>,
}

/// The clock is tokio's, and the numbers come again with the seed.
pub(crate) fn options(seed: u64) -> Options {
    let begin = Instant::now();
    let now = move || {
        let elapsed = i64::try_from(begin.elapsed().as_millis()).unwrap();
        Timestamp(START + elapsed)
    };
    let state = AtomicU64::new(seed.wrapping_mul(0x1000_0001));
    Options {
        random: Arc::new(move || mix(state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))),
        ..Options::new(Arc::new(now))
    }
}

/// SplitMix64's mix.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

async fn run(kv: impl Kv + 'static, options: Options) -> Running {
    try_run(Arc::new(kv), options).await.unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the test owns its tasks")]
async fn try_run(kv: Arc<dyn Kv>, options: Options) -> Result<Running, Error> {
    let (metadata, sequencer) = start(kv, options).await?;
    let task = tokio::spawn(sequencer.run());
    Ok(Running { metadata, task })
}

impl Running {
    /// As a process that is killed: nothing is written any more.
    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    async fn close(self) {
        self.metadata.close().await;
        self.task.await.unwrap().unwrap();
    }
}

pub(crate) fn partition(index: i32) -> TopicPartition {
    TopicPartition {
        topic: TOPIC,
        partition: PartitionIndex(index),
    }
}

pub(crate) async fn create_topic(metadata: &Metadata, id: TopicId, name: &str, partitions: i32) {
    let create = CreateTopic {
        name: name.to_owned(),
        id,
        partitions,
        replication_factor: 1,
        configs: [].into(),
    };
    let answer = metadata.submit(Command::CreateTopic(create)).await.unwrap();
    assert_eq!(answer.outcome, Outcome::TopicCreated(id));
    // Those that tests send for. Handed out after the topic was made, so that it takes none of them at its word.
    let ids = Command::AllocateProducerIds { count: 1_000_000 };
    metadata.submit(ids).await.unwrap();
}

/// A fresh store with one topic of three partitions.
async fn fresh(memory: &Memory) -> Running {
    let running = run(memory.clone(), options(1)).await;
    create_topic(&running.metadata, TOPIC, "orders", 3).await;
    running
}

pub(crate) fn object(number: u64) -> ObjectKey {
    ObjectKey::new(NamingEpoch(0), number, 0)
}

pub(crate) fn batch(record_count: u32, producer: Option<(i64, i32)>) -> CommitBatch {
    CommitBatch {
        raw_length: 100,
        record_count,
        max_timestamp: Timestamp(START),
        producer: producer.map(|(id, base_sequence)| BatchProducer {
            id: ProducerId(id),
            epoch: ProducerEpoch(0),
            base_sequence: Sequence(base_sequence),
            share: Share(0),
        }),
        flags: BatchFlags::default(),
        withheld: false,
    }
}

/// One block of those batches.
pub(crate) fn commit(number: u64, index: i32, batches: Vec<CommitBatch>) -> Command {
    let raw_length = batches.iter().map(|batch| batch.raw_length).sum();
    let range = BlockRange {
        position: 0,
        stored_length: raw_length,
        raw_length,
        codec: BlockCodec::Raw,
        checksum: 0,
    };
    let block = CommitBlock {
        topic: TOPIC,
        partition: PartitionIndex(index),
        range,
        batches,
    };
    Command::CommitObject(CommitObject {
        object: object(number),
        size: raw_length.into(),
        blocks: vec![block],
    })
}

/// One batch of ten records without a producer.
pub(crate) fn plain(number: u64, index: i32) -> Command {
    commit(number, index, vec![batch(10, None)])
}

pub(crate) fn placed(outcome: &Outcome) -> Placed {
    match outcome {
        Outcome::Committed(verdicts) => verdicts[0].unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn committed(metadata: &Metadata, command: Command) -> i64 {
    let answer = metadata.submit(command).await.unwrap();
    placed(&answer.outcome).base_offset.0
}

pub(crate) async fn high_watermark(metadata: &Metadata, index: i32) -> i64 {
    let bounds = metadata.bounds(vec![partition(index)]).await.unwrap();
    bounds[0].unwrap().high_watermark.0
}

/// All extents of a partition, read as consumers do.
pub(crate) async fn extents(metadata: &Metadata, index: i32) -> Vec<Extent> {
    let mut all: Vec<Extent> = Vec::new();
    loop {
        let next = all.last().map_or(Offset(0), Extent::end_offset);
        match metadata
            .locate(partition(index), next, 10_000)
            .await
            .unwrap()
        {
            Located::Extents { extents, .. } if extents.is_empty() => return all,
            Located::Extents { bounds, extents } => {
                assert_eq!(extents[0].base_offset, next, "{bounds:?}");
                all.extend(extents);
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// A store whose commits wait until they are let through.
#[derive(Clone, Debug)]
struct Gated {
    memory: Memory,
    gate: Arc<Semaphore>,
}

impl Gated {
    fn open(memory: &Memory) -> Self {
        let gate = Arc::new(Semaphore::new(1_000_000));
        let memory = memory.clone();
        Self { memory, gate }
    }

    /// Lets so many more commits through, then none.
    fn let_through(&self, commits: usize) {
        self.gate.forget_permits(usize::MAX >> 4);
        self.gate.add_permits(commits);
    }
}

#[async_trait]
impl OverMemory for Gated {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
        self.gate.acquire().await.unwrap().forget();
        self.memory.commit(transaction).await
    }
}

/// The offsets that extents take.
fn offsets(extents: &[Extent]) -> Vec<Range<i64>> {
    let range = |extent: &Extent| extent.base_offset.0..extent.end_offset().0;
    extents.iter().map(range).collect()
}
