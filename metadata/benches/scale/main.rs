//! Figures of the metadata at scale, not tests: `cargo bench --bench scale -- --help`.

mod cluster;
mod commits;
mod figures;
mod goals;
mod naive;
mod partitions;
mod stores;
mod times;
mod workload;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Said by cargo
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Commits a second against the number of agents that commit to the same partitions
    Commits(commits::Options),
    /// What many partitions cost: to make, to keep, to checkpoint, to take over, to commit to
    Partitions(partitions::Options),
    /// One of the goals that the metadata is held to: its settings, and how far it is met
    Goal(goals::Options),
    /// Offsets by time in a partition with 30 days of extents, and what an extent takes in the index
    Times(times::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Commits(options) => commits::run(options).await,
        Command::Partitions(options) => partitions::run(options).await,
        Command::Goal(options) => goals::run(options).await,
        Command::Times(options) => times::run(options).await,
    }
}
