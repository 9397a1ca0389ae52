//! From what `penstock metadata` serves, or to whom it says something, and where an agent finds the order. Checked here and not
//! by clap: values of the config file are defaults, which do not count as given there.

use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;

use super::{Agent, Command, Metadata, Say};

/// Sees that there is one, and only one: what is typed beats a variable, and that the config file.
pub(super) fn settle(command: &mut Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some((_, given)) = matches.subcommand() else {
        return Ok(());
    };
    match command {
        Command::Metadata(metadata) => of_metadata(metadata, given),
        Command::Agent(agent) => of_agent(agent, given),
        Command::Dev(_) | Command::Doctor(_) => Ok(()),
    }
}

fn of_metadata(metadata: &Metadata, given: &ArgMatches) -> Result<(), clap::Error> {
    // A store that stands in the file or in a variable is the one that a process beside it serves from.
    let typed = |argument| given.value_source(argument) == Some(ValueSource::CommandLine);
    if typed("store") && typed("metadata") {
        return Err(conflict("give --store or --metadata, not both"));
    }
    if metadata.force && metadata.say != Some(Say::MarkLost) {
        return Err(conflict("--force is for mark-lost alone: leave it out"));
    }
    let missing = missing(metadata);
    missing.map_or(Ok(()), |said| {
        let kind = ErrorKind::MissingRequiredArgument;
        Err(clap::Error::raw(kind, format!("{said}\n")))
    })
}

fn of_agent(agent: &mut Agent, given: &ArgMatches) -> Result<(), clap::Error> {
    if agent.store.is_none() || agent.metadata.is_empty() {
        return Ok(());
    }
    let (store, metadata) = (rank(given, "store"), rank(given, "metadata"));
    if store > metadata {
        agent.metadata.clear();
        return Ok(());
    }
    if store == metadata {
        return Err(conflict(match metadata {
            Rank::Typed => "give --store or --metadata, not both",
            Rank::Variable => {
                "PENSTOCK_STORE and PENSTOCK_METADATA are both set: leave one of them out, or type --store or --metadata, \
                 which then counts"
            }
            Rank::File => {
                "the config file has both store and metadata: leave one of them out, or type --store or --metadata, which \
                 then counts"
            }
        }));
    }
    agent.store = None;
    // They were meant for that store.
    if rank(given, "peer_listen") < metadata {
        agent.peer_listen = None;
    }
    if rank(given, "peer_advertise") < metadata {
        agent.peer_advertise = None;
    }
    Ok(())
}

/// Where a value came from; a later one beats those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    File,
    Variable,
    Typed,
}

fn rank(given: &ArgMatches, argument: &str) -> Rank {
    match given.value_source(argument) {
        Some(ValueSource::CommandLine) => Rank::Typed,
        Some(ValueSource::EnvVariable) => Rank::Variable,
        _ => Rank::File,
    }
}

fn conflict(said: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::ArgumentConflict, format!("{said}\n"))
}

fn missing(given: &Metadata) -> Option<&'static str> {
    let (store, says) = (given.store.is_some(), given.say.is_some());
    match (says, given.accept_older_store) {
        (true, _) if !store && given.metadata.is_empty() => Some(
            "give --metadata HOST:PORT,... of the processes that serve from the metadata store, or --store URL (and --bucket \
             URL) if none does",
        ),
        (true, _) if given.say == Some(Say::MarkLost) && given.bucket.is_none() && !given.force => {
            Some(
                "give --bucket URL of the agents, where it is looked whether these records can be read, or --force to give \
                 them up in any case",
            )
        }
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
