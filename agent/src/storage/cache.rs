//! Blocks in memory: those this agent wrote, and those it read. Bounded in bytes, least recently used go first, and
//! those nobody reads go by themselves. Whoever asks for a block that is on its way waits for the same download.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream::{FuturesUnordered, StreamExt};
use metadata::{BlockCodec, BlockRange, ObjectKey, planted};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

use super::segment::decode_block;
use super::store::{Cause, Store, StoreError};
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

/// A block's place.
type Place = (ObjectKey, BlockRange);
type Run = Shared<BoxFuture<'static, Result<Arc<[RawBlock]>, StoreError>>>;

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

type Key = (ObjectKey, u32);

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
                Ok((Arc::clone(&run[index]), Source::Store))
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
    pub fn insert(&self, object: ObjectKey, range: &BlockRange, batches: Vec<Bytes>) {
        let key = (object, range.position);
        let mut state = self.0.state.lock();
        state.keep(key, batches.into(), Source::Own, self.0.bytes_max);
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
        let place = |(object, range): &Place| (*object, range.position);
        let find = |key| match state.touch(key) {
            Some((block, source)) => Coming::Here(block, source),
            None => Coming::Loading(state.loading.get(&key).expect("just begun").clone()),
        };
        wanted.iter().map(place).map(find).collect()
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
            .filter(|(object, range)| {
                let key = (*object, range.position);
                !state.blocks.contains_key(&key) && !state.loading.contains_key(&key)
            })
            .copied()
            .collect();
        missing.sort_unstable_by_key(|(object, range)| (*object, range.position));
        missing.dedup_by_key(|(object, range)| (*object, range.position));
        for (object, ranges) in runs(&missing) {
            let run = load(Arc::clone(&self.0), object, ranges.clone())
                .boxed()
                .shared();
            // With no room there, its askers see it through.
            let _ = self.0.begun.try_send(run.clone());
            for (index, range) in ranges.iter().enumerate() {
                let loading = Loading {
                    run: run.clone(),
                    index,
                    began: Instant::now(),
                };
                state.loading.insert((object, range.position), loading);
            }
        }
    }
}

/// Groups neighbours.
fn runs(places: &[Place]) -> Vec<(ObjectKey, Vec<BlockRange>)> {
    let mut runs: Vec<(ObjectKey, Vec<BlockRange>)> = Vec::new();
    for (object, range) in places {
        let joined = runs.last_mut().filter(|(last, ranges)| {
            let (first, end) = (u64::from(ranges[0].position), end(ranges));
            last == object
                && u64::from(range.position) <= end + GAP_MAX
                && self::end(&[*range]) - first <= RUN_MAX
        });
        match joined {
            Some((_, ranges)) => ranges.push(*range),
            None => runs.push((*object, vec![*range])),
        }
    }
    runs
}

fn end(ranges: &[BlockRange]) -> u64 {
    ranges.last().map_or(0, |last| {
        u64::from(last.position) + u64::from(last.stored_length)
    })
}

/// One request for a run of blocks, which then are in the cache.
async fn load(
    inner: Arc<Inner>,
    object: ObjectKey,
    ranges: Vec<BlockRange>,
) -> Result<Arc<[RawBlock]>, StoreError> {
    let loaded = download(&inner.store, object, &ranges).await;
    let mut state = inner.state.lock();
    for (index, range) in ranges.iter().enumerate() {
        let key = (object, range.position);
        state.loading.remove(&key);
        if let Ok(blocks) = &loaded {
            let block = Arc::clone(&blocks[index]);
            state.keep(key, block, Source::Cache, inner.bytes_max);
        }
    }
    drop(state);
    loaded
}

async fn download(
    store: &Store,
    object: ObjectKey,
    ranges: &[BlockRange],
) -> Result<Arc<[RawBlock]>, StoreError> {
    let first = ranges[0].position;
    let start = u64::from(first);
    let stored = store
        .get_range(object, start..end(ranges), Cause::Fetch)
        .await?;
    let ranges = ranges.to_vec();
    compute(move || {
        let decode = |range: &BlockRange| {
            let from = (range.position - first) as usize;
            let to = from + range.stored_length as usize;
            if to > stored.len() {
                return Err(StoreError::corrupt(super::segment::SegmentError::Truncated));
            }
            let raw = decode_block(stored.slice(from..to), range).map_err(StoreError::corrupt)?;
            // A slice would keep the whole run in memory, uncounted.
            let alone = ranges.len() == 1 || range.codec != BlockCodec::Raw;
            let raw = if alone {
                raw
            } else {
                Bytes::copy_from_slice(&raw)
            };
            Ok(RawBlock::from([raw]))
        };
        ranges.iter().map(decode).collect()
    })
    .await
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
