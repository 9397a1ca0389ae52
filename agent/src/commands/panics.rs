//! The metadata's file may be damaged in ways on which redb panics. The product aborts then, so whoever operates it is told by
//! the panic's hook. Called by `main`, and by `doctor`, whose report is not to end with the check that panics.

use std::panic::{Location, PanicHookInfo, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::process;

use metadata::kv::Redb;

/// From now on such a panic ends the process with a sentence, and any other one as before.
#[expect(
    clippy::exit,
    reason = "redb's thread must not go on, and an abort would look like a fault of Penstock's"
)]
pub fn say_damage() {
    let usual = take_hook();
    set_hook(Box::new(move |panicked| match Redb::at_work_on() {
        Some(path) => {
            say(&path, panicked);
            process::exit(1);
        }
        None => usual(panicked),
    }));
}

/// From now on any panic ends the process with what `say` says of it: of damage it gets the file on which redb was at work,
/// and redb's words. Any other one is described on standard error before.
#[expect(clippy::exit, reason = "as above, and a report says how it ends")]
pub(super) fn end_with(say: impl Fn(Option<(PathBuf, String)>) + Send + Sync + 'static) {
    let usual = take_hook();
    set_hook(Box::new(move |panicked| {
        let damaged = Redb::at_work_on().map(|path| (path, words(panicked)));
        if damaged.is_none() {
            usual(panicked);
        }
        say(damaged);
        process::exit(1);
    }));
}

#[expect(clippy::print_stderr, reason = "this is what a person reads")]
fn say(path: &Path, panicked: &PanicHookInfo<'_>) {
    eprintln!(
        "penstock: the metadata in {} is damaged: start nothing with it, keep it, and bring back a copy ({}; more is in \
         deploy/README.md, under \"Bucket and metadata belong together\")",
        path.display(),
        words(panicked)
    );
}

/// What redb says, and where.
fn words(panicked: &PanicHookInfo<'_>) -> String {
    let said = panicked.payload_as_str().unwrap_or("nothing");
    let at = panicked.location().map(|at| format!(", at {}", place(at)));
    format!("redb says \"{said}\"{}", at.unwrap_or_default())
}

/// Without the folder, which is one of the machine that built this.
fn place(at: &Location<'_>) -> String {
    let file = Path::new(at.file()).file_name().unwrap_or_default();
    format!("{}:{}", file.display(), at.line())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_files_name_and_a_line() {
        let at = Location::caller();
        assert!(at.file().contains(['/', '\\']), "{at}");
        assert_eq!(place(at), format!("panics.rs:{}", at.line()));
    }
}
