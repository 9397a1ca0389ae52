//! Blocks in memory: those this agent wrote, and those it read. Bounded in bytes, least recently used go first, and
//! those nobody reads go by themselves. Whoever asks for a block that is on its way waits for the same download. Damaged
//! bytes are never kept; that a block is damaged is remembered for some seconds.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream::{FuturesUnordered, StreamExt};
use metadata::planted;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

use super::download::{Downloaded, Key, Place, RawBlock, download, runs};
use super::error::StoreError;
use super::store::Store;
use crate::tasks::Stop;

/// Requests to read ahead that may wait; more are forgotten.
const PREFETCH_QUEUE: usize = 64;
/// Of which so many are served at a time.
const PREFETCHES: usize = 4;
/// Downloads waiting to be looked after by `Cache::run`; their askers look after those that find no room.
const DOWNLOAD_QUEUE: usize = 1024;
/// A download ends sooner, with a result or an error; one that is older has nobody left who moves it on.
const LOADING_MAX: Duration = Duration::from_secs(60);
/// So long a block that turned out damaged is called so without another look. Readers ask again at once and without end, and
/// where others' bytes are at hand they do not wait until a slow bucket has said what is wrong; they hear it the next time.
const DAMAGE_MEMORY: Duration = Duration::from_secs(5);
/// Of so many blocks; more are read again for each who asks.
const DAMAGED_MAX: usize = 4096;
/// What an entry takes besides its bytes, about.
const ENTRY_OVERHEAD: u64 = 256;

/// Where a block came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In memory because this agent wrote it.
    Own,
    /// In memory because somebody read it before.
    Cache,
    Store,
}

type Run = Shared<BoxFuture<'static, Downloaded>>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    store: Store,
    bytes_max: u64,
    idle: Duration,
    state: Mutex<State>,
    prefetch: mpsc::Sender<Vec<Place>>,
    /// Downloads that have begun, so that each comes to its end also when all who asked went away.
    begun: mpsc::Sender<Run>,
    queues: Mutex<Option<Queues>>,
}

/// What `Cache::run` serves.
struct Queues {
    prefetches: mpsc::Receiver<Vec<Place>>,
    begun: mpsc::Receiver<Run>,
}

#[derive(Default)]
struct State {
    blocks: HashMap<Key, Ready>,
    loading: HashMap<Key, Loading>,
    damaged: HashMap<Key, Damaged>,
    /// By when they were last used.
    order: BTreeMap<u64, Key>,
    bytes: u64,
    clock: u64,
}

struct Ready {
    block: RawBlock,
    bytes: u64,
    source: Source,
    used: u64,
    used_at: Instant,
}

/// A block that could not be read, and never will be as long as nobody brings it back.
struct Damaged {
    error: StoreError,
    found: Instant,
}

/// A block that is in memory, or on its way there.
pub enum Coming {
    Here(RawBlock, Source),
    Loading(Loading),
    /// It was read just now and is damaged.
    Damaged(StoreError),
}

impl fmt::Debug for Coming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(_, source) => f.debug_tuple("Here").field(source).finish(),
            Self::Loading(loading) => loading.fmt(f),
            Self::Damaged(error) => f.debug_tuple("Damaged").field(error).finish(),
        }
    }
}

impl fmt::Debug for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl Coming {
    /// Once it is here.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn block(self) -> Result<(RawBlock, Source), StoreError> {
        match self {
            Self::Here(block, source) => Ok((block, source)),
            Self::Loading(loading) => {
                let run = loading.run.await?;
                let index = loading.index;
                planted!(let index = "wrong-block-of-a-run" => index.saturating_sub(1));
                Ok((run[index].clone()?, Source::Store))
            }
            Self::Damaged(error) => Err(error),
        }
    }
}

