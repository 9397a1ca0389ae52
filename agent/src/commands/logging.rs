//! Logs: for people on a terminal, JSON otherwise; always on standard error. A line that cannot be written, as on a disk that
//! is full, is lost and ends nothing.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::{self, Misuse};

/// Targets of our own crates.
const OURS: [&str; 2] = ["penstock", "metadata"];
/// What libraries say of themselves is for their developers.
const QUIET: [&str; 4] = [
    "aws_smithy_runtime",
    "aws_sdk_s3",
    "reqwest",
    "tokio_postgres",
];
/// They warn of what a peer did, which any number of peers may do at any rate. And of credentials and regions that are not
/// found at each try: what is missing is said in our own sentence.
const SILENT: [&str; 5] = ["aws_config", "h2", "hyper", "hyper_util", "rustls"];

/// Their part of the filter.
fn libraries() -> String {
    let quiet = QUIET.map(|library| format!("{library}=warn"));
    let silent = SILENT.map(|library| format!("{library}=error"));
    [quiet.join(","), silent.join(",")].join(",")
}

/// A word alone that is no level is a target, of which everything is logged, and nothing of all others, errors included.
/// So it has to be one that is known.
fn check_words(filter: &str) -> anyhow::Result<()> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let is_target = |word: &str| {
        let root = word.split("::").next().unwrap_or_default();
        let mut known = OURS.iter().chain(&QUIET).chain(&SILENT);
        known.any(|target| *target == root)
    };
    let mut words = filter
        .split(',')
        .filter(|part| !part.contains(['=', '[', ']', '{', '}']));
    match words.find(|word| !is_level(word) && !is_target(word)) {
        None => Ok(()),
        Some(word) => Err(Misuse::say(format!(
            "--log {filter}: '{word}' is not a level: write off, error, warn, info, debug or trace, or a filter as in \
             info,penstock=debug"
        ))),
    }
}

/// Starts logging with a filter such as `info` or `info,penstock=debug`. First it says which variables were not read.
pub(super) fn start(filter: &str) -> anyhow::Result<()> {
    check_words(filter)?;
    let all = format!("{},{filter}", libraries());
    let filter = EnvFilter::builder().parse(all).map_err(|error| {
        Misuse::say(format!(
            "--log {filter} is not a filter; write it as in info or info,penstock=debug: {error}"
        ))
    })?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It would say so with `eprintln!`, which panics where nothing can be written.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.with_target(false).init();
    } else {
        logs.json().init();
    }
    for sentence in config::unread() {
        tracing::warn!("{sentence}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_neither_level_nor_target_is_no_filter() {
        for (filter, word) in [
            ("warning", "warning"),
            ("verbose", "verbose"),
            ("info,fatal", "fatal"),
            ("warning,penstock=debug", "warning"),
            ("penstocks", "penstocks"),
            ("6", "6"),
        ] {
            let said = check_words(filter).unwrap_err();
            assert!(said.is::<Misuse>(), "{said}");
            let part = format!("'{word}' is not a level: write off, error, warn, info");
            assert!(said.to_string().contains(&part), "{said}");
        }
        for filter in [
            "off",
            "INFO",
            "0",
            "info,penstock=debug",
            "error,",
            "penstock",
            "penstock::server",
            "info,metadata",
            "hyper",
            "anything=debug",
            "info,[request{id}]=trace",
        ] {
            assert!(check_words(filter).is_ok(), "{filter}");
        }
    }

    /// A connection of some hundred bytes made h2 write a line, 18,000 times a second.
    #[test]
    fn what_peers_do_makes_no_library_log() {
        let filter = format!("{},info", libraries());
        let filter: tracing_subscriber::filter::Targets = filter.parse().unwrap();
        for library in SILENT {
            let target = format!("{library}::somewhere");
            assert!(
                !filter.would_enable(&target, &tracing::Level::WARN),
                "{library}"
            );
            assert!(
                filter.would_enable(&target, &tracing::Level::ERROR),
                "{library}"
            );
        }
        assert!(filter.would_enable("penstock::server", &tracing::Level::INFO));
    }
}
