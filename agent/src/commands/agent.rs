//! `penstock agent`: one agent over a bucket and a metadata store.

use std::net::SocketAddr;
use std::time::Duration;

use super::logging;
use anyhow::Context as _;

use crate::config::{Agent, Common, HostPort};
use crate::context::AutoCreate;
use crate::server::{Order, PeerListen, Server, Settings};
use crate::storage::StoreOptions;

pub(super) async fn run(options: Agent) -> anyhow::Result<()> {
    logging::start(&options.common.log)?;
    let auto_create = if options.auto_create_topics_enable {
        AutoCreate::Enabled
    } else {
        AutoCreate::Disabled
    };
    let peer = options.peer_listen.map(|listen| PeerListen {
        listen,
        advertise: options
            .peer_advertise
            .map(|advertise| advertise.to_string()),
    });
    let order = match (options.store, options.metadata.is_empty()) {
        (Some(store), true) => Order::Here { store, peer },
        (None, false) if peer.is_none() => {
            let addresses = options.metadata.iter().map(HostPort::to_string).collect();
            Order::Elsewhere { addresses }
        }
        (None, false) => {
            anyhow::bail!("--peer-listen is for the metadata of --store; leave it out")
        }
        (Some(_), false) => anyhow::bail!("give --store or --metadata, not both"),
        (None, true) => anyhow::bail!(
            "give --metadata HOST:PORT, where the metadata is served, or --store URL to carry it inside"
        ),
    };
    let tls = options.peer_tls.files().context("peers")?;
    let mut settings = settings(
        options.common,
        options.bucket,
        order,
        options.listen,
        auto_create,
    );
    settings.peer_tls = tls;
    settings.http = options.http;
    let server = Server::start(settings).await?;
    let http = server.http().map(tracing::field::display);
    tracing::info!(listen = %server.listen(), http, "serving");
    server.run().await
}

/// What `dev` and `agent` have in common.
pub(super) fn settings(
    common: Common,
    bucket: String,
    order: Order,
    listen: SocketAddr,
    auto_create: AutoCreate,
) -> Settings {
    Settings {
        listen,
        http: None,
        advertise: common.advertise,
        node_id: common.node_id,
        zone: common.zone,
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
        shutdown_grace: Duration::from_secs(common.shutdown_grace),
    }
}
