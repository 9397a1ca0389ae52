//! What it costs to find offsets by time in a partition's old extents, and what an extent takes in the index. The extents
//! are committed as agents would, many at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use metadata::kv::{Direction, Kv};
use metadata::{
    BlockCodec, BlockRange, Command, CommitBatch, CommitBlock, CommitObject, CreateTopic, Metadata,
    NamingEpoch, ObjectKey, Outcome, PartitionIndex, Timestamp, TopicId, TopicPartition,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::figures::{float, percentiles, say};
use crate::stores::{self, Opened, Store};
use crate::workload;

const TOPIC: TopicId = TopicId(1);
const PARTITION: TopicPartition = TopicPartition {
    topic: TOPIC,
    partition: PartitionIndex(0),
};
/// Extents of a commit, far more than an agent has of one partition.
const AT_ONCE: u32 = 1000;
/// Commits under way.
const WINDOW: usize = 8;
/// Rows of the index read at a time.
const ROWS: usize = 1000;
/// What an extent took in the index before rows told it by how it differs from the one before.
const BYTES_BEFORE: f64 = 41.0;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Days of extents
    #[arg(long, default_value_t = 30.0)]
    days: f64,
    /// Segments a second that hold the partition
    #[arg(long, default_value_t = 10)]
    segments: u32,
    /// Searches of each kind
    #[arg(long, default_value_t = 500)]
    searches: u32,
    /// Where the metadata is kept
    #[arg(long, value_delimiter = ',', default_value = "redb")]
    stores: Vec<Store>,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    for store in &options.stores {
        let name = format!("{store:?}").to_lowercase();
        let (days, segments) = (options.days, options.segments);
        say(&format!(
            "{days} days x {segments} segments/s of one partition, {name}"
        ));
        measure(&stores::open(*store).await?, &options).await?;
    }
    Ok(())
}

async fn measure(store: &Opened, options: &Options) -> anyhow::Result<()> {
    let made = Made::of(options);
    let begun = Instant::now();
    let (metadata, running) = start(store).await?;
    made.commit(&metadata).await?;
    metadata.close().await;
    running.await??;
    say(&format!(
        "  {} extents committed and in rows: {:.0} s",
        made.extents,
        begun.elapsed().as_secs_f64()
    ));
    index_bytes(store, &made).await?;
    let (metadata, running) = start(store).await?;
    made.search(store, &metadata, options.searches).await?;
    metadata.close().await;
    running.await??;
    Ok(())
}

type Running = tokio::task::JoinHandle<Result<(), metadata::Error>>;

#[expect(clippy::disallowed_methods, reason = "the bench owns its tasks")]
async fn start(store: &Opened) -> anyhow::Result<(Metadata, Running)> {
    let options = metadata::Options::new(Arc::new(workload::now));
    let (metadata, sequencer) = metadata::start(Arc::clone(&store.kv) as _, options).await?;
    Ok((metadata, tokio::spawn(sequencer.run())))
}

/// The extents that there are.
struct Made {
    extents: u64,
    start: i64,
    /// Milliseconds between one and the next.
    apart: i64,
}

