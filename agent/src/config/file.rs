//! The config file: a flat TOML table whose keys are the long flags. Its values become the flags' defaults, so flags and
//! variables beat it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::alike::nearest;
use super::parse::{SAID_ONCE, is_typed};
use super::values::StoreParser;
use super::variables::variable;

/// Where the file is, and who says so.
#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    by_variable: bool,
}

impl ConfigFile {
    /// As sentences about it begin: who did not type it looks in vain for it among what was typed.
    fn shown(&self) -> String {
        match self.by_variable {
            true => format!(
                "{}, which {} names,",
                self.path.display(),
                variable("config")
            ),
            false => format!("{}:", self.path.display()),
        }
    }
}

/// The file that `--config` or its variable names.
pub(super) fn named(command: &Command, arguments: &[OsString]) -> Option<ConfigFile> {
    // Anything wrong with the other arguments is said by the real parse.
    let matches = command
        .clone()
        .ignore_errors(true)
        .try_get_matches_from(arguments)
        .ok()?;
    let (_, matches) = matches.subcommand()?;
    config_of(matches)
}

fn config_of(matches: &ArgMatches) -> Option<ConfigFile> {
    let path = matches.try_get_one::<PathBuf>("config").ok().flatten();
    path.map(|path| ConfigFile {
        path: path.clone(),
        by_variable: matches.value_source("config") == Some(ValueSource::EnvVariable),
    })
}

/// Makes the file's values defaults of every subcommand that has them.
pub(super) fn apply(command: Command, file: &ConfigFile) -> Result<Command, clap::Error> {
    let path = file.path.as_path();
    let values = read(&command, path).map_err(|said| {
        let said = format!("{} {said}\n", file.shown());
        clap::Error::raw(ErrorKind::InvalidValue, said)
    })?;
    Ok(command.mut_subcommands(|subcommand| {
        let name = subcommand.get_name().to_owned();
        subcommand.mut_args(|argument| {
            let key = argument.get_long();
            let key = key.filter(|_| !is_typed(&name, argument.get_id().as_str()));
            match key.and_then(|key| values.get(key)) {
                // This one says by itself where it stands.
                Some(value) if argument.get_id() == "store" => argument
                    .default_value(value.clone())
                    .value_parser(StoreParser::with(path)),
                Some(value) => argument.default_value(value.clone()).required(false),
                None => argument,
            }
        })
    }))
}

fn read(command: &Command, path: &Path) -> Result<HashMap<String, String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let table: toml::Table = text.parse().map_err(not_toml)?;
    let (known, typed) = (keys(command), typed(command));
    table
        .into_iter()
        .map(|(key, value)| {
            if !known.contains(&key) {
                return Err(match value.is_table() {
                    true => format!(
                        "`{key}` begins a table, and there are none here: write its keys without it, as in preset = \"fast\""
                    ),
                    false => unknown(&key, &known, &typed),
                });
            }
            let value = text_of(&value).ok_or_else(|| {
                format!(
                    "the value of `{key}` must be one value, not a list or table: a text in quotes, in which commas stand \
                     between several, a number, true or false"
                )
            })?;
            Ok((key, value))
        })
        .collect()
}

fn not_toml(error: toml::de::Error) -> String {
    // Whoever wrote one twice knows how keys are written.
    let hint = match error.message().contains("duplicate key") {
        true => "in which each key stands once",
        false => "in which text stands in quotes, as in preset = \"fast\"",
    };
    format!("is not TOML, {hint}: {error}")
}

fn keys(command: &Command) -> Vec<String> {
    let of = |subcommand: &'_ Command| {
        let name = subcommand.get_name().to_owned();
        let arguments = subcommand.get_arguments();
        let set = arguments.filter(|argument| !is_typed(&name, argument.get_id().as_str()));
        set.filter_map(|argument| argument.get_long().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let mut keys: Vec<String> = command
        .get_subcommands()
        .flat_map(of)
        .filter(|key| *key != "config")
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Flags that are no keys.
pub(super) fn typed(command: &Command) -> Vec<String> {
    let arguments = command.get_subcommands().flat_map(Command::get_arguments);
    let said_once = arguments.filter(|argument| SAID_ONCE.contains(&argument.get_id().as_str()));
    let said_once = said_once.filter_map(|argument| argument.get_long().map(str::to_owned));
    said_once.chain(["config".to_owned()]).collect()
}

fn unknown(key: &str, known: &[String], typed: &[String]) -> String {
    let all = known.iter().chain(typed).map(String::as_str);
    let rest = match nearest(&key.replace('_', "-"), all) {
        None => String::new(),
        Some(name) if typed.iter().any(|flag| flag == name) => {
            format!(": --{name} is for the command line alone; leave it out of the file")
        }
        Some(name) => format!("; did you mean `{name}`?"),
    };
    format!("unknown key `{key}`{rest}")
}

fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}
