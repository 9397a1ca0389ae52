//! The bugs planted in the product, each of which simulation must find. `BUGS.md` tells what finds which.

use std::ops::Range;
use std::process::ExitCode;

use crate::run::run;
use crate::say;

/// Their names; `planted!` in the product has each.
pub(crate) const ALL: &[&str] = &[
    "ack-before-commit",
    "ack-before-put",
    "acks-mixed-up",
    "answer-overtakes-view",
    "base-offset-off-by-one",
    "chain-not-written",
    "checkpoint-clears-what-it-wrote",
    "checkpoint-drops-the-last-extent",
    "commit-order-swapped",
    "confirmed-read-skipped",
    "damaged-block-served",
    "dead-bytes-served",
    "decided-again",
    "deposed-answers-agents",
    "duplicate-check-off",
    "ends-told-unasked",
    "epoch-ignored",
    "failed-put-committed",
    "fence-off",
    "fenced-drain-answered",
    "head-not-expected",
    "hedge-committed-too",
    "lineage-not-checked",
    "live-producers-evicted",
    "log-cleared-before-it-is-in-rows",
    "not-watched-again",
    "out-of-range-unconfirmed",
    "partition-done-before-its-extents",
    "producers-not-checkpointed",
    "published-before-commit",
    "replay-skips-a-drain",
    "state-kept-after-failure",
    "submitted-again-in-a-new-session",
    "unknown-is-done",
    "view-kept-on-a-new-link",
    "view-not-updated",
    "wall-clock-expires-producers",
    "window-of-one",
    "witness-not-asked",
    "wrong-block-of-a-run",
];

/// Runs seeds with a bug until one finds it.
pub(crate) fn find(one: Option<&str>, seeds: Range<u64>, trace: bool) -> ExitCode {
    let mut missed = Vec::new();
    for name in ALL
        .iter()
        .filter(|name| one.is_none_or(|one| one == **name))
    {
        plant(Some(name));
        let found = seeds
            .clone()
            .map(run)
            .find(|report| !report.anomalies.is_empty());
        plant(None);
        match found {
            Some(report) => {
                let mut kinds: Vec<String> = report
                    .anomalies
                    .iter()
                    .map(|anomaly| format!("{:?}", anomaly.wrong))
                    .collect();
                kinds.sort();
                kinds.dedup();
                say(&format!(
                    "{name}: seed {} ({})",
                    report.seed,
                    kinds.join(", ")
                ));
                if trace {
                    say(&report.story());
                }
            }
            None => {
                say(&format!("{name}: not found"));
                missed.push(name);
            }
        }
    }
    if missed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(feature = "planted-bugs")]
fn plant(name: Option<&str>) {
    metadata::planted::plant(name);
}

#[cfg(not(feature = "planted-bugs"))]
fn plant(_: Option<&str>) {
    say("built without planted bugs: use --features planted-bugs");
}
