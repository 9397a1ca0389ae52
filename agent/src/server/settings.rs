//! What an agent needs to know before it starts. Made by `commands`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use metadata::Roles;

use crate::config::{CompressionLevel, Listen, PeerTls, StoreUrl};
use crate::context::AutoCreate;
use crate::storage::StoreOptions;
use crate::zones::ClientZones;

/// Everything a server needs to know, with nothing left to default.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: Vec<Listen>,
    pub http: Option<SocketAddr>,
    pub node_id: Option<i32>,
    pub zone: Option<String>,
    pub client_zones: ClientZones,
    pub roles: Roles,
    pub bucket: String,
    pub bucket_options: StoreOptions,
    pub order: Sequencing,
    pub peer_tls: Option<PeerTls>,
    /// Made if it is not there, once everything else is known to be right.
    pub data: Option<PathBuf>,
    pub auto_create: AutoCreate,
    pub num_partitions: i32,
    pub segment_bytes: usize,
    pub age_max: Duration,
    /// Applies where PUTs cost something.
    pub puts_per_second: f64,
    pub buffer_memory: usize,
    pub cache_memory: usize,
    pub compression: CompressionLevel,
    pub connections_max: usize,
    /// Of one origin.
    pub connections_max_per_address: usize,
    pub shutdown_grace: Duration,
}

/// Where offsets come from.
#[derive(Clone, Debug)]
pub enum Sequencing {
    /// Out of a store that this process opens: for itself alone, or for other agents as well.
    InProcess {
        store: StoreUrl,
        peer: Option<PeerListen>,
        /// Bytes that the cluster's state may take in memory, about.
        state_memory: u64,
    },
    /// From whoever holds it; one of these addresses is or knows that one.
    Remote { addresses: Vec<String> },
}

/// A port for peers.
#[derive(Clone, Debug)]
pub struct PeerListen {
    pub listen: SocketAddr,
    pub advertise: Option<String>,
}
