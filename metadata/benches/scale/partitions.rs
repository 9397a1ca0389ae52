//! What many partitions cost the sequencer: to make, to keep in memory, to commit to, to checkpoint, and to load again as
//! a take-over does, from rows and from the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use metadata::{Command, CreateTopic, Error, Metadata, TopicId};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::figures::{float, lengths, percentiles, resident, say};
use crate::stores::{self, Opened, Store};
use crate::workload::{self, Agent, Shape, answered};

/// Topics asked for at once, as an agent does.
const AT_ONCE: usize = 256;
/// Blocks of a commit.
const ENTRIES_MAX: i32 = 1000;
/// Between checkpoints while commits are timed beside them.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 1000)]
    pub(crate) topics: u32,
    /// Of each topic
    #[arg(long, default_value_t = 100)]
    pub(crate) partitions: i32,
    /// Where the metadata is kept
    #[arg(long, value_delimiter = ',', default_value = "memory,redb")]
    pub(crate) stores: Vec<Store>,
}

/// A sequencer in this process.
pub(crate) struct Running {
    pub(crate) metadata: Metadata,
    task: JoinHandle<Result<(), Error>>,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    for store in &options.stores {
        let (topics, partitions) = (options.topics, options.partitions);
        let name = format!("{store:?}").to_lowercase();
        say(&format!(
            "{topics} topics x {partitions} partitions, {name}"
        ));
        measure(&stores::open(*store).await?, &options).await?;
    }
    Ok(())
}

async fn measure(store: &Opened, options: &Options) -> anyhow::Result<()> {
    let all = i64::from(options.topics) * i64::from(options.partitions);
    let before = resident()?;
    let running = start(store, metadata_options()).await?;
    create(store, &running.metadata, options).await?;
    memory("made", before, all)?;
    let mut agents = agents(options)?;
    append(
        store,
        &running.metadata,
        &mut agents,
        "committed to each once",
    )
    .await?;
    memory("with one extent and one producer each", before, all)?;
    close(store, running).await?;
    let running = restart(store, "started from rows").await?;
    append(
        store,
        &running.metadata,
        &mut agents,
        "committed to each again",
    )
    .await?;
    running.task.abort();
    let _ = running.task.await;
    let running = restart(store, "started from rows and log").await?;
    close(store, running).await?;
    beside_checkpoints(store, &mut agents).await?;
    delete(store, options).await
}

pub(crate) fn metadata_options() -> metadata::Options {
    metadata::Options::new(Arc::new(workload::now))
}

#[expect(clippy::disallowed_methods, reason = "the bench owns its tasks")]
pub(crate) async fn start(store: &Opened, options: metadata::Options) -> anyhow::Result<Running> {
    let (metadata, sequencer) = metadata::start(Arc::clone(&store.kv) as _, options).await?;
    let task = tokio::spawn(sequencer.run());
    Ok(Running { metadata, task })
}

fn id(topic: u32) -> TopicId {
    TopicId(u128::from(topic) + 1)
}

pub(crate) async fn create(
    store: &Opened,
    metadata: &Metadata,
    options: &Options,
) -> anyhow::Result<()> {
    // Agents use their own numbers, which must have been handed out.
    let ids = Command::AllocateProducerIds { count: 1_000 };
    metadata.submit(ids).await?;
    let begun = Instant::now();
    let mut window = Window::new(metadata);
    for topic in 0..options.topics {
        let create = CreateTopic {
            name: format!("topic-{topic:06}"),
            id: id(topic),
            partitions: options.partitions,
            replication_factor: 1,
            configs: BTreeMap::new(),
        };
        window.submit(Command::CreateTopic(create)).await?;
    }
    window.finish().await?;
    report(store, "created", begun);
    Ok(())
}

async fn delete(store: &Opened, options: &Options) -> anyhow::Result<()> {
    let running = restart(store, "started again").await?;
    let begun = Instant::now();
    let mut window = Window::new(&running.metadata);
    for topic in 0..options.topics {
        window.submit(Command::DeleteTopic(id(topic))).await?;
    }
    window.finish().await?;
    report(store, "deleted", begun);
    close(store, running).await
}

