//! The rooms of an agent: started over what the process has of the world, and stopped in order. `Server` puts them behind
//! its listener, simulation behind pipes.

use std::sync::Arc;
use std::time::Duration;

use metadata::{Agent, Metadata};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};

use super::gate::{Gate, Place};
use super::settings::Settings;
use crate::admission::Admission;
use crate::call::{Arrival, ConnectionId};
use crate::clock::Clock;
use crate::config::CompressionLevel;
use crate::connection::{self, Arrivals, Unknown};
use crate::context::{Context, TopicDefaults};
use crate::discovery::ClusterMetadata;
use crate::dispatch::Dispatch;
use crate::fetch::{Fetch, HELD_BYTES_MAX};
use crate::jobs::Jobs;
use crate::metrics;
use crate::produce::{Flusher, Produce, SealPolicy, Upload};
use crate::producer_ids::ProducerIds;
use crate::random::Random;
use crate::reading::Reading;
use crate::storage::segment::Compression;
use crate::storage::{Cache, Store, Sweep};
use crate::tasks::Tasks;
use crate::unpacking;

/// Fetched bytes on their way to clients, together.
const REPLY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Blocks nobody read for so long leave the cache.
const CACHE_IDLE: Duration = Duration::from_secs(20);
/// Segments sealed early, without waiting for their age, while fewer than these are under way.
const EAGER_SEGMENTS: usize = 2;
/// In which the other agents hear that this one takes no more clients.
const WITHDRAW_PAUSE: Duration = Duration::from_millis(300);
/// The last steps of a drain have so long, however long its clients took.
const CLOSE_MIN: Duration = Duration::from_secs(2);

/// What a process has of the world.
#[derive(Debug)]
pub struct Outside {
    pub metadata: Metadata,
    pub store: Store,
    pub clock: Clock,
    pub random: Random,
    /// Those that end last, the sequencer among them. All others of the agent live as they do.
    pub tasks: Tasks,
}

/// A running agent without its sockets.
#[derive(Debug)]
pub struct Rooms {
    pub(super) context: Arc<Context>,
    pub(super) door: Door,
    pub(super) jobs: Jobs,
    pub(super) tasks: Tasks,
    flusher: Tasks,
}

/// Where connections come in.
#[derive(Clone, Debug)]
pub(super) struct Door {
    dispatch: Arc<Dispatch>,
    pub(super) admission: Admission,
    reading: Reading,
    pub(super) gate: Gate,
    pub(super) front: metrics::Front,
    pub(super) connections: Tasks,
}

impl Rooms {
    /// Starts everything that answers requests.
    #[must_use]
    pub fn start(settings: &Settings, node: Agent, outside: Outside) -> Self {
        let Outside {
            metadata,
            store,
            clock,
            random,
            tasks,
        } = outside;
        let topics = TopicDefaults {
            auto_create: settings.auto_create,
            partitions: settings.num_partitions,
        };
        let cache = Cache::new(store.clone(), settings.cache_memory as u64, CACHE_IDLE);
        let admission = Admission::new(settings.buffer_memory, REPLY_BYTES_MAX);
        metrics::memory_budgets(admission.budgets());
        metrics::memory_budgets([
            ("unpacked", unpacking::UNPACKED_BYTES_MAX),
            ("views", metadata::VIEWS_BYTES_MAX + HELD_BYTES_MAX),
        ]);
        let jobs = Jobs::new(tasks.sibling(), random.clone());
        let context = Arc::new(Context {
            metadata,
            admission: admission.clone(),
            cache: cache.clone(),
            producer_ids: ProducerIds::new(),
            clock,
            random,
            node,
            zones: settings.client_zones.clone(),
            topics,
        });
        spawn_cache(&tasks, &cache);
        jobs.start(Sweep::of(cache.clone()));
        spawn_bucket_watch(&tasks, &store);
        let (connections, flusher) = (tasks.sibling(), tasks.sibling());
        let reading = Reading::default();
        let upload = Upload {
            context: Arc::clone(&context),
            store,
            cache: cache.clone(),
            compression: match settings.compression {
                CompressionLevel::Off => Compression::Off,
                CompressionLevel::Zstd(level) => Compression::Zstd(level),
            },
            names: Arc::default(),
        };
        let produce = start_flusher(settings, upload, &admission, &reading, &flusher);
        let fetch = Fetch::new(admission.clone(), cache, connections.stopping());
        let dispatch = Arc::new(Dispatch {
            context: Arc::clone(&context),
            produce,
            fetch,
            cluster_metadata: ClusterMetadata::default(),
        });
        let door = Door {
            dispatch,
            admission,
            reading,
            gate: Gate::new(
                settings.connections_max,
                settings.connections_max_per_address,
            ),
            front: metrics::Front::new(),
            connections,
        };
        Self {
            context,
            door,
            jobs,
            tasks,
            flusher,
        }
    }

