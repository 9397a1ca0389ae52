//! From the command line, the environment and the config file to one [`Command`].

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _};

use super::command::{Cli, Command};
use super::{addressee, file};

/// Reads the command line, the environment and the config file.
///
/// # Errors
/// With what to tell the user, and the exit code: also for `--help` and `--version`.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let command = with_variables(Cli::command());
    let command = match file::named(&command, &arguments) {
        Some(path) => file::apply(command, &path)?,
        None => command,
    };
    let matches = command.try_get_matches_from(arguments)?;
    let mut command = Cli::from_arg_matches(&matches)?.command;
    addressee::settle(&mut command, &matches)?;
    Ok(command)
}

/// On the command line alone: left in a file or in the environment, they would be said again at each start.
pub(super) const SAID_ONCE: &[&str] = &["say", "records", "accept_older_store", "force"];

/// Whether it has neither variable nor key. So it is with whom `penstock metadata` says something to: that variable is the
/// one of agents beside it.
pub(super) fn is_typed(subcommand: &str, argument: &str) -> bool {
    SAID_ONCE.contains(&argument) || (subcommand, argument) == ("metadata", "metadata")
}

/// Gives every option its variable.
pub(super) fn with_variables(command: clap::Command) -> clap::Command {
    command.mut_subcommands(|subcommand| {
        let name = subcommand.get_name().to_owned();
        subcommand.mut_args(|argument| {
            if is_typed(&name, argument.get_id().as_str()) {
                return argument;
            }
            let variable = format!("PENSTOCK_{}", argument.get_id().as_str().to_uppercase());
            argument.env(variable).hide_env_values(true)
        })
    })
}
