//! How large the cluster may grow.

use clap::Args;

use super::Bytes;

/// For those that may hold the order.
#[derive(Args, Debug)]
pub struct StateMemory {
    /// What topics, partitions and idempotent producers of the whole cluster may take in memory, about, where the order is
    /// decided, 64MiB to 3GiB; past it new ones are refused. To be the same for all that may hold the order [default: a
    /// quarter of the memory there is, 3GiB at the most]
    #[arg(long, value_name = "SIZE", value_parser = Bytes::of_state)]
    pub state_memory: Option<Bytes>,
}
