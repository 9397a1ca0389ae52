//! How large the cluster may grow.

use clap::Args;

use metadata::{STATE_BYTES_MAX, STATE_BYTES_MIN};

use super::Bytes;

/// For those that may hold the order.
#[derive(Args, Debug)]
pub struct StateMemory {
    /// What topics, partitions and idempotent producers of the whole cluster may take in memory, about, where the order is
    /// decided, 64MiB to 3GiB; past it new ones are refused. To be the same for all that may hold the order [default: a
    /// quarter of the memory there is, 3GiB at the most]
    #[arg(long, value_name = "SIZE", value_parser = Bytes::within(STATE_BYTES_MIN, STATE_BYTES_MAX, "1GiB"))]
    pub state_memory: Option<Bytes>,
}
