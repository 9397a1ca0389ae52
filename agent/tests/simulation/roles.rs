//! What a process is: an agent with the sequencer inside, or one of a fleet, where agents reach whoever holds the order by
//! the product's own RPC. Each runs what `server/` runs behind its sockets.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metadata::rpc::{ConnectOptions, Server, connect};
use metadata::{Candidate, Metadata, Options, Status};
use object_store::path::Path;
use parking_lot::Mutex;
use penstock::clock::Clock;
use penstock::config::{CompressionLevel, StoreUrl};
use penstock::context::AutoCreate;
use penstock::server::{Outside, Rooms, Sequencing, Settings};
use penstock::storage::{Store, StoreOptions};
use penstock::tasks::Tasks;
use penstock::zones::ClientZones;
use tokio::sync::watch;

use crate::link::Link;
use crate::net::Net;
use crate::outlet::Outlet;
use crate::world::Dice;

const PORT: u16 = 9092;
/// As a real candidate's.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(10);

/// What a process is, and which of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// An agent with the sequencer inside, which takes over from whoever was before it.
    Alone,
    /// An agent of a fleet.
    Agent(u32),
    /// One that may hold the order, and nothing else.
    Candidate(u32),
    /// An agent that may hold the order.
    Both(u32),
}

impl Role {
    /// Of its machine.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Alone => "alone".to_owned(),
            Self::Agent(number) | Self::Both(number) => format!("agent-{number}"),
            Self::Candidate(number) => format!("metadata-{number}"),
        }
    }

    pub(crate) fn serves_clients(self) -> bool {
        !matches!(self, Self::Candidate(_))
    }

    pub(crate) fn may_hold_the_order(self) -> bool {
        !matches!(self, Self::Agent(_))
    }

    fn number(self) -> u32 {
        match self {
            Self::Alone => 1,
            Self::Agent(number) | Self::Candidate(number) | Self::Both(number) => number,
        }
    }
}

