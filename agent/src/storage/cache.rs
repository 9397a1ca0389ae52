//! Blocks in memory: those this agent wrote, and those it read. Bounded in bytes, least recently used go first, and
//! those nobody reads go by themselves. Whoever asks for a block that is on its way waits for the same download.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream::{FuturesUnordered, StreamExt};
use metadata::{BlockCodec, BlockRange, ObjectKey, TopicPartition, planted};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

use super::segment::{SegmentError, decode_block};
use super::store::{Cause, Store, StoreError};
use crate::metrics;
use crate::tasks::{Stop, compute};

/// Blocks of an object that lie no farther apart are read at once.
const GAP_MAX: u64 = 64 * 1024;
/// Bytes read at once.
const RUN_MAX: u64 = 8 * 1024 * 1024;
/// Requests to read ahead that may wait; more are forgotten.
const PREFETCH_QUEUE: usize = 64;
/// Of which so many are served at a time.
const PREFETCHES: usize = 4;
/// Downloads waiting to be looked after by `Cache::run`; their askers look after those that find no room.
const DOWNLOAD_QUEUE: usize = 1024;
/// A download ends sooner, with a result or an error; one that is older has nobody left who moves it on.
const LOADING_MAX: Duration = Duration::from_secs(60);
/// What an entry takes besides its bytes, about.
const ENTRY_OVERHEAD: u64 = 256;

/// Whole record batches of one block, in order.
pub type RawBlock = Arc<[Bytes]>;

/// Where a block came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In memory because this agent wrote it.
    Own,
    /// In memory because somebody read it before.
    Cache,
    Store,
}

/// Where a block lies and whose it is, as the metadata says. Bytes that are not that block's are not served, whoever asks
/// for them under another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub object: ObjectKey,
    pub range: BlockRange,
    pub owner: TopicPartition,
}

impl Place {
    fn key(&self) -> Key {
        let Self {
            object,
            range,
            owner,
        } = self;
        (*object, range.position, range.checksum, *owner)
    }

    fn end(&self) -> u64 {
        u64::from(self.range.position) + u64::from(self.range.stored_length)
    }
}

/// The blocks of a download, in its order. One that is damaged does not keep its neighbours from their readers.
type Downloaded = Result<Arc<[Result<RawBlock, StoreError>]>, StoreError>;
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
    /// By when they were last used.
    order: BTreeMap<u64, Key>,
    bytes: u64,
    clock: u64,
}

/// Object, position, checksum, owner: everything by which a block is told from another.
type Key = (ObjectKey, u32, u32, TopicPartition);

struct Ready {
    block: RawBlock,
    bytes: u64,
    source: Source,
    used: u64,
    used_at: Instant,
}

/// A block that is in memory, or on its way there.
pub enum Coming {
    Here(RawBlock, Source),
    Loading(Loading),
}

impl fmt::Debug for Coming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(_, source) => f.debug_tuple("Here").field(source).finish(),
            Self::Loading(loading) => loading.fmt(f),
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
        let find = |key| match state.touch(key) {
            Some((block, source)) => Coming::Here(block, source),
            None => Coming::Loading(state.loading.get(&key).expect("just begun").clone()),
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
                !state.blocks.contains_key(&key) && !state.loading.contains_key(&key)
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

/// Groups neighbours in an object.
fn runs(places: &[Place]) -> Vec<Vec<Place>> {
    let mut runs: Vec<Vec<Place>> = Vec::new();
    for place in places {
        let joined = runs.last_mut().filter(|run| {
            let first = u64::from(run[0].range.position);
            run[0].object == place.object
                && u64::from(place.range.position) <= end(run) + GAP_MAX
                && place.end() - first <= RUN_MAX
        });
        match joined {
            Some(run) => run.push(*place),
            None => runs.push(vec![*place]),
        }
    }
    runs
}

/// Where the last byte of a run lies. Places that overlap are damage, which shows when they are read.
fn end(run: &[Place]) -> u64 {
    run.iter().map(Place::end).max().unwrap_or_default()
}

/// One request for a run of blocks, which then are in the cache.
async fn load(inner: Arc<Inner>, places: Vec<Place>) -> Downloaded {
    let loaded = download(&inner.store, &places).await;
    if let Err(error) = &loaded {
        places
            .iter()
            .filter(|_| error.is_damage())
            .for_each(|place| note_damage(place, error));
    }
    let mut state = inner.state.lock();
    for (index, place) in places.iter().enumerate() {
        let key = place.key();
        state.loading.remove(&key);
        if let Ok(blocks) = &loaded
            && let Ok(block) = &blocks[index]
        {
            state.keep(key, Arc::clone(block), Source::Cache, inner.bytes_max);
        }
    }
    drop(state);
    loaded
}

async fn download(store: &Store, places: &[Place]) -> Downloaded {
    let first = places[0].range.position;
    let all = u64::from(first)..end(places);
    let stored = store.get_range(places[0].object, all, Cause::Fetch).await?;
    let places = places.to_vec();
    let blocks = compute(move || {
        // A slice would keep the whole run in memory, uncounted.
        let alone = places.len() == 1;
        let decoded = places.iter().map(|place| {
            let block = decode(&stored, first, place, alone);
            block.inspect_err(|error| note_damage(place, error))
        });
        decoded.collect()
    });
    Ok(blocks.await)
}

fn decode(stored: &Bytes, first: u32, place: &Place, alone: bool) -> Result<RawBlock, StoreError> {
    let range = &place.range;
    let from = (range.position - first) as usize;
    let to = from + range.stored_length as usize;
    if to > stored.len() {
        return Err(StoreError::corrupt(SegmentError::Truncated));
    }
    let raw = decode_block(stored.slice(from..to), range, place.owner);
    let raw = raw.map_err(StoreError::corrupt)?;
    let raw = if alone || range.codec != BlockCodec::Raw {
        raw
    } else {
        Bytes::copy_from_slice(&raw)
    };
    Ok(RawBlock::from([raw]))
}

/// Committed bytes that are not there, or not as they were committed: never silence.
fn note_damage(place: &Place, error: &StoreError) {
    metrics::count_damage("block");
    tracing::error!(
        object = %place.object,
        position = place.range.position,
        topic = %place.owner.topic,
        partition = place.owner.partition.0,
        %error,
        "damage: a committed block cannot be read as it was committed"
    );
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
        if state.blocks.is_empty() {
            state.blocks.shrink_to_fit();
            state.loading.shrink_to_fit();
        }
    }
}

impl State {
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
