//! The subcommands, and what the binary says of itself.

use clap::{Parser, Subcommand};

use super::{Agent, Dev, Doctor, Metadata};

/// A Kafka-protocol broker without disks.
///
/// Speaks to standard Kafka clients, keeps records in object storage and their order in a metadata store.
#[derive(Debug, Parser)]
#[command(
    name = "penstock",
    version = version(),
    propagate_version = true,
    max_term_width = 110
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Of which version this is, and which versions' stores and logs it can read.
fn version() -> String {
    let (version, newest) = (env!("CARGO_PKG_VERSION"), metadata::WRITER_LEVEL);
    match newest {
        1 => format!("{version} (metadata of feature level 1)"),
        _ => format!("{version} (metadata of feature levels 1 to {newest})"),
    }
}

/// What to run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole broker in this process: agent, metadata and a folder as bucket, with nothing else installed
    Dev(Dev),
    /// Run one agent over a bucket and a metadata store
    Agent(Agent),
    /// Hold the order of offsets for agents elsewhere, or wait to take over from the process that does
    Metadata(Metadata),
    /// Check a bucket and a metadata store, and say what is wrong and what to do
    Doctor(Doctor),
}