/// One of the blocks of a download.
#[derive(Clone)]
pub struct Loading {
    run: Run,
    index: usize,
    began: Instant,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("bytes", &self.0.state.lock().bytes)
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// Keeps at most `bytes_max` bytes, none longer than `idle` after its last use.
    #[must_use]
    pub fn new(store: Store, bytes_max: u64, idle: Duration) -> Self {
        let (prefetch, prefetches) = mpsc::channel(PREFETCH_QUEUE);
        let (begun, downloads) = mpsc::channel(DOWNLOAD_QUEUE);
        let queues = Queues {
            prefetches,
            begun: downloads,
        };
        Self(Arc::new(Inner {
            store,
            bytes_max,
            idle,
            state: Mutex::default(),
            prefetch,
            begun,
            queues: Mutex::new(Some(queues)),
        }))
    }

    /// Keeps a block that this agent wrote.
    pub fn insert(&self, place: Place, batches: Vec<Bytes>) {
        let mut state = self.0.state.lock();
        state.keep(place.key(), batches.into(), Source::Own, self.0.bytes_max);
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.state.lock().bytes
    }

    /// Blocks in the order asked for. Those not in memory are read with one request per run of neighbours.
    ///
    /// # Errors
    /// When one cannot be read; the others are kept.
    pub async fn blocks(&self, wanted: &[Place]) -> Result<Vec<(RawBlock, Source)>, StoreError> {
        let mut blocks = Vec::with_capacity(wanted.len());
        for coming in self.begin(wanted) {
            blocks.push(coming.block().await?);
        }
        Ok(blocks)
    }

    /// The same for those who do not want to wait for all of them: what is not in memory is on its way from now on.
    #[must_use]
    pub fn begin(&self, wanted: &[Place]) -> Vec<Coming> {
        let mut state = self.0.state.lock();
        self.begin_missing(&mut state, wanted);
        let find = |key| match (state.touch(key), state.loading.get(&key)) {
            (Some((block, source)), _) => Coming::Here(block, source),
            (None, Some(loading)) => Coming::Loading(loading.clone()),
            (None, None) => {
                let damaged = state.damaged.get(&key).expect("else it has just begun");
                Coming::Damaged(damaged.error.clone())
            }
        };
        wanted.iter().map(Place::key).map(find).collect()
    }

    /// Asks for blocks that will be wanted soon. Best effort.
    pub fn prefetch(&self, wanted: &[Place]) {
        // A full queue means that reading ahead is behind already.
        let _ = self.0.prefetch.try_send(wanted.to_vec());
    }

    /// Serves what is to be read ahead, sees downloads through, and drops what nobody reads, until asked to stop. Only
    /// the first caller's does; there is one such task in an agent.
    pub async fn run(self, mut stop: Stop) {
        let Some(mut queues) = self.0.queues.lock().take() else {
            return;
        };
        let mut sweep = interval((self.0.idle / 4).max(Duration::from_millis(100)));
        let mut prefetching = FuturesUnordered::new();
        let mut downloads = FuturesUnordered::new();
        loop {
            tokio::select! {
                // In this order, so that simulation repeats itself.
                biased;
                () = stop.requested() => return,
                _ = sweep.tick() => self.0.sweep(),
                Some(wanted) = queues.prefetches.recv(), if prefetching.len() < PREFETCHES => {
                    let cache = self.clone();
                    // Whoever wants the blocks later will see why they cannot be read.
                    prefetching.push(async move { drop(cache.blocks(&wanted).await) });
                }
                Some(run) = queues.begun.recv() => downloads.push(run),
                Some(()) = prefetching.next() => {}
                Some(_) = downloads.next() => {}
            }
        }
    }

