//! The bugs planted in the product, each of which simulation must find. `BUGS.md` tells what finds which.

use std::ops::Range;
use std::process::ExitCode;

use crate::run::run;
use crate::say;

/// Their names, of which `planted!` in the product has each, and the seed that found each when this was written: it is tried
/// before all others, because most of the time goes into the seeds that find nothing.
pub(crate) const ALL: &[(&str, u64)] = &[
    ("ack-before-commit", 1),
    ("ack-before-put", 3),
    ("acks-mixed-up", 0),
    ("answer-overtakes-view", 37),
    ("base-offset-off-by-one", 0),
    ("chain-not-written", 0),
    ("checkpoint-clears-what-it-wrote", 0),
    ("checkpoint-drops-the-last-extent", 0),
    ("commit-order-swapped", 0),
    ("confirmed-read-skipped", 114),
    ("damaged-block-served", 18),
    ("dead-bytes-served", 0),
    ("decided-again", 31),
    ("deposed-answers-agents", 581),
    ("duplicate-check-off", 0),
    ("ends-told-unasked", 11),
    ("epoch-ignored", 45),
    ("failed-put-committed", 9),
    ("fence-off", 0),
    ("fenced-drain-answered", 2),
    ("head-not-expected", 0),
    ("hedge-committed-too", 0),
    ("lineage-not-checked", 20),
    ("live-producers-evicted", 25),
    ("log-cleared-before-it-is-in-rows", 0),
    ("not-watched-again", 3),
    ("out-of-range-unconfirmed", 3),
    ("partition-done-before-its-extents", 1),
    ("producers-not-checkpointed", 3),
    ("published-before-commit", 2),
    ("replay-skips-a-drain", 0),
    ("state-kept-after-failure", 8),
    ("submitted-again-in-a-new-session", 205),
    ("unknown-is-done", 10),
    ("view-kept-on-a-new-link", 9),
    ("view-not-updated", 0),
    ("wall-clock-expires-producers", 25),
    ("window-of-one", 0),
    ("witness-not-asked", 0),
    ("wrong-block-of-a-run", 1),
];

/// Runs seeds with a bug until one finds it.
pub(crate) fn find(one: Option<&str>, seeds: Range<u64>, trace: bool) -> ExitCode {
    let mut missed = Vec::new();
    for (name, before) in ALL.iter().filter(|bug| one.is_none_or(|one| one == bug.0)) {
        plant(Some(name));
        let found = seeds
            .contains(before)
            .then_some(*before)
            .into_iter()
            .chain(seeds.clone())
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
