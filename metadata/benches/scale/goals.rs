//! The goals that the metadata is held to, a command each. What is printed says with which settings, and whether it is met.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use metadata::Command;
use tokio::time::Instant;

use crate::cluster::{self, Travel};
use crate::figures::{float, lengths, percentiles, say, store_alone};
use crate::partitions::{self, Window};
use crate::stores::{self, Opened, Store};
use crate::workload::{Agent, Shape};

const AGENTS: u32 = 300;
/// Blocks of a commit, and the partitions that all agents write to.
const ENTRIES: i32 = 100;
const SHARED_PARTITIONS: i32 = 1_000;
/// Commits a second of each agent where they have a pace.
const PACE: u32 = 4;

const DECIDED_MIN: f64 = 1_000_000.0;
const LATENCY_MAX: f64 = 4.0;
const CHECKPOINT_MAX: f64 = 5.0;
const START_MAX: f64 = 1.0;
/// Starts of which the median counts.
const STARTS: usize = 3;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    goal: Goal,
    /// Where the metadata is kept; by default where the goal was set
    #[arg(long, value_delimiter = ',')]
    stores: Vec<Store>,
    /// Seconds of commits: longer than from one checkpoint to the next
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Seconds of commits before: a file grows at first
    #[arg(long, default_value_t = 1)]
    warm_up: u64,
    /// Topics of the cluster
    #[arg(long, default_value_t = 1000)]
    topics: u32,
    /// Of each topic
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i32).range(10..=1000))]
    partitions: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Goal {
    /// Entries that the sequencer decides in a second of its thread's time on a core, 300 agents one commit after the other
    Decided,
    /// The slowest hundredth of commits, 300 agents at four a second each, in multiples of the store's median commit
    Latency,
    /// A checkpoint when every tenth of a million partitions changed
    Checkpoint,
    /// Start from the rows of a million partitions
    Start,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let stores = match (&options.stores, options.goal) {
        (chosen, _) if !chosen.is_empty() => chosen.clone(),
        (_, Goal::Decided) => vec![Store::Memory, Store::Redb],
        #[cfg(feature = "postgres")]
        (_, Goal::Latency) => vec![Store::Redb, Store::Postgres],
        _ => vec![Store::Redb],
    };
    for store in stores {
        let opened = stores::open(store).await?;
        let name = format!("{store:?}").to_lowercase();
        match options.goal {
            Goal::Decided => decided(&opened, &options, &name).await?,
            Goal::Latency => latency(&opened, &options, &name).await?,
            Goal::Checkpoint => checkpoint(&opened, &options, &name).await?,
            Goal::Start => start(&opened, &options, &name).await?,
        }
    }
    Ok(())
}

fn verdict(met: bool) -> &'static str {
    match met {
        true => "met",
        false => "NOT met",
    }
}

fn shape(options: &Options, pace: Option<u32>) -> Shape {
    Shape {
        entries: ENTRIES,
        partitions: SHARED_PARTITIONS,
        warm_up: Duration::from_secs(options.warm_up),
        measured: Duration::from_secs(options.seconds),
        pace,
    }
}

async fn decided(store: &Opened, options: &Options, name: &str) -> anyhow::Result<()> {
    let figures = cluster::run(store, AGENTS, &shape(options, None), Travel::Links).await?;
    // The store's own threads are not the sequencer's.
    let cpu = figures.sequencer_cpu.context("no sequencer")?.as_secs_f64();
    let decided = float(figures.entries) / cpu;
    say(&format!(
        "decided, {name}: {AGENTS} agents, one commit of {ENTRIES} entries after the other, to the same {SHARED_PARTITIONS} \
         partitions, {} s: {} entries in {cpu:.2} s of the sequencer's thread on a core, {decided:.0} a core-second; goal at \
         least {DECIDED_MIN:.0}: {}",
        options.seconds,
        figures.entries,
        verdict(decided >= DECIDED_MIN),
    ));
    Ok(())
}

async fn latency(store: &Opened, options: &Options, name: &str) -> anyhow::Result<()> {
    let shape = shape(options, Some(PACE));
    let mut figures = cluster::run(store, AGENTS, &shape, Travel::Links).await?;
    let count = figures.commits.len();
    let (p50, p99) = percentiles(&mut figures.commits);
    let (median, _) = percentiles(&mut lengths(&figures.transactions));
    let (_, alone) = percentiles(&mut store_alone(&figures.transactions));
    say(&format!(
        "latency, {name}: {AGENTS} agents, {PACE} commits/s of {ENTRIES} entries each, to the same {SHARED_PARTITIONS} \
         partitions, {} s after {} s: {count} commits, p50 {:.2} ms, p99 {:.2} ms; the store's median commit {:.2} ms; p99 in those \
         {:.1}; goal at most {LATENCY_MAX}: {}; with a sequencer that takes no time, {:.1} on the same transactions",
        options.seconds,
        options.warm_up,
        p50 * 1e3,
        p99 * 1e3,
        median * 1e3,
        p99 / median,
        verdict(p99 <= LATENCY_MAX * median),
        alone / median,
    ));
    Ok(())
}

/// A store with rows of all partitions, each with an extent and a producer.
async fn in_rows(store: &Opened, options: &partitions::Options) -> anyhow::Result<Vec<Agent>> {
    let running = partitions::start(store, partitions::metadata_options()).await?;
    partitions::create(store, &running.metadata, options).await?;
    let mut agents = partitions::agents(options)?;
    let what = "committed to each once";
    partitions::append(store, &running.metadata, &mut agents, what).await?;
    partitions::close(store, running).await?;
    Ok(agents)
}

fn all(options: &Options) -> partitions::Options {
    partitions::Options {
        topics: options.topics,
        partitions: options.partitions,
        stores: Vec::new(),
    }
}

async fn checkpoint(store: &Opened, options: &Options, name: &str) -> anyhow::Result<()> {
    let mut agents = in_rows(store, &all(options)).await?;
    let running = partitions::start(store, partitions::metadata_options()).await?;
    let mut window = Window::new(&running.metadata);
    let some = options.partitions / 10;
    for agent in &mut agents {
        let segment = agent.segment_of(some, 10)?;
        window.submit(Command::CommitObject(segment)).await?;
    }
    window.finish().await?;
    let begun = Instant::now();
    partitions::close(store, running).await?;
    let took = begun.elapsed().as_secs_f64();
    say(&format!(
        "checkpoint, {name}: {} of {} partitions changed, every tenth of each of {} topics: {took:.2} s; goal at most \
         {CHECKPOINT_MAX} s: {}",
        i64::from(options.topics) * i64::from(some),
        i64::from(options.topics) * i64::from(options.partitions),
        options.topics,
        verdict(took <= CHECKPOINT_MAX),
    ));
    Ok(())
}

async fn start(store: &Opened, options: &Options, name: &str) -> anyhow::Result<()> {
    in_rows(store, &all(options)).await?;
    let mut took = Vec::new();
    for _ in 0..STARTS {
        let begun = Instant::now();
        let running = partitions::start(store, partitions::metadata_options()).await?;
        took.push(begun.elapsed());
        partitions::close(store, running).await?;
    }
    let each: Vec<String> = took
        .iter()
        .map(|took| format!("{:.2}", took.as_secs_f64()))
        .collect();
    let (median, _) = percentiles(&mut took);
    say(&format!(
        "start, {name}: from rows of {} partitions, each with an extent and a producer: {} s, median {median:.2} s; goal at \
         most {START_MAX} s: {}",
        i64::from(options.topics) * i64::from(options.partitions),
        each.join(", "),
        verdict(median <= START_MAX),
    ));
    Ok(())
}
