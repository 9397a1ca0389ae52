//! The subcommand that was asked for, and how the process ends where it fails.

use std::process::ExitCode;

use super::{agent, dev, doctor, metadata, say};
use crate::config::{Command, Misuse};
use crate::storage::OpenError;

/// What clap ends with at wrong flags.
const MISUSED: u8 = 2;

/// Runs what was asked for, to its end.
///
/// # Errors
/// With a sentence for the operator.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Dev(options) => dev::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Agent(options) => agent::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Metadata(options) => metadata::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Doctor(options) => doctor::run(options).await,
    }
}

/// Tells a person why the process ends: one line, causes included. The exit code says whether what was typed is at fault.
pub fn say_error(error: &anyhow::Error) -> ExitCode {
    say::complain(format_args!("penstock: {error:#}"));
    let no_bucket = matches!(error.downcast_ref(), Some(OpenError::Misused(_)));
    match no_bucket || error.is::<Misuse>() {
        true => ExitCode::from(MISUSED),
        false => ExitCode::FAILURE,
    }
}