    /// Begins a download for every run of blocks that are neither here nor on their way.
    fn begin_missing(&self, state: &mut State, wanted: &[Place]) {
        let mut missing: Vec<Place> = wanted
            .iter()
            .filter(|place| {
                let key = place.key();
                !state.blocks.contains_key(&key)
                    && !state.loading.contains_key(&key)
                    && !state.damaged.get(&key).is_some_and(Damaged::is_fresh)
            })
            .copied()
            .collect();
        missing.sort_unstable_by_key(Place::key);
        missing.dedup_by_key(|place| place.key());
        for places in runs(&missing) {
            let run = load(Arc::clone(&self.0), places.clone()).boxed().shared();
            // With no room there, its askers see it through.
            let _ = self.0.begun.try_send(run.clone());
            for (index, place) in places.iter().enumerate() {
                let loading = Loading {
                    run: run.clone(),
                    index,
                    began: Instant::now(),
                };
                state.loading.insert(place.key(), loading);
            }
        }
    }
}

/// One request for a run of blocks, which then are in the cache.
async fn load(inner: Arc<Inner>, places: Vec<Place>) -> Downloaded {
    let loaded = download(&inner.store, &places).await;
    let mut state = inner.state.lock();
    for (index, place) in places.iter().enumerate() {
        let key = place.key();
        state.loading.remove(&key);
        let block = match &loaded {
            Ok(blocks) => blocks[index].as_ref(),
            Err(error) => Err(error),
        };
        match block {
            Ok(block) => state.keep(key, Arc::clone(block), Source::Cache, inner.bytes_max),
            Err(error) if error.is_damage() => state.remember(key, error),
            Err(_) => {}
        }
    }
    drop(state);
    loaded
}

impl Inner {
    fn sweep(&self) {
        let now = Instant::now();
        let mut state = self.state.lock();
        while let Some((_, key)) = state.order.first_key_value() {
            let key = *key;
            if state
                .blocks
                .get(&key)
                .is_some_and(|ready| now - ready.used_at < self.idle)
            {
                break;
            }
            state.remove(key);
        }
        state
            .loading
            .retain(|_, loading| now - loading.began < LOADING_MAX);
        state.damaged.retain(|_, damaged| damaged.is_fresh());
        if state.blocks.is_empty() {
            state.blocks.shrink_to_fit();
            state.loading.shrink_to_fit();
        }
    }
}

impl Damaged {
    fn is_fresh(&self) -> bool {
        self.found.elapsed() < DAMAGE_MEMORY
    }
}

impl State {
    /// Remembers damage, if there is room.
    fn remember(&mut self, key: Key, error: &StoreError) {
        if self.damaged.len() >= DAMAGED_MAX {
            self.damaged.retain(|_, damaged| damaged.is_fresh());
        }
        if self.damaged.len() < DAMAGED_MAX || self.damaged.contains_key(&key) {
            let damaged = Damaged {
                error: error.clone(),
                found: Instant::now(),
            };
            self.damaged.insert(key, damaged);
        }
    }

    /// Keeps a block and lets go of those used longest ago. One larger than all there may be is not kept.
    fn keep(&mut self, key: Key, block: RawBlock, source: Source, bytes_max: u64) {
        let bytes = block.iter().map(|slice| slice.len() as u64).sum::<u64>() + ENTRY_OVERHEAD;
        self.remove(key);
        if bytes > bytes_max {
            return;
        }
        while self.bytes + bytes > bytes_max {
            let Some((_, oldest)) = self.order.first_key_value() else {
                break;
            };
            self.remove(*oldest);
        }
        self.clock += 1;
        let used = self.clock;
        self.order.insert(used, key);
        self.bytes += bytes;
        let ready = Ready {
            block,
            bytes,
            source,
            used,
            used_at: Instant::now(),
        };
        self.blocks.insert(key, ready);
    }

    fn touch(&mut self, key: Key) -> Option<(RawBlock, Source)> {
        self.clock += 1;
        let ready = self.blocks.get_mut(&key)?;
        self.order.remove(&ready.used);
        ready.used = self.clock;
        ready.used_at = Instant::now();
        self.order.insert(ready.used, key);
        Some((Arc::clone(&ready.block), ready.source))
    }

    fn remove(&mut self, key: Key) {
        if let Some(ready) = self.blocks.remove(&key) {
            self.order.remove(&ready.used);
            self.bytes -= ready.bytes;
        }
    }
}
