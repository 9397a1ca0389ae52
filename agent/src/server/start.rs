//! Brings an agent up: first everything that can be refused without leaving a trace, then the rooms.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::{Settings, Signals, accept, metadata_store, open_files};
use crate::admission::Admission;
use crate::clock::Clock;
use crate::config::CompressionLevel;
use crate::context::{Context, Node, TopicDefaults};
use crate::dispatch::Dispatch;
use crate::fetch::Fetch;
use crate::http;
use crate::metrics;
use crate::produce::{Flusher, Produce, SealPolicy, Upload};
use crate::storage::segment::Compression;
use crate::storage::{Cache, Store};
use crate::tasks::Tasks;
use crate::transactions::ProducerIds;

/// Fetched bytes on their way to clients, together.
const REPLY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Blocks nobody read for so long leave the cache.
const CACHE_IDLE: Duration = Duration::from_secs(20);
/// Segments sealed early, without waiting for their age, while fewer than these are under way.
const EAGER_SEGMENTS: usize = 2;

/// A running agent.
#[derive(Debug)]
pub struct Server {
    pub(super) context: Arc<Context>,
    pub(super) connections: Tasks,
    pub(super) flusher: Tasks,
    pub(super) rooms: Tasks,
    pub(super) shutdown_grace: Duration,
    pub(super) signals: Signals,
    listen: SocketAddr,
    http: Option<SocketAddr>,
}

impl Server {
    /// Binds, opens bucket and store, replays, and serves.
    ///
    /// # Errors
    /// With a sentence for the operator. Nothing was written then, unless it is the store itself that failed.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let prometheus = metrics::install()?;
        open_files::allow(settings.connections_max);
        let listener = bind(settings.listen, "listen").await?;
        let http_listener = match settings.http {
            Some(address) => Some(bind(address, "http").await?),
            None => None,
        };
        let listen = listener.local_addr()?;
        let peers = metadata_store::Peers::prepare(&settings).await?;
        let store = Store::open(&settings.bucket, &settings.bucket_options).await?;
        store.check().await?;
        if let Some(data) = &settings.data {
            make_folder(data)?;
        }
        let rooms = Tasks::new();
        let metadata = metadata_store::open(&settings.order, peers, &rooms).await?;
        let context = Arc::new(context(&settings, listen, metadata));
        let admission = Admission::new(settings.buffer_memory, REPLY_BYTES_MAX);
        let cache = Cache::new(store.clone(), settings.cache_memory as u64, CACHE_IDLE);
        spawn_cache(&rooms, &cache);
        let connections = Tasks::new();
        let flusher = Tasks::new();
        let produce = start_flusher(&settings, &context, &admission, store, &cache, &flusher);
        let dispatch = Arc::new(Dispatch {
            context: Arc::clone(&context),
            produce,
            fetch: Fetch::new(
                Arc::clone(&context),
                admission.clone(),
                cache,
                connections.stopping(),
            ),
            producer_ids: ProducerIds::new(),
        });
        let front = metrics::Front::new();
        let signals = Signals::catch()?;
        rooms.spawn("metrics upkeep", {
            let (prometheus, stop) = (prometheus.clone(), rooms.stopping());
            async move {
                metrics::upkeep(prometheus, stop).await;
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
                context: Arc::clone(&context),
                admission: admission.clone(),
                front: front.clone(),
                draining: connections.stopping(),
            }));
            rooms.spawn(
                "http",
                http::serve(listener, pages, Tasks::new(), rooms.stopping()),
            );
        }
        let acceptor = accept::Acceptor {
            listener,
            context: Arc::clone(&context),
            dispatch,
            admission,
            front,
            connections: connections.clone(),
            connections_max: settings.connections_max,
        };
        rooms.spawn("acceptor", acceptor.run(connections.stopping()));
        let shutdown_grace = settings.shutdown_grace;
        Ok(Self {
            context,
            connections,
            flusher,
            rooms,
            shutdown_grace,
            signals,
            listen,
            http,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where metrics and health are served.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }
}

pub(super) async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; is another process there? Choose another address with --{flag}")
    })
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).with_context(|| {
        format!(
            "cannot make the folder {}; choose another with --data",
            path.display()
        )
    })
}

fn context(settings: &Settings, listen: SocketAddr, metadata: metadata::Metadata) -> Context {
    let (host, port) = match &settings.advertise {
        Some(advertise) => (advertise.host.clone(), advertise.port),
        None => (listen.ip().to_string(), listen.port()),
    };
    Context {
        metadata,
        clock: Clock::Real,
        node: Node {
            id: settings.node_id,
            host,
            port,
            zone: settings.zone.clone(),
        },
        topics: TopicDefaults {
            auto_create: settings.auto_create,
            partitions: settings.num_partitions,
        },
    }
}

fn spawn_cache(rooms: &Tasks, cache: &Cache) {
    let (cache, stop) = (cache.clone(), rooms.stopping());
    rooms.spawn("cache", async move {
        cache.run(stop).await;
        Ok(())
    });
}

fn start_flusher(
    settings: &Settings,
    context: &Arc<Context>,
    admission: &Admission,
    store: Store,
    cache: &Cache,
    tasks: &Tasks,
) -> Produce {
    let policy = SealPolicy {
        segment_bytes: settings.segment_bytes,
        age_max: settings.age_max,
        eager_segments: EAGER_SEGMENTS,
        puts_per_second: (!store.is_local()).then_some(settings.puts_per_second),
    };
    let compression = match settings.compression {
        CompressionLevel::Off => Compression::Off,
        CompressionLevel::Zstd(level) => Compression::Zstd(level),
    };
    let upload = Upload {
        context: Arc::clone(context),
        store,
        cache: cache.clone(),
        compression,
    };
    let (flusher, handle) = Flusher::new(upload, tasks.clone(), policy);
    tasks.spawn("flusher", flusher.run(tasks.stopping()));
    Produce::new(Arc::clone(context), admission.clone(), handle)
}
