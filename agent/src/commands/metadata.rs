//! `penstock metadata`: a candidate for the order of offsets over a metadata store, for agents elsewhere.

use super::logging;
use crate::config::Metadata;
use crate::server::{MetadataSettings, serve_metadata};

pub(super) async fn run(options: Metadata) -> anyhow::Result<()> {
    logging::start(&options.log)?;
    let tls = options.peer_tls.files()?;
    serve_metadata(MetadataSettings {
        store: options.store,
        listen: options.listen,
        advertise: options.advertise.map(|advertise| advertise.to_string()),
        http: options.http,
        tls,
    })
    .await
}
