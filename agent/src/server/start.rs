//! Brings an agent up: first everything that can be refused without leaving a trace, then the rooms.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use metadata::{Agent, Listener};
use tokio::net::TcpListener;

use super::peers::CONNECTIONS_MAX;
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
    listen: Vec<Listen>,
    http: Option<SocketAddr>,
}

impl Server {
    /// Binds, opens bucket and store, replays, and serves.
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
        let (listen, listeners) = bind_all(&settings.listen).await?;
        let http_listener = match settings.http {
            Some(address) => Some(bind(address, "http").await?),
            None => None,
        };
        let node = node(&settings, &listen);
        let peers = metadata_store::Peers::prepare(&settings).await?;
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
            unanswered,
        } = metadata_store::open(&settings.order, peers, node.clone(), &store, &names, &tasks)
            .await?;
        let identity = Identity::new(store.clone(), metadata.clone(), names, Random::Real);
        join(&settings.order, &identity, &tasks).await?;
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
            .map(TcpListener::local_addr)
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
                unanswered,
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

/// With the addresses that were free where none was given.
async fn bind_all(wanted: &[Listen]) -> anyhow::Result<(Vec<Listen>, Vec<TcpListener>)> {
    let (mut listen, mut listeners) = (wanted.to_vec(), Vec::new());
    for each in &mut listen {
        let listener = bind(each.address, "listen").await?;
        each.address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok((listen, listeners))
}

pub(super) async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| {
        let sentence = not_bound(address, flag, error.kind());
        anyhow::Error::new(error).context(sentence)
    })
}

/// Why an address cannot be listened on, and what to do.
fn not_bound(address: SocketAddr, flag: &str, kind: ErrorKind) -> String {
    let choose = format!("choose another address with --{flag}");
    let why = match kind {
        ErrorKind::AddrInUse => format!("is another process there? Stop it, or {choose}"),
        ErrorKind::AddrNotAvailable => {
            let all = match address.ip() {
                IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let all = SocketAddr::new(all, address.port());
            format!("this machine has no such address: {choose}, {all} for all that it has")
        }
        ErrorKind::PermissionDenied => {
            format!("ports below 1024 are for privileged processes: {choose}")
        }
        _ => choose,
    };
    format!("cannot listen on {address}; {why}")
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
