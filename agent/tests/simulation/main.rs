//! Simulation: the product in one thread and simulated time, alone or as a fleet, its bucket, store and links full of faults,
//! its processes killed and frozen, and whatever its clients saw judged by a checker. `cargo sim` runs more seeds, and shows
//! one.

mod backwards;
mod bucket;
mod checker;
mod checker_tests;
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

use std::time::Duration;

use run::run;

#[test]
fn seeds_are_clean() {
    for seed in 0..40 {
        let report = run(seed);
        assert!(report.anomalies.is_empty(), "{}", report.story());
        assert!(report.simulated > Duration::from_secs(3));
    }
}

/// An agent that had not heard of a young topic refused a producer's first batch and took the second.
#[test]
fn a_first_batch_that_comes_before_the_news_of_its_topic_is_in_order() {
    let report = run(15_511);
    assert!(report.anomalies.is_empty(), "{}", report.story());
}

/// The same where the agent could not ask anybody, and heard between the two batches.
#[test]
fn a_first_batch_is_not_refused_by_an_agent_that_cannot_ask_for_its_topic() {
    let report = run(743);
    assert!(report.anomalies.is_empty(), "{}", report.story());
}

#[test]
fn the_same_seed_gives_the_same_story() {
    for seed in 1000..1006 {
        let (one, two) = (run(seed), run(seed));
        let differ = one
            .history
            .iter()
            .zip(&two.history)
            .find(|(one, two)| format!("{one:?}") != format!("{two:?}"));
        assert_eq!(one.hash, two.hash, "seed {seed}: {differ:?}");
        assert!(one.history.len() > 100);
        assert_ne!(one.hash, run(seed + 1000).hash);
    }
}