    /// Serves a client whose bytes come and go by those two; `id` is new.
    pub fn connect(
        &self,
        id: u64,
        socket: (
            impl AsyncRead + Send + Unpin + 'static,
            impl AsyncWrite + Send + Unpin + 'static,
        ),
    ) {
        let listener = self.context.node.listeners.first();
        let listener = listener.map_or_else(String::new, |listener| listener.name.clone());
        let arrival = Arrival::new(ConnectionId(id), listener, None);
        let (read, write) = socket;
        self.door.serve((Unknown(read), write), arrival, None);
    }

    /// Resolves when a task has failed that the agent cannot do without, with what it said.
    pub async fn failed(&self) -> String {
        self.tasks.failed().await
    }

    /// What a task said that has failed, if one has.
    pub(super) fn failure(&self) -> Option<String> {
        self.tasks.failure()
    }

    /// No new requests; everything that was accepted is stored, committed and answered, but for what takes longer than
    /// `grace`.
    pub async fn drain(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let left = || deadline.saturating_duration_since(Instant::now());
        // Clients look elsewhere before this agent turns them away.
        if self.context.metadata.agents().len() > 1 {
            self.context.metadata.withdraw();
            sleep(WITHDRAW_PAUSE.min(left())).await;
        }
        self.door.connections.stop();
        let cut = self.door.connections.wait(left()).await;
        if cut > 0 {
            tracing::warn!(
                connections = cut,
                "gave up waiting; their unanswered requests will be retried"
            );
        }
        self.flusher.stop();
        self.flusher.wait(left()).await;
        self.jobs.stop().await;
        if timeout(left().max(CLOSE_MIN), self.context.metadata.close())
            .await
            .is_err()
        {
            tracing::warn!("no checkpoint at the end; the next start replays the log");
        }
        self.tasks.stop();
        self.tasks.wait(left().max(CLOSE_MIN)).await;
    }
}

impl Door {
    /// `place`: of a socket that came through the gate.
    pub(super) fn serve(
        &self,
        socket: (
            impl Arrivals + Send + 'static,
            impl AsyncWrite + Send + Unpin + 'static,
        ),
        arrival: Arrival,
        place: Option<Place>,
    ) {
        let (dispatch, admission) = (Arc::clone(&self.dispatch), self.admission.clone());
        let (reader, gate) = (self.reading.reader(), self.gate.clone());
        let (gauge, stop) = (self.front.connections.clone(), self.connections.stopping());
        self.connections.spawn("connection", async move {
            gauge.increment(1);
            let peer = arrival.address;
            let closed =
                connection::serve(arrival, socket, dispatch, (admission, reader), stop).await;
            gauge.decrement(1);
            drop(place);
            if let Err(close) = closed {
                gate.closed(peer, &close);
            }
            Ok(())
        });
    }
}

fn spawn_cache(tasks: &Tasks, cache: &Cache) {
    let (cache, stop) = (cache.clone(), tasks.stopping());
    tasks.spawn("cache", async move {
        cache.run(stop).await;
        Ok(())
    });
}

fn spawn_bucket_watch(tasks: &Tasks, store: &Store) {
    let (store, stop) = (store.clone(), tasks.stopping());
    tasks.spawn("bucket watch", async move {
        store.watch(stop).await;
        Ok(())
    });
}

fn start_flusher(
    settings: &Settings,
    upload: Upload,
    admission: &Admission,
    reading: &Reading,
    tasks: &Tasks,
) -> Produce {
    let policy = SealPolicy {
        segment_bytes: settings.segment_bytes,
        age_max: settings.age_max,
        eager_segments: EAGER_SEGMENTS,
        puts_per_second: (!upload.store.is_local()).then_some(settings.puts_per_second),
    };
    let (flusher, handle) = Flusher::new(upload, tasks.clone(), policy, reading.clone());
    tasks.spawn("flusher", flusher.run(tasks.stopping()));
    Produce::new(admission.clone(), handle)
}
