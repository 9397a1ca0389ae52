//! `penstock agent`: one agent over a bucket and a metadata store.

use std::net::SocketAddr;
use std::time::Duration;

use super::logging;
use crate::config::{Agent, Common, StoreUrl};
use crate::context::AutoCreate;
use crate::server::{Server, Settings};
use crate::storage::StoreOptions;

pub(super) async fn run(options: Agent) -> anyhow::Result<()> {
    logging::start(&options.common.log)?;
    let auto_create = if options.auto_create_topics_enable {
        AutoCreate::Enabled
    } else {
        AutoCreate::Disabled
    };
    let mut settings = settings(
        options.common,
        options.bucket,
        options.store,
        options.listen,
        auto_create,
    );
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
    store: StoreUrl,
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
        store,
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
