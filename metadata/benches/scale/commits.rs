//! Commits a second against the number of agents that commit to the same partitions, through the sequencer and, beside it,
//! with a counter per partition in optimistic transactions on the same store.

use std::time::Duration;

use clap::Args;

use crate::cluster::{self, Travel};
use crate::figures::{self, Figures};
use crate::naive;
use crate::stores::{self, Store};
use crate::workload::Shape;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Numbers of agents
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64,300")]
    agents: Vec<u32>,
    /// Blocks of a commit, one record batch of ten records in each
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=1000))]
    entries: i32,
    /// Partitions that all agents write to
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i32).range(1..=100_000))]
    partitions: i32,
    /// Seconds to measure each row for, after one to warm up
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Commits a second of each agent in the rows with a pace
    #[arg(long, default_value_t = 4)]
    pace: u32,
    /// Where the metadata is kept
    #[arg(long, value_delimiter = ',', default_value = "memory,redb,postgres")]
    stores: Vec<Store>,
    /// Which ways, of those below
    #[arg(long, value_delimiter = ',', default_value = "links,grpc,paced,naive")]
    ways: Vec<Way>,
}

/// How agents commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Way {
    /// To the sequencer over links in memory, one commit after the other
    Links,
    /// The same over gRPC on sockets
    Grpc,
    /// Over links, each agent at its pace
    Paced,
    /// A counter per partition in the store, read, added to and written in optimistic transactions, tried again on conflict
    Naive,
}

impl Options {
    fn shape(&self, pace: Option<u32>) -> Shape {
        Shape {
            entries: self.entries,
            partitions: self.partitions,
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(self.seconds),
            pace,
        }
    }

    async fn measure(&self, store: Store, way: Way, agents: u32) -> anyhow::Result<Figures> {
        let opened = stores::open(store).await?;
        match way {
            Way::Links => cluster::run(&opened, agents, &self.shape(None), Travel::Links).await,
            Way::Grpc => cluster::run(&opened, agents, &self.shape(None), Travel::Grpc).await,
            Way::Paced => {
                let shape = self.shape(Some(self.pace));
                cluster::run(&opened, agents, &shape, Travel::Links).await
            }
            Way::Naive => naive::run(&opened, agents, &self.shape(None)).await,
        }
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let heading = format!(
        "{} entries a commit on the same {} partitions, idempotent producers; paced: {} commits/s an agent; times in ms; \
         x: multiples of the row's median store commit",
        options.entries, options.partitions, options.pace,
    );
    figures::heading(&heading);
    for store in &options.stores {
        for way in &options.ways {
            for agents in &options.agents {
                let figures = options.measure(*store, *way, *agents).await?;
                figures.print(*store, *way, *agents);
            }
        }
    }
    Ok(())
}