/// Commands under way, a window of them as an agent has it.
pub(crate) struct Window<'a> {
    metadata: &'a Metadata,
    waiting: JoinSet<anyhow::Result<()>>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(metadata: &'a Metadata) -> Self {
        let waiting = JoinSet::new();
        Self { metadata, waiting }
    }

    pub(crate) async fn submit(&mut self, command: Command) -> anyhow::Result<()> {
        if self.waiting.len() >= AT_ONCE
            && let Some(done) = self.waiting.join_next().await
        {
            done??;
        }
        let asked = self.metadata.submit(command);
        self.waiting
            .spawn(async move { answered(&asked.await?.outcome) });
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> anyhow::Result<()> {
        while let Some(done) = self.waiting.join_next().await {
            done??;
        }
        Ok(())
    }
}

/// One for each topic, which goes through its partitions.
pub(crate) fn agents(options: &Options) -> anyhow::Result<Vec<Agent>> {
    let shape = Shape {
        entries: options.partitions.min(ENTRIES_MAX),
        partitions: options.partitions,
        warm_up: Duration::ZERO,
        measured: Duration::ZERO,
        pace: None,
    };
    (0..options.topics)
        .map(|topic| Agent::new(topic, id(topic), shape))
        .collect()
}

/// A block for every partition.
pub(crate) async fn append(
    store: &Opened,
    metadata: &Metadata,
    agents: &mut [Agent],
    what: &str,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut window = Window::new(metadata);
    for agent in agents {
        for _ in 0..agent.commits_for_all() {
            let segment = agent.segment()?;
            window.submit(Command::CommitObject(segment)).await?;
        }
    }
    window.finish().await?;
    report(store, what, begun);
    Ok(())
}

pub(crate) async fn close(store: &Opened, running: Running) -> anyhow::Result<()> {
    let begun = Instant::now();
    running.metadata.close().await;
    running.task.await??;
    report(store, "last checkpoint", begun);
    Ok(())
}

async fn restart(store: &Opened, what: &str) -> anyhow::Result<Running> {
    let begun = Instant::now();
    let running = start(store, metadata_options()).await?;
    report(store, what, begun);
    Ok(running)
}

/// How long a small commit takes while all partitions are written to rows again and again.
async fn beside_checkpoints(store: &Opened, agents: &mut [Agent]) -> anyhow::Result<()> {
    let options = metadata::Options {
        checkpoint_interval: INTERVAL,
        ..metadata_options()
    };
    let running = start(store, options).await?;
    append(
        store,
        &running.metadata,
        agents,
        "committed to each for a checkpoint",
    )
    .await?;
    let mut took = Vec::new();
    let checkpoints = running.metadata.stats().checkpoints;
    let begun = Instant::now();
    let probe = agents.first_mut().context("no topic")?;
    while running.metadata.stats().checkpoints == checkpoints {
        let one = Instant::now();
        let segment = probe.segment_of(1, 1)?;
        running
            .metadata
            .submit(Command::CommitObject(segment))
            .await?;
        took.push(one.elapsed());
    }
    let (p50, p99) = percentiles(&mut took);
    let longest = took.last().copied().unwrap_or_default();
    report(store, "a checkpoint with commits beside it", begun);
    say(&format!(
        "    {} commits of one block beside it: p50 {:.2} ms, p99 {:.2} ms, longest {:.1} ms",
        took.len(),
        p50 * 1e3,
        p99 * 1e3,
        longest.as_secs_f64() * 1e3
    ));
    close(store, running).await
}

fn memory(what: &str, before: u64, partitions: i64) -> anyhow::Result<()> {
    let grown = resident()?.saturating_sub(before);
    let each = float(grown) / float(partitions.unsigned_abs());
    let mib = float(grown) / 1_048_576.0;
    say(&format!(
        "  memory {what}: {mib:.0} MiB, {each:.0} bytes a partition"
    ));
    Ok(())
}

/// What was done, and what it took of the store.
fn report(store: &Opened, what: &str, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    let (transactions, _) = store.kv.take();
    let mut transactions = lengths(&transactions);
    let (bytes, reads) = store.kv.take_traffic();
    let count = transactions.len();
    let (p50, _) = percentiles(&mut transactions);
    let longest = transactions.last().copied().unwrap_or_default();
    say(&format!(
        "  {what}: {seconds:.2} s; {count} transactions of {:.1} MiB in all, p50 {:.2} ms, longest {:.1} ms; {reads} reads",
        float(bytes) / 1_048_576.0,
        p50 * 1e3,
        longest.as_secs_f64() * 1e3,
    ));
}
