//! `cargo sim`: runs seeds and tells what is wrong with them.
//!
//! `--seeds A..B` which (0..100 unless told); `--twice` each of them two times, to compare; `--trace` prints the history;
//! `--bug NAME` with that bug planted; `--bugs` finds each planted bug.

mod backwards;
mod bucket;
mod bugs;
mod checker;
mod damage;
mod fleet;
mod history;
mod last;
mod link;
mod nemesis;
mod net;
mod outlet;
mod process;
mod producer;
mod reader;
mod roles;
mod run;
mod swarm;
mod versions;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;

use clap::Parser;
use run::{Report, run};
use tokio::time::Duration;

/// Runs simulated clusters.
#[derive(Debug, Parser)]
struct Args {
    /// Which seeds, `A..B`
    #[arg(long, default_value = "0..100", value_parser = parse_range)]
    seeds: Range<u64>,
    /// Each seed two times; both must be the same
    #[arg(long)]
    twice: bool,
    /// Print what happened
    #[arg(long)]
    trace: bool,
    /// With this bug planted, until a seed finds it
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
    /// Every planted bug, one after the other
    #[arg(long)]
    bugs: bool,
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("write A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    Ok(number(from)?..number(to)?)
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.bugs || args.bug.is_some() {
        return bugs::find(args.bug.as_deref(), args.seeds, args.trace);
    }
    let (mut bad, mut simulated, mut kinds) = (Vec::new(), Duration::ZERO, BTreeMap::new());
    for seed in args.seeds.clone() {
        let report = run(seed);
        simulated += report.simulated;
        if args.trace {
            show(&report);
        }
        if args.twice && run(seed).hash != report.hash {
            say(&format!("seed {seed}: two runs differ"));
            bad.push(seed);
        }
        if let Some(first) = report.anomalies.first() {
            *kinds.entry(first.wrong).or_insert(0) += 1;
            say(&report.story());
            bad.push(seed);
        }
    }
    say(&format!(
        "{} seeds, {} simulated seconds, {} bad: {bad:?} {kinds:?}",
        args.seeds.clone().count(),
        simulated.as_secs(),
        bad.len()
    ));
    if bad.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn show(report: &Report) {
    for (at, timed) in report.history.iter().enumerate() {
        say(&format!("{at:>6} {timed}"));
    }
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn say(text: &str) {
    println!("{text}");
}
