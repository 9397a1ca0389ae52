//! Where a value stands that cannot be used: clap tells of each as if its flag had been typed.

use std::ffi::OsString;
use std::path::Path;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;

use super::command::Cli;
use super::variables::variable;

/// An option as errors show it, `--preset <PRESET>`, with where its value came from if it was not typed. `file`: the config
/// file, if there is one.
pub(super) fn shown(option: &str, source: ValueSource, file: Option<&Path>) -> String {
    let flag = flag(option);
    match (source, file) {
        (ValueSource::EnvVariable, _) => format!("{} ({option})", variable(flag)),
        // Our own defaults are good.
        (ValueSource::DefaultValue, Some(file)) => {
            format!("{flag} in the config file {} ({option})", file.display())
        }
        _ => option.to_owned(),
    }
}

fn flag(option: &str) -> &str {
    let flag = option.trim_start_matches("--");
    flag.split([' ', '=', '[']).next().unwrap_or_default()
}

/// Names the variable or the key where the value stands that an error is about.
pub(super) fn named(
    mut error: clap::Error,
    arguments: &[OsString],
    file: Option<&Path>,
) -> clap::Error {
    let wrong_value = [ErrorKind::InvalidValue, ErrorKind::ValueValidation];
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    if !wrong_value.contains(&error.kind()) || was_typed(&error, arguments) {
        return error;
    }
    let source = match std::env::var_os(variable(flag(option))) {
        Some(_) => ValueSource::EnvVariable,
        None => ValueSource::DefaultValue,
    };
    let shown = ContextValue::String(shown(option, source, file));
    error.insert(ContextKind::InvalidArg, shown);
    error
}

/// What is typed is read first, so it is refused in the same way where there are neither variables nor a file.
fn was_typed(error: &clap::Error, arguments: &[OsString]) -> bool {
    let alone = Cli::command().try_get_matches_from(arguments);
    alone.is_err_and(|alone| alone.kind() == error.kind())
}
