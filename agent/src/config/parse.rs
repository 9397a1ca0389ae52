//! From the command line, the environment and the config file to one [`Command`].

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _};

use super::command::{Cli, Command};
use super::variables::{Given, with_variables};
use super::{addressee, file, place};

/// Reads the command line, the environment and the config file. Also says what variables gave.
///
/// # Errors
/// With what to tell the user, and the exit code: also for `--help` and `--version`.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(Command, Given), clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let command = with_variables(Cli::command());
    let file = file::named(&command, &arguments);
    let mut command = match &file {
        Some(file) => file::apply(command, file)?,
        None => command,
    };
    let matches = command.try_get_matches_from_mut(&arguments);
    let path = file.as_ref().map(|file| file.path.as_path());
    let matches = matches.map_err(|error| place::named(error, &arguments, path))?;
    let given = Given::of(&command, &matches);
    let mut command = Cli::from_arg_matches(&matches)?.command;
    addressee::settle(&mut command, &matches)?;
    Ok((command, given))
}

/// On the command line alone: left in a file or in the environment, they would be said again at each start.
pub(super) const SAID_ONCE: &[&str] = &["say", "records", "accept_older_store", "force"];

/// Whether it has neither variable nor key. So it is with whom `penstock metadata` says something to: that variable is the
/// one of agents beside it.
pub(super) fn is_typed(subcommand: &str, argument: &str) -> bool {
    SAID_ONCE.contains(&argument) || (subcommand, argument) == ("metadata", "metadata")
}
