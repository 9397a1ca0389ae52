//! Metrics keep their names and labels, and alerts watch none that nobody keeps.

use std::collections::BTreeSet;

use crate::sources::{code, root, sources};

/// Read by tools, so they keep their names.
const METRICS: [(&str, &str, &[&str]); 22] = [
    (
        "counter",
        "penstock_object_store_requests_total",
        &["op", "cause", "outcome"],
    ),
    (
        "counter",
        "penstock_object_store_bytes_total",
        &["op", "cause"],
    ),
    ("histogram", "penstock_object_store_seconds", &["op"]),
    ("histogram", "penstock_produce_seconds", &["stage"]),
    ("counter", "penstock_fetch_bytes_total", &["source"]),
    ("counter", "penstock_segments_total", &[]),
    ("histogram", "penstock_segment_bytes", &[]),
    ("gauge", "penstock_holds_order", &[]),
    ("counter", "penstock_drains_total", &[]),
    ("counter", "penstock_index_rows_freed_total", &[]),
    ("counter", "penstock_objects_orphaned_total", &[]),
    ("counter", "penstock_job_turns_total", &["job", "outcome"]),
    ("histogram", "penstock_job_seconds", &["job"]),
    ("counter", "penstock_job_done_total", &["job"]),
    ("counter", "penstock_damage_total", &["kind"]),
    ("gauge", "penstock_cluster_usage", &["kind"]),
    ("gauge", "penstock_cluster_usage_max", &["kind"]),
    ("counter", "penstock_answers_not_believed_total", &[]),
    ("gauge", "penstock_buffered_bytes", &[]),
    ("gauge", "penstock_connections", &[]),
    ("counter", "penstock_turned_away_total", &["reason"]),
    ("counter", "penstock_requests_total", &["api", "error"]),
];

/// An alert over a metric that nobody keeps is silent for ever.
#[test]
fn alerts_watch_metrics_that_are_kept() {
    let alerts = std::fs::read_to_string(root().join("deploy/alerts.yml")).expect("the alerts");
    let exprs = alerts.lines().filter_map(|line| line.split_once("expr: "));
    let words = exprs.flat_map(|(_, expr)| expr.split(|c: char| !c.is_alphanumeric() && c != '_'));
    let watched: BTreeSet<&str> = words.filter(|w| w.starts_with("penstock_")).collect();
    assert!(watched.contains("penstock_damage_total"), "{watched:?}");
    for name in watched {
        let kept = METRICS.iter().any(|(_, kept, _)| *kept == name);
        assert!(kept, "nobody promises to keep {name}");
    }
}

#[test]
fn every_metric_is_kept_under_its_name_and_labels() {
    let files = sources("agent/src/");
    for (kind, name, labels) in METRICS {
        let written = format!("{kind}!(\"{name}\"");
        let keeps = |code: &str| {
            let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
            // `describe_counter!` only says what it would be.
            let mut places = code.match_indices(&written);
            places.any(|(place, _)| !code[..place].ends_with('_'))
        };
        let keepers: Vec<String> = files
            .iter()
            .map(|(_, text)| code(text))
            .filter(|code| keeps(code))
            .collect();
        assert!(!keepers.is_empty(), "nobody keeps {name}");
        for label in labels {
            let label = format!("\"{label}\"");
            assert!(
                keepers.iter().all(|code| code.contains(&label)),
                "{name} has no label {label}"
            );
        }
    }
}
