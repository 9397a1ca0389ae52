//! Binds, starts the rooms, accepts under a limit, and stops everything in order. Called by `commands/`.

mod accept;
mod gate;
mod metadata_role;
mod metadata_store;
mod open_files;
mod operate;
mod peers;
mod prompt;
mod rooms;
mod shares;
mod start;
mod unanswered;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use metadata::Roles;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use self::metadata_role::{MetadataSettings, serve_metadata};
pub(crate) use self::metadata_store::says_disk_full;
pub use self::operate::{IfReadable, Operated, Operation, operate};
pub use self::rooms::{Outside, Rooms};
pub use self::start::Server;
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

/// What asks a process to end. Caught from before anybody is served, so that none is cut off.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Server {
    /// Serves until a signal or a failed task, then drains: no new sockets, no new requests, everything that was
    /// accepted is stored, committed and answered.
    ///
    /// # Errors
    /// When a task failed: the process must not go on without it, or did not end well.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let failure = tokio::select! {
            () = self.signals.received() => None,
            failure = self.rooms.failed() => Some(failure),
        };
        match failure {
            Some(failure) => Err(anyhow::anyhow!("stopped because {failure}")),
            None => {
                tracing::info!("draining");
                self.rooms.drain(self.shutdown_grace).await;
                if let Some(failure) = self.rooms.failure() {
                    anyhow::bail!("could not stop in order: {failure}");
                }
                tracing::info!("stopped");
                Ok(())
            }
        }
    }
}
