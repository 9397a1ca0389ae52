//! `penstock agent`: one agent over a bucket and a metadata store.

use std::net::SocketAddr;
use std::time::Duration;

use super::logging;
use super::state_memory::state_memory;
use anyhow::Context as _;
use metadata::Roles;

use crate::config::{
    Agent, Common, HostPort, Misuse, Named, Role, StoreUrl, can_be_told, ends_without,
    ends_without_order, listeners,
};
use crate::context::{AutoCreate, PARTITIONS_MAX};
use crate::server::{PeerListen, Sequencing, Server, Settings};
use crate::storage::StoreOptions;

pub(super) async fn run(options: Agent) -> anyhow::Result<()> {
    logging::start(&options.common.log)?;
    let auto_create = if options.auto_create_topics_enable {
        AutoCreate::Enabled
    } else {
        AutoCreate::Disabled
    };
    if options.peer_advertise.is_some() && options.peer_listen.is_none() {
        return Err(Misuse::say(
            "--peer-advertise says how others reach --peer-listen: give that one, too",
        ));
    }
    let peer = match options.peer_listen {
        Some(listen) => Some(peer(listen, options.peer_advertise)?),
        None => None,
    };
    let order = match (options.store, options.metadata.is_empty()) {
        (Some(store), true) => Sequencing::InProcess {
            peer: peer_port(&store, &options.listen, peer)?,
            store,
            state_memory: state_memory(options.common.state.state_memory),
        },
        (None, false) if options.common.state.state_memory.is_some() => {
            let sentence =
                "--state-memory is for those that may hold the order: say it to penstock metadata";
            return Err(Misuse::say(sentence));
        }
        (None, false) if peer.is_none() => {
            let addresses = options.metadata.iter().map(HostPort::to_string).collect();
            Sequencing::Remote { addresses }
        }
        (None, false) => {
            let sentence = "--peer-listen is for the metadata of --store; leave it out";
            return Err(Misuse::say(sentence));
        }
        (Some(_), false) => return Err(Misuse::say("give --store or --metadata, not both")),
        (None, true) => {
            return Err(Misuse::say(
                "give --metadata HOST:PORT, where the metadata is served, or --store URL to carry it inside",
            ));
        }
    };
    let tls = options.peer_tls.files().context("peers")?;
    let mut settings = settings(
        options.common,
        options.bucket,
        order,
        options.listen,
        auto_create,
    )?;
    settings.roles = Roles {
        produce: options.roles.contains(&Role::Produce),
        fetch: options.roles.contains(&Role::Fetch),
    };
    settings.peer_tls = tls;
    settings.http = options.http;
    let ends_alone = match &settings.order {
        Sequencing::InProcess { store, .. } => ends_without(store, Some(&settings.bucket)),
        Sequencing::Remote { .. } => ends_without_order(&settings.bucket).map(str::to_owned),
    };
    // Not where it is refused: then one sentence says why.
    let server = Server::start(settings).await?;
    if let Some(sentence) = ends_alone {
        tracing::warn!("{sentence}");
    }
    server.announce();
    server.run().await
}

/// Where the others over a store that processes share reach this one: any of them may hold the order, and what is told
/// them must lead here from where they are.
fn peer_port(
    store: &StoreUrl,
    clients: &[Named<SocketAddr>],
    given: Option<PeerListen>,
) -> anyhow::Result<Option<PeerListen>> {
    if !store.is_shared() {
        return Ok(given);
    }
    let own = || own_machine(clients.iter().map(|each| each.value));
    let Some(peer) = given.or_else(own) else {
        return Err(Misuse::say(
            "agents that share a store hold the order in turn: give --peer-listen ADDR, where the others reach it at this one",
        ));
    };
    Ok(Some(peer))
}

/// A port for peers that was given.
fn peer(listen: SocketAddr, advertise: Option<HostPort>) -> anyhow::Result<PeerListen> {
    peers_can_be_told(
        listen,
        advertise.as_ref(),
        ["peer-listen", "peer-advertise"],
    )?;
    Ok(PeerListen {
        listen,
        advertise: advertise.map(|advertise| advertise.to_string()),
    })
}

/// A free port, where clients come from the same machine and so can nobody else.
pub(super) fn own_machine(clients: impl IntoIterator<Item = SocketAddr>) -> Option<PeerListen> {
    let mut clients = clients.into_iter();
    let first = clients.next()?.ip();
    let all = first.is_loopback() && clients.all(|each| each.ip().is_loopback());
    all.then(|| PeerListen {
        listen: SocketAddr::new(first, 0),
        advertise: None,
    })
}

/// Whether Penstock's other processes can connect to what they are told.
pub(super) fn peers_can_be_told(
    listen: SocketAddr,
    told: Option<&HostPort>,
    flags: [&str; 2],
) -> anyhow::Result<()> {
    can_be_told(listen, told, &flags.map(|flag| format!("--{flag} ")))
        .map_err(|nowhere| Misuse::say(format!("{nowhere}, where other processes reach this one")))
}

/// What `dev` and `agent` have in common.
pub(super) fn settings(
    common: Common,
    bucket: String,
    order: Sequencing,
    listen: Vec<Named<SocketAddr>>,
    auto_create: AutoCreate,
) -> anyhow::Result<Settings> {
    let listen = listeners(listen, common.advertise).map_err(Misuse::say)?;
    let client_zones = common.client_zones.unwrap_or_default();
    if let Some(unknown) = client_zones
        .listeners()
        .find(|name| !listen.iter().any(|each| each.name == *name))
    {
        return Err(Misuse::say(format!(
            "--client-zones {unknown}=... is neither a range of addresses nor one of --listen"
        )));
    }
    if common.num_partitions > PARTITIONS_MAX {
        return Err(Misuse::say(format!(
            "--num-partitions {}: a topic has at most {PARTITIONS_MAX} partitions",
            common.num_partitions
        )));
    }
    Ok(Settings {
        listen,
        http: None,
        node_id: common.node_id,
        zone: common.zone,
        client_zones,
        roles: Roles::ALL,
        bucket,
        bucket_options: StoreOptions {
            s3_endpoint: common.s3_endpoint,
        },
        order,
        peer_tls: None,
        data: None,
        auto_create,
        num_partitions: common.num_partitions,
        segment_bytes: common.segment_bytes.0,
        age_max: common.preset.age_max(),
        puts_per_second: common.preset.puts_per_second(),
        buffer_memory: common.buffer_memory.0,
        cache_memory: common.cache_memory.0,
        compression: common.compression,
        connections_max: common.connections_max as usize,
        connections_max_per_address: common
            .connections_max_per_address
            .unwrap_or_else(|| common.connections_max.div_ceil(2))
            as usize,
        shutdown_grace: Duration::from_secs(common.shutdown_grace),
    })
}