impl Made {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "days of segments"
    )]
    fn of(options: &Options) -> Self {
        let extents = options.days * 86_400.0 * f64::from(options.segments);
        Self {
            extents: (extents as u64).next_multiple_of(AT_ONCE.into()),
            start: 1_790_000_000_000,
            apart: 1000 / i64::from(options.segments.clamp(1, 1000)),
        }
    }

    async fn commit(&self, metadata: &Metadata) -> anyhow::Result<()> {
        let create = CreateTopic {
            name: "times".to_owned(),
            id: TOPIC,
            partitions: 1,
            replication_factor: 1,
            configs: BTreeMap::new(),
        };
        metadata.submit(Command::CreateTopic(create)).await?;
        let mut waiting = JoinSet::new();
        for number in 0..u32::try_from(self.extents / u64::from(AT_ONCE))? {
            if waiting.len() >= WINDOW
                && let Some(done) = waiting.join_next().await
            {
                done??;
            }
            let answered = metadata.submit(Command::CommitObject(self.object(number)));
            waiting.spawn(async move {
                match answered.await?.outcome {
                    Outcome::Rejected(rejected) => Err(anyhow::Error::from(rejected)),
                    _ => Ok(()),
                }
            });
        }
        while let Some(done) = waiting.join_next().await {
            done??;
        }
        Ok(())
    }

    fn object(&self, number: u32) -> CommitObject {
        let blocks = (0..AT_ONCE).map(|block| {
            let at = i64::from(number) * i64::from(AT_ONCE) + i64::from(block);
            let stored_length = 8_000 + block * 7 % 4_000;
            let raw_length = stored_length * 3;
            CommitBlock {
                topic: TOPIC,
                partition: PARTITION.partition,
                range: BlockRange {
                    position: 8 + block * 8_000,
                    stored_length,
                    raw_length,
                    codec: BlockCodec::Zstd,
                    checksum: block.wrapping_mul(0x9e37_79b9),
                },
                batches: vec![CommitBatch {
                    raw_length,
                    record_count: 200,
                    max_timestamp: Timestamp(self.start + at * self.apart),
                    producer: None,
                    flags: metadata::BatchFlags::default(),
                    withheld: false,
                }],
            }
        });
        CommitObject {
            object: ObjectKey::new(NamingEpoch(0), 7, number),
            size: 12_000_000,
            blocks: blocks.collect(),
        }
    }

    async fn search(
        &self,
        store: &Opened,
        metadata: &Metadata,
        searches: u32,
    ) -> anyhow::Result<()> {
        store.kv.take_traffic();
        let mut took = Vec::new();
        let span = i64::try_from(self.extents)? * self.apart;
        for search in 0..searches {
            // Spread evenly, in no order.
            let part = u64::from(search).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            let time = self.start + i64::try_from(part)? % span;
            let begun = Instant::now();
            let found = metadata
                .locate_timestamp(PARTITION, Timestamp(time))
                .await?;
            took.push(begun.elapsed());
            let found = found.map(|extent| extent.max_timestamp.0);
            let right = found.is_some_and(|found| (time..time + self.apart).contains(&found));
            anyhow::ensure!(right || time > self.start + span - self.apart, "{found:?}");
        }
        print("the first at or after a time", store, took);
        let mut took = Vec::new();
        for _ in 0..searches {
            let begun = Instant::now();
            let found = metadata.locate_max_timestamp(PARTITION).await?;
            took.push(begun.elapsed());
            let last = self.start + span - self.apart;
            anyhow::ensure!(found.is_some_and(|found| found.max_timestamp.0 == last));
        }
        print("the largest time", store, took);
        Ok(())
    }
}

fn print(what: &str, store: &Opened, mut took: Vec<std::time::Duration>) {
    let (_, reads) = store.kv.take_traffic();
    let searches = took.len() as u64;
    let (p50, p99) = percentiles(&mut took);
    let longest = took.last().copied().unwrap_or_default();
    say(&format!(
        "  {what}: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms; {:.1} reads each",
        p50 * 1e3,
        p99 * 1e3,
        longest.as_secs_f64() * 1e3,
        float(reads) / float(searches),
    ));
}

/// Of all levels, with their keys.
async fn index_bytes(store: &Opened, made: &Made) -> anyhow::Result<()> {
    let (mut rows, mut bytes) = (0_u64, 0_u64);
    let mut from = b"\0x".to_vec();
    loop {
        let some = store
            .kv
            .range(&from, b"\0y", ROWS, Direction::Forward)
            .await?;
        let Some((last, _)) = some.last() else {
            break;
        };
        from = [last.as_ref(), &[0]].concat();
        rows += some.len() as u64;
        bytes += some
            .iter()
            .map(|(key, row)| (key.len() + row.len()) as u64)
            .sum::<u64>();
    }
    let each = float(bytes) / float(made.extents);
    say(&format!(
        "  {rows} rows, {:.0} MiB: {each:.1} bytes an extent, summaries and keys included; {BYTES_BEFORE:.0} before",
        float(bytes) / 1_048_576.0
    ));
    // A day of a cluster.
    let day = |bytes: f64| bytes * 1000.0 * 40.0 * 86_400.0 / 1e9;
    say(&format!(
        "  a day of 1,000 partitions x 40 segments/s: {:.0} GB; {:.0} GB before",
        day(each),
        day(BYTES_BEFORE)
    ));
    Ok(())
}
