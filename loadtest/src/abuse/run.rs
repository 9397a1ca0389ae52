//! Case after case, each against a broker of its own: quiet, attacked, quiet again.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::broker::Broker;
use super::cap;
use super::cases::{self, Case};
use super::goal::Memory;
use super::good::{self, Lane, Target};
use super::manners::Attack;
use super::options::Options;
use super::report::{self, Report, Run};
use super::tally::Tally;
use crate::report as printed;
use crate::scrape;

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The good client's first records, which nothing is compared with.
const WARM_UP: Duration = Duration::from_secs(1);
/// To make ready what an attack needs.
const READY_TIME_MAX: Duration = Duration::from_secs(600);

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let cases = cases::named(&options.cases)?;
    let mut missed = Vec::new();
    for case in &cases {
        // Dropped on the way, it takes its broker with it.
        let report = tokio::select! {
            report = all_runs(case, &options) => report,
            () = told_to_end() => anyhow::bail!("told to end"),
        };
        let report = report.with_context(|| format!("case {}", case.name))?;
        if !report.missed.is_empty() {
            missed.push(case.name);
        }
        printed::print(&report)?;
    }
    anyhow::ensure!(
        missed.is_empty(),
        "{} of {} cases miss their goals: {}",
        missed.len(),
        cases.len(),
        missed.join(", ")
    );
    Ok(())
}

/// By a signal.
async fn told_to_end() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => tokio::select! {
            _ = terminated.recv() => {}
            _ = ctrl_c() => {}
        },
        Err(_) => std::future::pending().await,
    }
}

/// Against one broker; what happens to it ends the case, and stands in its report.
async fn all_runs(case: &Case, options: &Options) -> anyhow::Result<Report> {
    let mut broker = Broker::start(options, case.name, case.settings).await?;
    let (fresh, _) = broker.look()?;
    let said = scrape::scrape(&broker.http).await?;
    let budgets = case.budgets.iter().map(|each| each.told(&said));
    let budgets = budgets.collect::<anyhow::Result<_>>()?;
    let target = Target {
        kafka: broker.kafka.clone(),
        http: broker.http.clone(),
        short: options.short,
        patience: options.patience(),
        epoch: Instant::now(),
    };
    let mut runs = Vec::new();
    match make_ready(case, &mut broker, &target).await {
        Ok(attacks) => {
            for _ in 0..options.runs() {
                let run = one_run(case, options, &mut broker, &target, &attacks).await;
                let ended = run.ended.is_some();
                runs.push(run);
                if ended {
                    break;
                }
            }
        }
        Err(error) => runs.push(Run {
            ended: Some(format!("nothing to attack: {error:#}")),
            ..Run::default()
        }),
    }
    for run in &mut runs {
        run.memory.fresh = fresh;
    }
    let (settings, capped_by) = (broker.settings.clone(), broker.capped_by());
    Ok(report::report(
        case, options, settings, capped_by, budgets, runs,
    ))
}

async fn make_ready(
    case: &Case,
    broker: &mut Broker,
    target: &Target,
) -> anyhow::Result<Vec<Attack>> {
    let ready = async {
        good::prepare(target).await?;
        (case.ready)(target).await
    };
    let ready = timeout(READY_TIME_MAX, ready).await;
    // If it ended, that is why.
    let (now, _) = broker.look()?;
    broker.hold_to_cap(now)?;
    ready.context("it takes too long")?
}

async fn one_run(
    case: &Case,
    options: &Options,
    broker: &mut Broker,
    target: &Target,
    attacks: &[Attack],
) -> Run {
    let mut run = Run::default();
    let tally = Tally::default();
    let parts = parts(case, options, broker, target, attacks, (&mut run, &tally));
    if let Err(error) = parts.await {
        run.ended = Some(format!("{error:#}"));
    }
    run.counts = tally.counts();
    run
}

async fn parts(
    case: &Case,
    options: &Options,
    broker: &mut Broker,
    target: &Target,
    attacks: &[Attack],
    (run, tally): (&mut Run, &Tally),
) -> anyhow::Result<()> {
    let mut ignored = Memory::default();
    let part = Part {
        case,
        target,
        length: options.quiet(),
    };
    let warm_up = Part {
        length: WARM_UP,
        ..part
    };
    warm_up.go(broker, JoinSet::new(), &mut ignored).await?;
    run.quiet = part.go(broker, JoinSet::new(), &mut ignored).await?;
    run.memory.before = broker.look()?.0;
    cap::forget_most(broker.pid());
    let lines = broker.log()?.lines().count();
    let mut crowd = JoinSet::new();
    for attack in attacks {
        attack.begin(&mut crowd, tally);
    }
    let attacked = Part {
        length: options.attacked(),
        ..part
    };
    let attacked = attacked.go(broker, crowd, &mut run.memory).await;
    let lines = broker.log()?.lines().count() - lines;
    tally.measure(
        "log_lines_s",
        lines as f64 / options.attacked().as_secs_f64(),
    );
    run.attacked = attacked?;
    run.after = part.go(broker, JoinSet::new(), &mut ignored).await?;
    run.memory.after = broker.look()?.0;
    if options.is_in_memory() {
        let samples = scrape::scrape(&target.http).await?;
        run.memory.stored = samples.sum("penstock_object_store_bytes_total", &["op=\"put\""]);
    }
    Ok(())
}

/// A part of a run.
#[derive(Clone, Copy)]
struct Part<'a> {
    case: &'a Case,
    target: &'a Target,
    length: Duration,
}

impl Part<'_> {
    /// With attackers, who leave at its end; what the good client still waits for then may take longer.
    async fn go(
        &self,
        broker: &mut Broker,
        crowd: JoinSet<()>,
        memory: &mut Memory,
    ) -> anyhow::Result<Vec<Lane>> {
        let end = Instant::now() + self.length;
        let good = good::start(self.target, self.case.probes, end);
        let mut crowd = Some(crowd);
        while !good.is_finished() {
            sleep(LOOK_EVERY).await;
            let (now, most) = broker.look()?;
            memory.most = memory.most.max(now).max(most);
            broker.hold_to_cap(now)?;
            if Instant::now() >= end {
                crowd = None;
            }
        }
        drop(crowd);
        let lanes = good.join();
        lanes.map_err(|_| anyhow::anyhow!("the good client panicked"))?
    }
}
