//! Brings an agent up: first everything that can be refused without leaving a trace, then the rooms.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use metadata::{Agent, Listener};

use super::peers::CONNECTIONS_MAX;
use super::ports::{self, Port};
use super::rooms::{Outside, Rooms};
use super::settings::{Sequencing, Settings};
use super::signals::Signals;
use super::{accept, metadata_store, open_files};
use crate::clock::Clock;
use crate::config::Listen;
use crate::http;
use crate::identity::{Identity, LookAgain, Names};
use crate::metrics;
use crate::own_thread::OwnThread;
use crate::random::Random;
use crate::storage::Store;
use crate::tasks::Tasks;

/// A running agent.
#[derive(Debug)]
pub struct Server {
    pub(super) rooms: Rooms,
    pub(super) shutdown_grace: Duration,
    pub(super) signals: Signals,
    /// Of bucket and metadata.
    pub(super) identity: Identity,
    pub(super) listen: Vec<Listen>,
    pub(super) http: Option<SocketAddr>,
}

impl Server {
    /// Takes its ports, opens bucket and store, replays, and only then hears clients.
    ///
    /// # Errors
    /// With a sentence for the operator. Nothing was written then, unless it is the store itself that failed, or is not
    /// that of the bucket.
    pub async fn start(mut settings: Settings) -> anyhow::Result<Self> {
        let prometheus = metrics::install()?;
        let has_peers = matches!(settings.order, Sequencing::InProcess { peer: Some(_), .. });
        let of_peers = if has_peers { CONNECTIONS_MAX } else { 0 };
        let allowed = open_files::allow(settings.connections_max + of_peers);
        let of_clients = allowed.saturating_sub(of_peers).max(allowed / 2);
        settings.connections_max = settings.connections_max.min(of_clients);
        ports::check_apart(&addresses(&settings))?;
        let (listen, ports) = ports::take_all(&settings.listen)?;
        let http = settings.http;
        let http = http
            .map(|address| Port::take(address, "http"))
            .transpose()?;
        let node = node(&settings, &listen);
        let peers = metadata_store::Peers::prepare(&settings)?;
        let store = Store::open(&settings.bucket, &settings.bucket_options).await?;
        store.check().await?;
        if let Some(data) = &settings.data {
            make_folder(data)?;
        }
        let tasks = Tasks::new();
        let names = names(&settings);
        let metadata_store::Opened {
            metadata,
            candidate,
            calls,
        } = metadata_store::open(&settings.order, peers, node.clone(), &store, &names, &tasks)
            .await?;
        let identity = Identity::new(store.clone(), metadata.clone(), names, Random::Real);
        join(&settings.order, &identity, &tasks).await?;
        let opened = ports.into_iter().map(Port::open);
        let listeners = opened.collect::<anyhow::Result<Vec<_>>>()?;
        let http_listener = http.map(Port::open).transpose()?;
        let outside = Outside {
            metadata,
            store: store.clone(),
            clock: Clock::Real,
            random: Random::Real,
            tasks: tasks.clone(),
        };
        let rooms = Rooms::start(&settings, node, outside);
        rooms.jobs.start(LookAgain::at(identity.clone()));
        let signals = Signals::catch()?;
        let figures = OwnThread::start("figures")?;
        tasks.spawn("metrics upkeep", {
            let (prometheus, figures) = (prometheus.clone(), figures.clone());
            let stop = tasks.stopping();
            async move {
                metrics::upkeep(prometheus, figures, stop).await;
                Ok(())
            }
        });
        let http = http_listener
            .as_ref()
            .map(tokio::net::TcpListener::local_addr)
            .transpose()?;
        if let Some(listener) = http_listener {
            let pages = http::Pages::Agent(Box::new(http::AgentPages {
                prometheus,
                context: Arc::clone(&rooms.context),
                admission: rooms.door.admission.clone(),
                store,
                identity: identity.clone(),
                front: rooms.door.front.clone(),
                draining: rooms.door.connections.stopping(),
                candidate,
                calls,
            }));
            tasks.spawn(
                "http",
                http::serve(listener, pages, figures, Tasks::new(), tasks.stopping()),
            );
        }
        let connections = Arc::default();
        for (listener, at) in listeners.into_iter().zip(&listen) {
            let acceptor = accept::Acceptor {
                listener,
                name: at.name.clone(),
                connections: Arc::clone(&connections),
                identity: identity.clone(),
                door: rooms.door.clone(),
            };
            let stop = rooms.door.connections.stopping();
            tasks.spawn("acceptor", acceptor.run(stop));
        }
        Ok(Self {
            rooms,
            shutdown_grace: settings.shutdown_grace,
            signals,
            identity,
            listen,
            http,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn listen(&self) -> &[Listen] {
        &self.listen
    }

    /// Where metrics and health are served.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }
}

/// All that this process listens on, each with its flag.
fn addresses(settings: &Settings) -> Vec<(SocketAddr, &'static str)> {
    let clients = settings.listen.iter().map(|each| (each.address, "listen"));
    let http = settings.http.map(|address| (address, "http"));
    let peers = match &settings.order {
        Sequencing::InProcess {
            peer: Some(peer), ..
        } => Some((peer.listen, "peer-listen")),
        _ => None,
    };
    clients.chain(http).chain(peers).collect()
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).with_context(|| {
        format!(
            "cannot make the folder {}; choose another with --data",
            path.display()
        )
    })
}

/// What bucket and metadata are called where something is wrong with them.
fn names(settings: &Settings) -> Names {
    let (bucket, options) = (Some(settings.bucket.clone()), &settings.bucket_options);
    match &settings.order {
        Sequencing::InProcess { store, .. } => Names::of_store(store.to_string(), bucket, options),
        Sequencing::Remote { addresses } => Names::of_processes(addresses, bucket, options),
    }
}

/// Sees that bucket and metadata belong together before anybody is served: at once where the metadata is of this process
/// alone, and else when it is reached.
async fn join(order: &Sequencing, identity: &Identity, tasks: &Tasks) -> anyhow::Result<()> {
    if matches!(order, Sequencing::InProcess { peer: None, .. }) {
        tokio::select! {
            settled = identity.settle() => settled?,
            // The sequencer looks at the bucket as well, and without it nothing will ever be settled.
            failure = tasks.failed() => anyhow::bail!("stopped because {failure}"),
        }
        return Ok(());
    }
    let (identity, mut stop) = (identity.clone(), tasks.stopping());
    tasks.spawn("bucket and metadata", async move {
        tokio::select! {
            settled = identity.settle() => Ok(settled?),
            () = stop.requested() => Ok(()),
        }
    });
    Ok(())
}

/// Who this agent is to clients.
fn node(settings: &Settings, listen: &[Listen]) -> Agent {
    let told = |each: &Listen| {
        let (host, port) = match &each.advertise {
            Some(advertise) => (advertise.host.clone(), advertise.port),
            None => (each.address.ip().to_string(), each.address.port()),
        };
        let name = each.name.clone();
        Listener { name, host, port }
    };
    let listeners: Vec<Listener> = listen.iter().map(told).collect();
    let alone = matches!(settings.order, Sequencing::InProcess { peer: None, .. });
    let made = || match (alone, listeners.first()) {
        (false, Some(at)) => node_id(&at.host, at.port),
        _ => 1,
    };
    Agent {
        node_id: settings.node_id.unwrap_or_else(made),
        listeners,
        zone: settings.zone.clone(),
        roles: settings.roles,
    }
}

/// The same for the same address, and nearly certainly another for another; positive.
fn node_id(host: &str, port: u16) -> i32 {
    let hash = crc_fast::checksum(
        crc_fast::CrcAlgorithm::Crc32Iscsi,
        format!("{host}:{port}").as_bytes(),
    );
    i32::try_from(hash & 0x7fff_ffff).unwrap_or_default().max(1)
}
