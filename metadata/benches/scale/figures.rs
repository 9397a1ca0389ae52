//! What a row of the table says, and where its numbers come from.

use std::time::Duration;

use crate::commits::Way;
use crate::stores::{Store, Took};

/// Of one row.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    pub(crate) entries: u64,
    /// From asking to the answer, of each commit.
    pub(crate) commits: Vec<Duration>,
    /// Each that the store committed, in order.
    pub(crate) transactions: Vec<Took>,
    pub(crate) conflicts: u64,
    pub(crate) process_cpu: Duration,
    /// Of the thread that decides, if one does.
    pub(crate) sequencer_cpu: Option<Duration>,
}

pub(crate) fn heading(shape: &str) {
    say(shape);
    say(&format!(
        "{:9}{:7}{:>7}{:>11}{:>12}{:>9}{:>11}{:>14}{:>16}{:>14}{:>9}{:>16}",
        "store",
        "way",
        "agents",
        "commits/s",
        "entries/s",
        "txns/s",
        "conflicts",
        "store p50,p99",
        "commit p50,p99",
        "x p50,p99",
        "cpu-s/s",
        "decided/core-s"
    ));
}

impl Figures {
    pub(crate) fn print(mut self, store: Store, way: Way, agents: u32) {
        let a_second = |count: f64| count / self.seconds;
        let decided = self.sequencer_cpu.map_or("-".to_owned(), |cpu| {
            format!("{:.0}", float(self.entries) / cpu.as_secs_f64())
        });
        let commits = a_second(float(self.commits.len() as u64));
        let entries = a_second(float(self.entries));
        let transactions = a_second(float(self.transactions.len() as u64));
        let conflicts = a_second(float(self.conflicts));
        let cpu = a_second(self.process_cpu.as_secs_f64());
        let (p50, p99) = percentiles(&mut self.commits);
        let (store_commit, store_p99) = percentiles(&mut lengths(&self.transactions));
        say(&format!(
            "{:9}{:7}{agents:>7}{commits:>11.0}{entries:>12.0}{transactions:>9.0}{conflicts:>11.0}{:>14}{:>16}{:>14}{cpu:>9.2}{decided:>16}",
            format!("{store:?}").to_lowercase(),
            format!("{way:?}").to_lowercase(),
            format!("{:.2},{:.2}", store_commit * 1e3, store_p99 * 1e3),
            format!("{:.2},{:.2}", p50 * 1e3, p99 * 1e3),
            format!("{:.1},{:.1}", p50 / store_commit, p99 / store_commit),
        ));
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// The median and the 99th of a hundred, in seconds.
pub(crate) fn percentiles(all: &mut [Duration]) -> (f64, f64) {
    all.sort_unstable();
    let at = |per_cent: usize| {
        let index = (all.len() * per_cent / 100).min(all.len().saturating_sub(1));
        all.get(index).map_or(f64::NAN, Duration::as_secs_f64)
    };
    (at(50), at(99))
}

pub(crate) fn lengths(transactions: &[Took]) -> Vec<Duration> {
    transactions.iter().map(|&(_, took)| took).collect()
}

/// How long commits would have taken, one asked for every 0.1 ms, if they waited for nothing but these transactions: the
/// one under way when they are asked for, and the next one.
pub(crate) fn store_alone(transactions: &[Took]) -> Vec<Duration> {
    let mut waited = Vec::new();
    for pair in transactions.windows(2) {
        let [(begun, took), (next, next_took)] = *pair else {
            continue;
        };
        let end = begun + took;
        let mut asked = begun;
        while asked < next {
            waited.push(end.saturating_duration_since(asked) + next_took);
            asked += Duration::from_micros(100);
        }
    }
    waited
}

#[expect(clippy::print_stdout, reason = "the table is the product")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// A thread of this process, as Linux names it.
#[derive(Clone, Debug)]
pub(crate) struct Thread(std::path::PathBuf);

impl Thread {
    /// The one that asks.
    pub(crate) fn current() -> anyhow::Result<Self> {
        let path = std::fs::read_link("/proc/thread-self")?;
        Ok(Self(std::path::Path::new("/proc").join(path)))
    }

    /// How long it ran.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let text = std::fs::read_to_string(self.0.join("schedstat"))?;
        let nanoseconds = text.split(' ').next().unwrap_or_default().parse()?;
        Ok(Duration::from_nanos(nanoseconds))
    }
}

/// How long all threads of this process ran that have not ended.
pub(crate) fn process_cpu() -> anyhow::Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in std::fs::read_dir("/proc/self/task")? {
        // It may have ended meanwhile.
        sum += Thread(thread?.path()).cpu().unwrap_or_default();
    }
    Ok(sum)
}

/// Bytes of memory that this process has.
pub(crate) fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.unwrap_or_default().parse::<u64>()? * 1024)
}
