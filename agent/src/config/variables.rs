//! Variables `PENSTOCK_<FLAG>`: which there are, which of them gave a value, and which are there that nobody reads.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory as _};
use metadata::Shown;

use super::alike::nearest;
use super::command::Cli;
use super::file;
use super::parse::is_typed;

const PREFIX: &str = "PENSTOCK_";

/// What tests and scripts of the repository read, often in the shell in which the binary is tried.
const OF_SCRIPTS: [&str; 7] = [
    "PENSTOCK_BIN",
    "PENSTOCK_FDB_CLUSTER_FILE",
    "PENSTOCK_KIT",
    "PENSTOCK_LEVEL_1",
    "PENSTOCK_LEVEL_2",
    "PENSTOCK_ROUNDS",
    "PENSTOCK_WRITE_GOLDEN",
];

/// The variable of an option, by its flag or its id.
pub(super) fn variable(option: &str) -> String {
    format!("{PREFIX}{}", option.replace('-', "_").to_uppercase())
}

/// Gives every option its variable.
pub(super) fn with_variables(command: Command) -> Command {
    command.mut_subcommands(|subcommand| {
        let name = subcommand.get_name().to_owned();
        subcommand.mut_args(|argument| {
            let id = argument.get_id().as_str();
            if is_typed(&name, id) {
                return argument;
            }
            let variable = variable(id);
            argument.env(variable).hide_env_values(true)
        })
    })
}

/// Flags whose values came from variables: nobody typed them, so who is told of one is told of its variable, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given(Vec<String>);

impl Given {
    pub(super) fn of(command: &Command, matches: &ArgMatches) -> Self {
        let Some((name, given)) = matches.subcommand() else {
            return Self::default();
        };
        let options = command.find_subcommand(name).into_iter();
        let options = options.flat_map(Command::get_arguments);
        let by_variable = |option: &&Arg| {
            let source = || given.value_source(option.get_id().as_str());
            option.get_env().is_some() && source() == Some(ValueSource::EnvVariable)
        };
        let flags = options.filter(by_variable).filter_map(Arg::get_long);
        Self(flags.map(str::to_owned).collect())
    }

    /// What is to follow a sentence that names some of these flags; nothing if it names none.
    #[must_use]
    pub fn told(&self, sentence: &str) -> String {
        let named = self.0.iter().filter(|flag| names(sentence, flag));
        let each: Vec<String> = named
            .map(|flag| format!("{} gives --{flag}", variable(flag)))
            .collect();
        match each.is_empty() {
            true => String::new(),
            false => format!(" ({})", each.join(", ")),
        }
    }
}

/// Whether that flag is in it, and not only one that begins so.
fn names(sentence: &str, flag: &str) -> bool {
    let written = format!("--{flag}");
    let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    let mut places = sentence.match_indices(&written);
    places.any(|(at, _)| !goes_on(&sentence[at + written.len()..]))
}

/// What to say of variables in the environment that look like ours and are not read. Environments are shared, so it may
/// be meant for somebody else.
#[must_use]
pub fn unread() -> Vec<String> {
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    unread_among(names)
}

fn unread_among(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let command = with_variables(Cli::command());
    let options = command.get_subcommands().flat_map(Command::get_arguments);
    let variables = options.filter_map(Arg::get_env).filter_map(OsStr::to_str);
    let known: BTreeSet<&str> = variables.collect();
    let ours = |name: &String| name.starts_with(PREFIX) && !is_of_kubernetes(name);
    let mut names: Vec<String> = names.into_iter().filter(ours).collect();
    let is_read = |name: &str| known.contains(name) || OF_SCRIPTS.contains(&name);
    names.retain(|name| !is_read(name));
    names.sort();
    let typed = file::typed(&command);
    let said = names.iter().map(|name| not_read(name, &known, &typed));
    said.collect()
}

/// Kubernetes gives each container variables that lead to all services, such as one that is named penstock.
fn is_of_kubernetes(name: &str) -> bool {
    name.ends_with("_PORT") || name.contains("_PORT_") || name.contains("_SERVICE_")
}

/// `typed`: flags that have none.
fn not_read(name: &str, known: &BTreeSet<&str>, typed: &[String]) -> String {
    let begins = format!("the variable {} is not read", Shown::name(name));
    if let Some(flag) = typed.iter().find(|flag| variable(flag) == name) {
        return format!("{begins}: --{flag} is for the command line alone");
    }
    // What all begin with would make them alike.
    let rest = |name: &str| name[PREFIX.len()..].to_owned();
    let rests: Vec<String> = known.iter().map(|name| rest(name)).collect();
    match nearest(&rest(name), rests.iter().map(String::as_str)) {
        Some(meant) => format!("{begins}: did you mean {PREFIX}{meant}?"),
        None => format!("{begins}: no option has that name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_nobody_reads_are_told_with_what_was_meant() {
        let said = |name: &str| unread_among([name.to_owned()]);
        for (name, part) in [
            (
                "PENSTOCK_NUM_PARTITION",
                "did you mean PENSTOCK_NUM_PARTITIONS?",
            ),
            ("PENSTOCK_BUCKTE", "did you mean PENSTOCK_BUCKET?"),
            ("PENSTOCK_FORCE", "--force is for the command line alone"),
            ("PENSTOCK_QQQQ", "no option has that name"),
        ] {
            let said = said(name);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].contains(name) && said[0].contains(part), "{said:?}");
        }
        for name in [
            "PENSTOCK_BUCKET",
            "PENSTOCK_METADATA",
            "PENSTOCK_CONFIG",
            "BUCKET",
            // Of services that are named penstock and penstock-metadata.
            "PENSTOCK_PORT",
            "PENSTOCK_SERVICE_HOST",
            "PENSTOCK_PORT_9092_TCP_ADDR",
            "PENSTOCK_METADATA_SERVICE_PORT",
            // Of the repository's scripts and tests.
            "PENSTOCK_KIT",
            "PENSTOCK_BIN",
            "PENSTOCK_FDB_CLUSTER_FILE",
        ] {
            assert_eq!(said(name), [""; 0], "{name}");
        }
    }

    #[test]
    fn who_is_told_of_a_flag_hears_of_its_variable_and_of_no_other() {
        let given = Given(vec!["peer-listen".to_owned(), "listen".to_owned()]);
        let told = |sentence| given.told(sentence);
        assert_eq!(
            told("--listen 1 is none"),
            " (PENSTOCK_LISTEN gives --listen)"
        );
        assert_eq!(
            told("give --peer-listen, too"),
            " (PENSTOCK_PEER_LISTEN gives --peer-listen)"
        );
        assert_eq!(told("--listener is none, and neither is --zone"), "");
    }
}