/// What a process' main task needs.
pub(crate) struct Main {
    pub(crate) id: u32,
    pub(crate) role: Role,
    pub(crate) link: Link,
    pub(crate) options: Options,
    pub(crate) outlet: Outlet,
    pub(crate) net: Net,
    pub(crate) metadata: Vec<String>,
    pub(crate) frozen: Arc<AtomicBool>,
    pub(crate) dice: Dice,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) tasks: Tasks,
    pub(crate) rooms: Arc<Mutex<Option<Arc<Rooms>>>>,
    pub(crate) standing: Arc<OnceLock<Status>>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Main {
    /// Until the process is told to stop, or cannot go on; why.
    pub(crate) async fn run(mut self) -> String {
        let metadata = match self.role {
            Role::Candidate(_) => {
                self.stand();
                return self.candidate().await;
            }
            Role::Alone => {
                let kv = Arc::new(self.link.clone());
                let (metadata, sequencer) = match metadata::start(kv, self.options.clone()).await {
                    Ok(started) => started,
                    Err(error) => return format!("cannot start: {error}"),
                };
                self.tasks
                    .spawn("sequencer", async move { Ok(sequencer.run().await?) });
                metadata
            }
            Role::Agent(_) => self.reach(),
            Role::Both(_) => {
                self.stand();
                self.reach()
            }
        };
        self.agent(metadata).await
    }

    /// As `server/peers` does behind a listener.
    fn stand(&self) {
        let name = self.role.name();
        let incoming = self.net.listen(&name, self.id, Arc::clone(&self.frozen));
        let candidate = Candidate::new(
            Arc::new(self.link.clone()),
            self.options.clone(),
            name.clone(),
            self.net.probe(&name),
        );
        let server = Server::new(incoming, candidate.status());
        self.standing.get_or_init(|| candidate.status());
        let mut stop = self.tasks.stopping();
        self.tasks.spawn("metadata", async move {
            Ok(Box::pin(candidate.run(async move { stop.requested().await })).await?)
        });
        self.tasks
            .spawn("metadata links", sessions(server, self.tasks.clone()));
        let (net, id, mut stop) = (self.net.clone(), self.id, self.tasks.stopping());
        self.tasks.spawn("peers", async move {
            stop.requested().await;
            net.close(id);
            Ok(())
        });
    }

    async fn candidate(&mut self) -> String {
        let failed = tokio::select! {
            biased;
            failed = self.tasks.failed() => Some(failed),
            () = told(&mut self.stop) => None,
        };
        if let Some(failed) = failed {
            return failed;
        }
        self.tasks.stop();
        self.tasks.wait(CLOSE_TIME_MAX).await;
        "stopped".to_owned()
    }

    /// A handle on the order elsewhere.
    fn reach(&self) -> Metadata {
        let random = self.dice.random();
        let (metadata, client) = connect(ConnectOptions {
            addresses: self.metadata.clone(),
            dial: self.net.dial(&self.role.name()),
            agent: Some(self.node()),
            random: Arc::new(move || random.u64()),
            witness: Some(self.outlet.witness()),
        });
        self.tasks
            .spawn("metadata client", async move { Ok(client.run().await?) });
        metadata
    }

    fn node(&self) -> metadata::Agent {
        let id = i32::try_from(self.role.number()).unwrap_or(1);
        metadata::Agent::new(id, self.role.name(), PORT)
    }

    async fn agent(mut self, metadata: Metadata) -> String {
        let node = self.node();
        let objects = Arc::new(self.outlet.clone());
        let outside = Outside {
            metadata: metadata.clone(),
            store: Store::with_random(objects, Path::default(), false, self.dice.random()),
            clock: self.clock,
            random: self.dice.random(),
            tasks: self.tasks,
        };
        let rooms = Arc::new(Rooms::start(&self.settings, node, outside));
        let opened = async {
            // As the acceptor does.
            metadata.joined().await;
            *self.rooms.lock() = Some(Arc::clone(&rooms));
            std::future::pending::<()>().await;
        };
        let failed = tokio::select! {
            biased;
            failed = rooms.failed() => Some(failed),
            () = told(&mut self.stop) => None,
            () = opened => None,
        };
        self.rooms.lock().take();
        match failed {
            Some(failed) => failed,
            None => {
                rooms.drain(self.settings.shutdown_grace).await;
                "drained".to_owned()
            }
        }
    }
}

/// Those of agents that come, each a task of the process.
async fn sessions(mut server: Server, tasks: Tasks) -> anyhow::Result<()> {
    while let Some(session) = server.next().await {
        tasks.spawn("session", async move {
            session.await;
            Ok(())
        });
    }
    Ok(())
}

/// Until it is true.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Of which simulation needs few; sizes are small, so that every bound is met.
pub(crate) fn settings(dice: &Dice) -> Settings {
    Settings {
        listen: Vec::new(),
        http: None,
        node_id: Some(1),
        zone: None,
        client_zones: ClientZones::default(),
        roles: metadata::Roles::ALL,
        bucket: "simulated".to_owned(),
        bucket_options: StoreOptions::default(),
        order: Sequencing::InProcess {
            store: StoreUrl::Memory,
            peer: None,
            state_memory: metadata::STATE_BYTES_MAX,
        },
        peer_tls: None,
        data: None,
        auto_create: AutoCreate::Disabled,
        num_partitions: 1,
        segment_bytes: 500 + dice.index(20_000),
        age_max: dice.millis(5, 250),
        puts_per_second: dice.between(2, 40) as f64,
        buffer_memory: 1 << 20,
        cache_memory: dice.index(3) * 8 * 1024,
        compression: match dice.chance(500) {
            true => CompressionLevel::Zstd(1),
            false => CompressionLevel::Off,
        },
        connections_max: 1000,
        connections_max_per_address: 1000,
        shutdown_grace: Duration::from_secs(5),
    }
}
