//! The port on which agents and the metadata's processes speak with each other, and the candidate for the order behind it.
//! Never the clients' port. Called by `metadata_store` and `metadata_role`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use metadata::kv::Kv;
use metadata::rpc::{Budget, ConnectOptions, Dial, Link, Server, Wire, accept, dial, who};
use metadata::{Agent, Candidate, Metadata, Options, Probe, Shown, Status};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::metadata_store::refused;
use super::ports::Port;
use super::shares::{Place, Shares};
use crate::config::PeerTls;
use crate::identity::Names;
use crate::said::Said;
use crate::storage::Store;
use crate::tasks::{Stop, Tasks};

/// Connections of peers at a time; more are turned away.
pub(super) const CONNECTIONS_MAX: usize = 4096;
/// Of one machine, behind which there may be a load balancer with many agents.
const OF_A_MACHINE_MAX: usize = CONNECTIONS_MAX / 4;
/// Closed connections of a peer: one that is refused comes back several times a second, for as long as nobody corrects it.
static CLOSED: Said<(IpAddr, String)> = Said::new(Duration::from_secs(60), 64);
/// Links that wait to be served.
const LINKS_MAX: usize = 16;

/// A port for peers, and the name they know it by.
#[derive(Debug)]
pub(super) struct PeerPort {
    port: Port,
    address: String,
    wire: Wire,
}

/// How peers speak, from the files that were named, if any.
pub(super) fn wire(tls: Option<&PeerTls>) -> anyhow::Result<Wire> {
    let Some(tls) = tls else {
        return Ok(Wire::Plain);
    };
    let read = |path: &std::path::Path| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let (certificate, key) = (read(&tls.certificate)?, read(&tls.key)?);
    let authority = read(&tls.authority)?;
    let pem = metadata::rpc::Pem {
        certificate: &certificate,
        key: &key,
        authority: &authority,
    };
    Wire::tls(pem).map_err(|reason| anyhow::anyhow!("--peer-tls-cert, -key and -ca: {reason}"))
}

impl PeerPort {
    /// Nobody is heard there yet.
    pub(super) fn take(
        listen: SocketAddr,
        advertise: Option<String>,
        wire: Wire,
        flag: &'static str,
    ) -> anyhow::Result<Self> {
        let port = Port::take(listen, flag)?;
        let address = match advertise {
            Some(address) => address,
            None => port.address()?.to_string(),
        };
        Ok(Self {
            port,
            address,
            wire,
        })
    }

    /// Where it listens, with the port that was free if none was given.
    pub(super) fn listens_at(&self) -> std::io::Result<SocketAddr> {
        self.port.address()
    }

    /// What peers are told.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Waits for the order of that store, and serves it while this process holds it, as some of `rooms`.
    ///
    /// # Errors
    /// Where the port became another process' meanwhile.
    pub(super) fn serve(
        self,
        kv: Arc<dyn Kv>,
        options: Options,
        names: Names,
        rooms: &Tasks,
    ) -> anyhow::Result<Status> {
        let Self {
            port,
            address,
            wire,
        } = self;
        let listener = port.open()?;
        let (links, incoming) = mpsc::channel(LINKS_MAX);
        let (dialing, own) = (wire.clone(), address.clone());
        let probe = Probe::new(move |address| {
            let (wire, own) = (dialing.clone(), own.clone());
            async move { who(dial(&wire, &address).await, own).await }
        });
        let candidate = Candidate::new(kv, options, address, probe);
        let status = candidate.status();
        let server = Server::new(incoming, status.clone());
        let mut stop = rooms.stopping();
        rooms.spawn("metadata", async move {
            let stopped = async move { stop.requested().await };
            let ended = Box::pin(candidate.run(stopped)).await;
            ended.map_err(|error| refused(&names, error))
        });
        rooms.spawn("metadata links", async move {
            server.run().await;
            Ok(())
        });
        let (tasks, stop) = (rooms.clone(), rooms.stopping());
        rooms.spawn("peers", async move {
            take(listener, wire, links, tasks, stop).await;
            Ok(())
        });
        Ok(status)
    }
}

/// Who may come in; what the log hears of others is `CLOSED`.
struct Gate {
    connections: Tasks,
    shares: Shares,
}

impl Gate {
    /// A place for one that comes from there.
    fn admit(&self, peer: SocketAddr) -> Option<Place> {
        const REASON: &str = "too many connections, of all or from there";
        let place = match self.connections.live() {
            ..CONNECTIONS_MAX => self.shares.take(peer.ip()),
            _ => None,
        };
        if place.is_none()
            && let Some(unsaid) = CLOSED.admit((peer.ip(), REASON.to_owned()))
        {
            tracing::warn!(%peer, unsaid, "turned a peer away: {REASON}");
        }
        place
    }

    fn failed(&self, own: Option<SocketAddr>, error: &std::io::Error) {
        let own = own.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |own| own.ip());
        if let Some(unsaid) = CLOSED.admit((own, error.to_string())) {
            tracing::warn!(%error, unsaid, "cannot accept a peer's connection");
        }
    }
}

async fn take(
    listener: TcpListener,
    wire: Wire,
    links: mpsc::Sender<Link>,
    rooms: Tasks,
    mut stop: Stop,
) {
    let gate = Gate {
        connections: Tasks::new(),
        shares: Shares::of(OF_A_MACHINE_MAX),
    };
    let budget = Budget::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.requested() => return,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                gate.failed(listener.local_addr().ok(), &error);
                // Out of file descriptors, most likely: give it time.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = gate.admit(peer) else {
            continue;
        };
        let (wire, links, mut stop) = (wire.clone(), links.clone(), rooms.stopping());
        let budget = budget.clone();
        gate.connections.spawn("peer", async move {
            let _place = place;
            let ended = tokio::select! {
                ended = accept(&wire, socket, links, &budget) => ended,
                () = stop.requested() => Ok(()),
            };
            // It may be in the peer's own words.
            let ended = ended.map_err(|reason| Shown::sentence(reason).to_string());
            if let Err(reason) = ended
                && let Some(unsaid) = CLOSED.admit((peer.ip(), reason.clone()))
            {
                tracing::info!(%peer, reason, unsaid, "closed a peer's connection");
            }
            Ok(())
        });
    }
}

/// A handle on the order at one of those addresses, kept connected as one of `rooms`.
pub(super) fn connect(
    addresses: Vec<String>,
    wire: Wire,
    agent: Option<Agent>,
    bucket: Option<&Store>,
    names: &Names,
    rooms: &Tasks,
) -> Metadata {
    let dial = Dial::new(move |address| {
        let wire = wire.clone();
        async move { dial(&wire, &address).await }
    });
    let (metadata, client) = metadata::rpc::connect(ConnectOptions {
        addresses,
        dial,
        agent,
        random: Arc::new(rand::random),
        witness: bucket.map(Store::memory),
    });
    let names = names.clone();
    rooms.spawn("metadata client", async move {
        let ended = client.run().await;
        ended.map_err(|error| refused(&names, error))
    });
    metadata
}
