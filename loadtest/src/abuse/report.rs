//! What the runs of a case say together: the line that is printed. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cases::Case;
use super::goal::{self, Good, Memory, Times, median, mib, round};
use super::good::Lane;
use super::options::Options;
use super::tally::{Answers, Counts};

/// Errors that are told in words.
const ERRORS_TOLD: usize = 5;

/// One run.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) quiet: Vec<Lane>,
    pub(super) attacked: Vec<Lane>,
    pub(super) after: Vec<Lane>,
    pub(super) memory: Memory,
    pub(super) counts: Counts,
    /// Why it ended early.
    pub(super) ended: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    run: &'static str,
    case: &'static str,
    about: &'static str,
    runs: usize,
    /// The broker's flags.
    settings: Vec<String>,
    memory_cap: String,
    budgets_mib: BTreeMap<&'static str, u64>,
    rss_mib: Rss,
    good_ms: BTreeMap<String, Good>,
    good_errors: usize,
    /// What attackers were told, in all runs.
    answers: BTreeMap<String, Answers>,
    figures: BTreeMap<&'static str, f64>,
    /// Empty where the goal is met.
    pub(super) missed: Vec<String>,
    met: bool,
}

#[derive(Debug, Serialize)]
struct Rss {
    fresh: f64,
    before: f64,
    most: f64,
    after: f64,
    stored: f64,
    limit: f64,
}

/// Judges the runs of a case by a broker with these settings, of whose budgets it may fill those, in MiB.
pub(super) fn report(
    case: &Case,
    options: &Options,
    settings: Vec<String>,
    capped_by: &str,
    mut budgets: BTreeMap<&'static str, u64>,
    mut runs: Vec<Run>,
) -> Report {
    let memory = most(&runs);
    budgets.insert("buffers", options.buffer_memory);
    budgets.insert("cache", options.cache_memory);
    let rss_mib = Rss {
        fresh: mib(memory.fresh),
        before: mib(memory.before),
        most: mib(memory.most),
        after: mib(memory.after),
        stored: round(memory.stored / f64::from(1 << 20)),
        limit: match options.short {
            true => options.memory_cap as f64,
            false => goal::limit_mib(&budgets, memory, options.memory_cap),
        },
    };
    let mut missed: Vec<String> = runs.iter_mut().filter_map(|run| run.ended.take()).collect();
    if rss_mib.most > rss_mib.limit {
        missed.push(format!(
            "rss: {} MiB, wanted {}",
            rss_mib.most, rss_mib.limit
        ));
    }
    let ended = !missed.is_empty();
    let errors = errors(&runs);
    missed.extend(errors.iter().take(ERRORS_TOLD).cloned());
    let mut figures = BTreeMap::new();
    let mut answers = Counts::default();
    for run in &mut runs {
        for (name, value) in std::mem::take(&mut run.counts.figures) {
            figures.entry(name).or_insert_with(Vec::new).push(value);
        }
        answers.add(std::mem::take(&mut run.counts));
    }
    let figures = figures.into_iter();
    let figures = figures
        .map(|(name, all)| (name, round(median(all))))
        .collect();
    let count = runs.len();
    let good_ms = times(runs);
    if !options.short && !ended {
        missed.extend(goal::slow(&good_ms));
        missed.extend(
            case.wants
                .iter()
                .filter_map(|want| goal::unmet(*want, &figures)),
        );
    }
    Report {
        run: "abuse",
        case: case.name,
        about: case.about,
        runs: count,
        settings,
        memory_cap: format!("{} MiB, {capped_by}", options.memory_cap),
        budgets_mib: budgets,
        rss_mib,
        good_ms,
        good_errors: errors.len(),
        answers: answers.answers,
        figures,
        met: missed.is_empty(),
        missed,
    }
}

/// Of all runs: a bound is one, however seldom it is passed.
fn most(runs: &[Run]) -> Memory {
    let mut most = Memory::default();
    for Run { memory, .. } in runs {
        most.fresh = most.fresh.max(memory.fresh);
        most.before = most.before.max(memory.before);
        most.most = most.most.max(memory.most);
        most.after = most.after.max(memory.after);
        most.stored = most.stored.max(memory.stored);
    }
    most
}

fn errors(runs: &[Run]) -> Vec<String> {
    let mut errors = Vec::new();
    for run in runs {
        let parts = [
            ("quiet", &run.quiet),
            ("attacked", &run.attacked),
            ("after", &run.after),
        ];
        for (part, lanes) in parts {
            for lane in lanes {
                let told = lane.errors.iter();
                errors.extend(told.map(|error| format!("{}, {part}: {error}", lane.name)));
            }
        }
    }
    errors
}

fn times(runs: Vec<Run>) -> BTreeMap<String, Good> {
    let mut all: BTreeMap<String, [Vec<[f64; 4]>; 3]> = BTreeMap::new();
    for run in runs {
        for (part, lanes) in [run.quiet, run.attacked, run.after].into_iter().enumerate() {
            for lane in lanes {
                let summary = lane.latencies.summary();
                let times = [summary.count as f64, summary.p50, summary.p99, summary.max];
                all.entry(lane.name).or_default()[part].push(times);
            }
        }
    }
    let good = |[quiet, attacked, after]: [Vec<[f64; 4]>; 3]| {
        let quiet = middle(&quiet);
        Good {
            limit_p99: goal::limit_p99(quiet.p99),
            quiet,
            attacked: middle(&attacked),
            after: middle(&after),
        }
    };
    all.into_iter()
        .map(|(name, all)| (name, good(all)))
        .collect()
}

fn middle(runs: &[[f64; 4]]) -> Times {
    let [count, p50, p99, max] =
        [0, 1, 2, 3].map(|which| median(runs.iter().map(|times| times[which]).collect()));
    Times {
        count,
        p50,
        p99,
        max,
    }
}
