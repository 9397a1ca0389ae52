//! `penstock metadata`: a candidate for the order of offsets over a metadata store, for agents elsewhere.

use super::{agent, logging};
use crate::config::Metadata;
use crate::server::{MetadataSettings, serve_metadata};
use crate::storage::StoreOptions;

pub(super) async fn run(options: Metadata) -> anyhow::Result<()> {
    logging::start(&options.log)?;
    let tls = options.peer_tls.files()?;
    let advertise = options.advertise.map(|advertise| advertise.to_string());
    if options.store.is_shared() {
        agent::can_be_told(options.listen, advertise.as_deref(), "listen", "advertise")?;
    }
    serve_metadata(MetadataSettings {
        store: options.store,
        bucket: options.bucket,
        bucket_options: StoreOptions {
            s3_endpoint: options.s3_endpoint,
        },
        listen: options.listen,
        advertise,
        http: options.http,
        tls,
    })
    .await
}
