//! Bounded load over real sockets against any Kafka-protocol broker, with what it cost: latencies, and the object-store
//! requests that the broker counted meanwhile. One JSON line per run.

mod abuse;
mod client;
mod latency;
mod partitions;
mod produce;
mod report;
mod scrape;
mod tail;
mod unpack;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "loadtest", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Produce at a fixed rate, open loop, spread over partitions
    Produce(produce::Options),
    /// Produce one record at a time and measure when a waiting consumer, at the same broker or another, sees it, counted
    /// from its ack
    Tail(tail::Options),
    /// Make many topics with many partitions, ask for them, and produce to partitions at random
    Partitions(partitions::Options),
    /// Attack a broker that is started for it with little memory, and measure a good client beside it: one JSON line for each
    /// case
    #[command(after_help = abuse::help())]
    Abuse(abuse::Options),
    /// Print what it costs to look into batches, in CPU seconds for a GiB of records
    Unpack(unpack::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Produce(options) => produce::run(options).await,
        Command::Tail(options) => tail::run(options).await,
        Command::Partitions(options) => partitions::run(options).await,
        Command::Abuse(options) => abuse::run(options).await,
        Command::Unpack(options) => unpack::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::failure(&error);
            ExitCode::FAILURE
        }
    }
}
