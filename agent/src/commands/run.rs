//! The subcommand that was asked for, and how the process ends where it fails.

use std::process::ExitCode;

use super::{agent, dev, doctor, metadata, say};
use crate::config::{self, Command, Given, Misuse};
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

/// Says what clap has to say: that what was typed, or stands in a variable or in the file, cannot be used; or the help.
pub fn say_refused(refused: &clap::Error) -> ExitCode {
    // Whoever it was for may have gone.
    let _ = refused.print();
    if refused.use_stderr() {
        // What is missing may be in one of these.
        for sentence in config::unread() {
            say::complain(format_args!("penstock: {sentence}"));
        }
    }
    u8::try_from(refused.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Tells a person why the process ends: one line, causes included, and which variables gave the flags that it names. The
/// exit code says whether what was given is at fault.
pub fn say_error(error: &anyhow::Error, given: &Given) -> ExitCode {
    let said = format!("{error:#}");
    let no_bucket = matches!(error.downcast_ref(), Some(OpenError::Misused(_)));
    let by_variables = given.told(&said);
    say::complain(format_args!("penstock: {said}{by_variables}"));
    match no_bucket || error.is::<Misuse>() {
        true => ExitCode::from(MISUSED),
        false => ExitCode::FAILURE,
    }
}
