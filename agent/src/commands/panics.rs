//! The metadata's file may be damaged in ways on which redb panics. The product aborts then, so whoever operates it is told by
//! the panic's hook. Called by `main`.

use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::path::Path;
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

#[expect(clippy::print_stderr, reason = "this is what a person reads")]
fn say(path: &Path, panicked: &PanicHookInfo<'_>) {
    let at = panicked.location().map(|at| format!(", at {at}"));
    eprintln!(
        "penstock: the metadata in {} is damaged: start nothing with it, keep it, and bring back a copy (redb says \"{}\"{}; \
         more is in deploy/README.md, under \"Bucket and metadata belong together\")",
        path.display(),
        panicked.payload_as_str().unwrap_or("nothing"),
        at.unwrap_or_default()
    );
}
