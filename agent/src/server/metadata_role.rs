//! A process that is nothing but a candidate for the order: `penstock metadata`. Called by `commands/metadata`.

use std::net::SocketAddr;
use std::time::Duration;

use super::peers::{CONNECTIONS_MAX, PeerPort, wire};
use super::ports::{Port, check_apart};
use super::signals::Signals;
use super::unanswered::Watched;
use super::{metadata_store, open_files};
use crate::config::{PeerTls, StoreUrl, ends_without};
use crate::http;
use crate::identity::{self, Names};
use crate::metrics;
use crate::own_thread::OwnThread;
use crate::storage::{Store, StoreOptions};
use crate::tasks::Tasks;

/// The last checkpoint and the goodbye have so long.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(10);

/// Everything such a process needs to know.
#[derive(Clone, Debug)]
pub struct MetadataSettings {
    pub store: StoreUrl,
    /// Where the agents' segments lie; it remembers how far the metadata had come.
    pub bucket: Option<String>,
    pub bucket_options: StoreOptions,
    pub listen: SocketAddr,
    /// What agents and other candidates are told; the address listened on if nothing is given.
    pub advertise: Option<String>,
    pub http: Option<SocketAddr>,
    pub tls: Option<PeerTls>,
    /// Bytes that the cluster's state may take in memory, about.
    pub state_memory: u64,
}

/// Runs until a signal, or until the store turns out damaged.
///
/// # Errors
/// With a sentence for the operator.
pub async fn serve_metadata(settings: MetadataSettings) -> anyhow::Result<()> {
    let prometheus = metrics::install()?;
    open_files::allow(CONNECTIONS_MAX);
    let wire = wire(settings.tls.as_ref())?;
    let http = settings.http;
    let addresses = [
        Some((settings.listen, "listen")),
        http.map(|address| (address, "http")),
    ];
    check_apart(&addresses.into_iter().flatten().collect::<Vec<_>>())?;
    let port = PeerPort::take(settings.listen, settings.advertise, wire, "listen")?;
    let http = http
        .map(|address| Port::take(address, "http"))
        .transpose()?;
    metadata_store::check_folder(&settings.store, None)?;
    let bucket = match &settings.bucket {
        Some(url) => Some(Store::open(url, &settings.bucket_options).await?),
        None if settings.store == StoreUrl::Memory => None,
        None => {
            tracing::warn!(
                "no --bucket is given: should the metadata store be replaced by an older copy of itself while all of these \
                 processes are stopped, nobody will notice, and what was acknowledged since is lost in silence"
            );
            None
        }
    };
    let ends_alone = ends_without(&settings.store, settings.bucket.as_deref());
    let store = settings.store.to_string();
    let names = Names::of_store(store, settings.bucket, &settings.bucket_options);
    let kv = metadata_store::open_store(&settings.store, metadata_store::STOP).await?;
    let (kv, calls) = Watched::over(kv);
    if let Some(bucket) = &bucket {
        let checked = identity::check_bucket(&names, kv.as_ref(), bucket).await;
        checked.map_err(anyhow::Error::msg)?;
    }
    if let Some(sentence) = ends_alone {
        tracing::warn!("{sentence}");
    }
    let mut signals = Signals::catch()?;
    let rooms = Tasks::new();
    let (listen, told) = (port.listens_at()?, port.address().to_owned());
    let status = port.serve(
        kv,
        metadata_store::options(bucket.as_ref(), settings.state_memory),
        names,
        &rooms,
    )?;
    let http_listener = http.map(Port::open).transpose()?;
    let http = http_listener
        .as_ref()
        .map(tokio::net::TcpListener::local_addr)
        .transpose()?;
    if let Some(listener) = http_listener {
        let pages = http::Pages::Metadata {
            prometheus,
            status,
            calls,
        };
        let figures = OwnThread::start("figures")?;
        let serving = http::serve(listener, pages, figures, Tasks::new(), rooms.stopping());
        rooms.spawn("http", serving);
    }
    let http = http.map(tracing::field::display);
    tracing::info!(%listen, advertise = told, http, "serving metadata");
    let failure = tokio::select! {
        () = signals.received() => None,
        failure = rooms.failed() => Some(failure),
    };
    if let Some(failure) = failure {
        anyhow::bail!("stopped because {failure}");
    }
    rooms.stop();
    rooms.wait(CLOSE_TIME_MAX).await;
    if let Some(failure) = rooms.failure() {
        anyhow::bail!("could not stop in order: {failure}");
    }
    tracing::info!("stopped");
    Ok(())
}
