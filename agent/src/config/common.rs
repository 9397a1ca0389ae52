//! Options of every broker: of `penstock dev` and `penstock agent`.

use std::path::PathBuf;

use clap::Args;

use super::size::{GIB, MIB, TIB};
use super::words::{number, word};
use super::{Bytes, CompressionLevel, HostPort, Named, Preset, StateMemory};
use crate::zones::ClientZones;

/// Options of every broker.
#[derive(Args, Debug)]
pub struct Common {
    /// Host and port that clients are told to connect to; of several listeners, each as in external://HOST:PORT
    /// [default: the address listened on]
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    pub advertise: Vec<Named<HostPort>>,
    /// Broker id in protocol replies [default: 1, or made from the address clients are told if agents share an order]
    #[arg(long, value_name = "ID", value_parser = number("whole number", 0..=i32::MAX, 1))]
    pub node_id: Option<i32>,
    /// Availability zone of this agent
    #[arg(long, value_name = "ZONE", value_parser = word("eu-central-1a"))]
    pub zone: Option<String>,
    /// Zones of clients that do not name theirs in `client.id`, by the range their address is in or the listener they
    /// come by, as in 10.0.1.0/24=a,external=b
    #[arg(long, value_name = "RANGE|LISTENER=ZONE,...")]
    pub client_zones: Option<ClientZones>,
    /// How latency is traded against the cost of PUTs
    #[arg(long, value_name = "PRESET", value_enum, default_value_t)]
    pub preset: Preset,
    /// Raw size at which a segment is stored without waiting longer, 1GiB at the most
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = Bytes::within(1, GIB, "8MiB"))]
    pub segment_bytes: Bytes,
    /// Record batches that may wait for their ack, together; then clients are slowed down
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = Bytes::within(MIB, TIB, "256MiB"))]
    pub buffer_memory: Bytes,
    /// Record batches kept in memory for readers, at most; given back when idle
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = Bytes::within(1, TIB, "256MiB"))]
    pub cache_memory: Bytes,
    #[command(flatten)]
    pub state: StateMemory,
    /// Compression of stored blocks that clients did not compress: off, or a zstd level
    #[arg(long, value_name = "off|1..19", default_value = "1")]
    pub compression: CompressionLevel,
    /// Partitions of a topic whose creator does not say
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = number("whole number", 1..=i32::MAX, 12))]
    pub num_partitions: i32,
    /// Client connections at a time
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = number("whole number", 1..=u32::MAX, 10_000))]
    pub connections_max: u32,
    /// Client connections at a time from one address; a /64 of IPv6 counts as one [default: half of --connections-max]
    #[arg(long, value_name = "N", value_parser = number("whole number", 1..=u32::MAX, 5_000))]
    pub connections_max_per_address: Option<u32>,
    /// S3 endpoint, for everything that is not AWS [default: from the AWS configuration]
    #[arg(long, value_name = "URL", value_parser = word("http://127.0.0.1:9000"))]
    pub s3_endpoint: Option<String>,
    /// How long a stopping agent waits for its clients
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = number("number of seconds", 0..=86_400_u64, 30))]
    pub shutdown_grace: u64,
    /// TOML file whose keys are the long flags
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Log filter, as in `info` or `penstock=debug`
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = word("info"))]
    pub log: String,
}
