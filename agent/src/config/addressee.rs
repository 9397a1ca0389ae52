//! From what `penstock metadata` serves, or to whom it says something. Checked here and not by clap: values of the config
//! file are defaults, which do not count as given there.

use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;

use super::{Command, Metadata};

/// Whether there is one, and only one.
pub(super) fn check(command: &Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let (Command::Metadata(metadata), Some((_, given))) = (command, matches.subcommand()) else {
        return Ok(());
    };
    // A store that stands in the file or in a variable is the one that a process beside it serves from.
    let typed = |argument| given.value_source(argument) == Some(ValueSource::CommandLine);
    if typed("store") && typed("metadata") {
        let said = "give --store or --metadata, not both\n";
        return Err(clap::Error::raw(ErrorKind::ArgumentConflict, said));
    }
    let missing = missing(metadata);
    missing.map_or(Ok(()), |said| {
        let kind = ErrorKind::MissingRequiredArgument;
        Err(clap::Error::raw(kind, format!("{said}\n")))
    })
}

fn missing(given: &Metadata) -> Option<&'static str> {
    let (store, says) = (given.store.is_some(), given.say.is_some());
    match (says, given.accept_older_store) {
        (true, _) if !store && given.metadata.is_empty() => Some(
            "give --metadata HOST:PORT,... of the processes that serve from the metadata store, or --store URL (and --bucket \
             URL) if none does",
        ),
        (false, true) if !store => {
            Some("give --store URL, and --bucket URL of the agents, which remembers that store")
        }
        (false, false) if !store && given.listen.is_none() => Some(
            "give --store URL, where the order of offsets is kept, and --listen ADDR, where agents connect",
        ),
        (false, false) if !store => Some("give --store URL, where the order of offsets is kept"),
        (false, false) if given.listen.is_none() => {
            Some("give --listen ADDR, where agents connect")
        }
        _ => None,
    }
}
