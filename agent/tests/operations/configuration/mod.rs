//! Whoever gets the configuration wrong reads one sentence that says what to do; nothing was written then.

mod data;
mod flags;
mod lasting;
mod places;

use std::path::Path;

use tokio::process::Command;

use super::tools::run;
use crate::support::broker::penstock;

/// `penstock dev` on free ports, over a folder.
fn dev(data: &Path, more: &[&str]) -> Command {
    let mut command = penstock([
        "dev",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--data",
    ]);
    command.arg(data).args(more);
    command
}

/// Refused by the command line: exit code 2, and each of `parts` in what it says.
async fn misused(command: &mut Command, parts: &[&str]) {
    let ran = run(command).await;
    assert_eq!(
        (ran.status.code(), ran.stdout.as_str()),
        (Some(2), ""),
        "{ran:?}"
    );
    assert!(ran.stderr.starts_with("error: "), "{ran:?}");
    assert_eq!(
        ran.stderr.matches("error: ").count(),
        1,
        "more than one complaint: {ran:?}"
    );
    for part in parts {
        assert!(ran.stderr.contains(part), "no {part:?} in {:?}", ran.stderr);
    }
}
