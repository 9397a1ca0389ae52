//! How a panic is told. The product aborts at one, so whoever operates it reads what the hook says. The metadata's file may be
//! damaged in ways on which redb panics: then it says that. Called by `main`, and by `doctor`, whose report is not to end
//! with the check that panics.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::{Location, PanicHookInfo, set_hook};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;

use metadata::kv::Redb;

/// From now on a panic over damage ends the process with a sentence, and any other one as before.
#[expect(
    clippy::exit,
    reason = "redb's thread must not go on, and an abort would look like a fault of Penstock's"
)]
pub fn say_panics() {
    set_hook(Box::new(|panicked| match Redb::at_work_on() {
        Some(path) => {
            say_damage(&path, panicked);
            process::exit(1);
        }
        None => describe(panicked),
    }));
}

/// From now on any panic ends the process with what `say` says of it: of damage it gets the file on which redb was at work,
/// and redb's words. Any other one is described on standard error before.
#[expect(clippy::exit, reason = "as above, and a report says how it ends")]
pub(super) fn end_with(say: impl Fn(Option<(PathBuf, String)>) + Send + Sync + 'static) {
    set_hook(Box::new(move |panicked| {
        let damaged = Redb::at_work_on().map(|path| (path, words(panicked)));
        if damaged.is_none() {
            describe(panicked);
        }
        say(damaged);
        process::exit(1);
    }));
}

/// As the standard library does, but for where it was.
fn describe(panicked: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("<unnamed>");
    let at = panicked.location().map(place).unwrap_or_default();
    let said = panicked.payload_as_str().unwrap_or("nothing");
    let trace = Backtrace::capture();
    let trace = match trace.status() {
        BacktraceStatus::Captured => format!("stack backtrace:\n{trace}"),
        _ => "note: run with `RUST_BACKTRACE=1` to be shown how it came to that".to_owned(),
    };
    tell(&format!(
        "\nthread '{thread}' panicked at {at}:\n{said}\n{trace}\n"
    ));
}

fn say_damage(path: &Path, panicked: &PanicHookInfo<'_>) {
    tell(&format!(
        "penstock: the metadata in {} is damaged: start nothing with it, keep it, and bring back a copy ({}; more is in \
         deploy/README.md, under \"Bucket and metadata belong together\")\n",
        path.display(),
        words(panicked)
    ));
}

/// On standard error, past the lock that whoever panicked may hold. Where that is closed there is nobody to be told.
fn tell(text: &str) {
    let _ = rustix::io::write(io::stderr(), text.as_bytes());
}

/// What redb says, and where.
fn words(panicked: &PanicHookInfo<'_>) -> String {
    let said = panicked.payload_as_str().unwrap_or("nothing");
    let at = panicked.location().map(|at| format!(", at {}", place(at)));
    format!("redb says \"{said}\"{}", at.unwrap_or_default())
}

fn place(at: &Location<'_>) -> String {
    format!("{}:{}", from_its_crate_on(at.file()), at.line())
}

/// The file without the folders before its crate's, which are those of the machine that built this.
fn from_its_crate_on(file: &str) -> String {
    let parts: Vec<&str> = file.split(['/', '\\']).collect();
    let sources = parts.iter().rposition(|part| *part == "src");
    let root = sources.map(|sources| sources.saturating_sub(1));
    match root {
        // cargo keeps crates in `registry/src/INDEX/`: this one has its files elsewhere.
        Some(root) if parts[root] != "registry" => parts[root..].join("/"),
        _ => parts.last().copied().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_begins_with_its_crate() {
        let at = Location::caller();
        let own = format!("agent/src/commands/panics.rs:{}", at.line());
        assert_eq!(place(at), own);
        for (file, told) in [
            (
                "/home/me/.cargo/registry/src/index-1949cf8c6b5b557f/redb-4.6.0/src/tree_store/btree.rs",
                "redb-4.6.0/src/tree_store/btree.rs",
            ),
            (
                "/home/me/.cargo/git/checkouts/redb-1949cf8c6b5b557f/1234567/src/db.rs",
                "1234567/src/db.rs",
            ),
            (
                "/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/core/src/option.rs",
                "core/src/option.rs",
            ),
            ("/home/me/penstock/agent/src/lib.rs", "agent/src/lib.rs"),
            ("C:\\me\\redb-4.6.0\\src\\db.rs", "redb-4.6.0/src/db.rs"),
            ("src/main.rs", "src/main.rs"),
            (
                "/home/me/.cargo/registry/src/index-1949cf8c6b5b557f/flat-1.0.0/lib/flat.rs",
                "flat.rs",
            ),
            ("", ""),
        ] {
            assert_eq!(from_its_crate_on(file), told, "{file}");
        }
    }
}
