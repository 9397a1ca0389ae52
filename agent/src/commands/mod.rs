//! One file per subcommand: from typed options to a running process. Called by `main.rs`.

mod agent;
mod dev;
mod doctor;
mod logging;
mod metadata;
mod panics;
mod run;
mod say;
mod state_memory;

pub use self::panics::say_panics;
pub use self::run::{run, say_error, say_refused};
