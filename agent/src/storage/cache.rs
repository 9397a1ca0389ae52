//! Blocks in memory: those this agent wrote, and those it read. Bounded in bytes together with what is being downloaded
//! and unpacked; least recently used go first, and those nobody reads go by themselves. Whoever asks for a block that is
//! on its way waits for the same download. Damaged bytes are never kept; that a block is damaged is remembered for some
//! seconds.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, Shared, WeakShared, ready};
use futures::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::coming::{Awaited, Coming, Download, Downloaded, InLine, Loading, Run};
use super::download::{Key, Place, RawBlock, download, runs, stored_and_raw};
use super::error::StoreError;
use super::kept::{Damages, Kept, Source};
use super::room::{Room, Rooms};
use super::store::Store;
use crate::tasks::Stop;

/// Requests to read ahead that may wait; more are forgotten.
const PREFETCH_QUEUE: usize = 64;
/// Of which so many are served at a time.
const PREFETCHES: usize = 4;
/// Downloads waiting to be looked after by `Cache::run`; their askers look after those that find no room.
const DOWNLOAD_QUEUE: usize = 1024;
/// Downloads may take this part of the cache's bytes, and the blocks of one asker this part of that.
const LOADING_SHARE: u64 = 2;
/// Objects that one asker has read at once.
const OBJECTS_AT_ONCE_MAX: usize = 256;
/// Downloads whose places in line are kept for who will ask again: as many as get him on. Nothing else bounds them.
const KEPT_IN_LINE_MAX: usize = 8;

/// Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    store: Store,
    bytes_max: u64,
    idle: Duration,
    state: Mutex<State>,
    /// For downloads.
    rooms: Rooms,
    prefetch: mpsc::Sender<Vec<Place>>,
    /// Downloads that have begun, so that each comes to its end also when all who asked went away, and those that keep their
    /// places in line for who will ask again.
    begun: mpsc::Sender<BoxFuture<'static, ()>>,
    queues: Mutex<Option<Queues>>,
}

/// What `Cache::run` serves.
struct Queues {
    prefetches: mpsc::Receiver<Vec<Place>>,
    begun: mpsc::Receiver<BoxFuture<'static, ()>>,
}

#[derive(Default)]
struct State {
    kept: Kept,
    damages: Damages,
    loading: HashMap<Key, Begun>,
}

/// One of the blocks of a download, as long as anybody waits for it.
struct Begun {
    run: WeakShared<Download>,
    index: usize,
}

/// Who wants a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    /// Somebody who waits for it, in line for room.
    Reader,
    /// Somebody who may want it soon: only if there is room to spare.
    Ahead,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("bytes", &self.0.state.lock().kept.bytes())
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// Keeps at most `bytes_max` bytes, downloads under way included, none longer than `idle` after its last use.
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
            rooms: Rooms::new(bytes_max / LOADING_SHARE),
            prefetch,
            begun,
            queues: Mutex::new(Some(queues)),
        }))
    }

    /// Keeps a block that this agent wrote.
    pub fn insert(&self, place: Place, batches: Vec<Bytes>) {
        let mut state = self.0.state.lock();
        let kept = &mut state.kept;
        kept.keep(place.key(), batches.into(), Source::Own, self.0.kept_max());
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.state.lock().kept.bytes()
    }

    /// Bytes of downloads under way, stored and unpacked.
    #[must_use]
    pub fn loading_bytes(&self) -> u64 {
        self.0.rooms.taken()
    }

    /// Blocks in the order asked for. Those not in memory are read with one request per run of neighbours.
    ///
    /// # Errors
    /// When one cannot be read; the others are kept.
    pub async fn blocks(&self, wanted: &[Place]) -> Result<Vec<(RawBlock, Source)>, StoreError> {
        let mut blocks = Vec::with_capacity(wanted.len());
        while blocks.len() < wanted.len() {
            // The first is always on its way, so this comes to an end.
            for coming in self.begin(&wanted[blocks.len()..]) {
                match coming.block().await? {
                    Some(block) => blocks.push(block),
                    None => break,
                }
            }
        }
        Ok(blocks)
    }

    /// The same for those who do not want to wait for all of them: what is not in memory is on its way from now on, as
    /// much as there may be at once, and at least the first that is not. What it takes was counted before: it waits until
    /// there is room for all of it.
    #[must_use]
    pub fn begin(&self, wanted: &[Place]) -> Vec<Coming> {
        self.begin_for(wanted, Asker::Reader)
    }

    fn begin_for(&self, wanted: &[Place], asker: Asker) -> Vec<Coming> {
        let mut state = self.0.state.lock();
        // Held until each block of it has found who waits for it.
        let _begun = self.begin_missing(&mut state, wanted, asker);
        let mut find = |key| match (
            state.kept.touch(key),
            state.loading(&key),
            state.damages.of(&key),
        ) {
            (Some((block, source)), ..) => Coming::Here(block, source),
            (None, Some(loading), _) => Coming::Loading(loading),
            (None, None, Some(error)) => Coming::Damaged(error),
            (None, None, None) => Coming::NotNow,
        };
        wanted.iter().map(Place::key).map(&mut find).collect()
    }

    /// Keeps the places in line of the first of those downloads that have not come yet, for somebody who stops waiting for
    /// them and will ask for them again: he would stand at the end each time. The others begin anew. With nobody left who
    /// wants one it is forgotten as before.
    #[must_use]
    pub fn keep(&self, awaited: Vec<Awaited>) -> Option<InLine> {
        let runs = awaited
            .into_iter()
            .filter_map(|awaited| awaited.0.upgrade());
        let mut runs: Vec<Run> = runs.filter(|run| run.peek().is_none()).collect();
        // Blocks of one download mostly follow each other.
        runs.dedup_by(|one, other| one.ptr_eq(other));
        runs.truncate(KEPT_IN_LINE_MAX);
        if runs.is_empty() {
            return None;
        }
        let (wanted, unwanted) = oneshot::channel();
        let mut runs: FuturesUnordered<Run> = runs.into_iter().collect();
        let kept = async move {
            let come = async { while runs.next().await.is_some() {} };
            tokio::select! {
                biased;
                _ = unwanted => {}
                () = come => {}
            }
        };
        self.0.begun.try_send(kept.boxed()).ok()?;
        Some(InLine { _wanted: wanted })
    }

    /// Asks for blocks that will be wanted soon. Best effort.
    pub fn prefetch(&self, wanted: &[Place]) {
        // A full queue means that reading ahead is behind already.
        let _ = self.0.prefetch.try_send(wanted.to_vec());
    }

    /// So long after its last use a block goes, by the next turn of `sweep`.
    pub(super) fn idle(&self) -> Duration {
        self.0.idle
    }

    /// Lets go of what nobody reads; how many blocks, that many at the most.
    pub(super) fn sweep(&self, most: usize) -> usize {
        let mut state = self.0.state.lock();
        // One for which nobody waits has nobody who moves it on.
        (state.loading).retain(|_, begun| begun.run.upgrade().is_some());
        if state.loading.is_empty() {
            state.loading.shrink_to_fit();
        }
        state.damages.forget();
        state.kept.let_go_of_idle(self.0.idle, most)
    }

    /// Serves what is to be read ahead, and sees downloads through, until asked to stop. Only the first caller's does; there
    /// is one such task in an agent.
    pub async fn run(self, mut stop: Stop) {
        let Some(mut queues) = self.0.queues.lock().take() else {
            return;
        };
        let mut prefetching = FuturesUnordered::new();
        let mut downloads = FuturesUnordered::new();
        loop {
            tokio::select! {
                // In this order, so that simulation repeats itself.
                biased;
                () = stop.requested() => return,
                Some(wanted) = queues.prefetches.recv(), if prefetching.len() < PREFETCHES => {
                    let cache = self.clone();
                    prefetching.push(async move { cache.read_ahead(&wanted).await });
                }
                Some(run) = queues.begun.recv() => downloads.push(run),
                Some(()) = prefetching.next() => {}
                Some(()) = downloads.next() => {}
            }
        }
    }

    async fn read_ahead(&self, wanted: &[Place]) {
        for coming in self.begin_for(wanted, Asker::Ahead) {
            // Whoever wants the block later will see why it cannot be read.
            drop(coming.block().await);
        }
    }

    /// Begins a download for every run of blocks that are neither here nor on their way. Whoever asked for them sees them
    /// through while they wait for room, so that nobody reads what nobody waits for; then `run` does.
    fn begin_missing(&self, state: &mut State, wanted: &[Place], asker: Asker) -> Vec<Run> {
        let inner = &self.0;
        let runs = runs(&self.missing(state, wanted, asker));
        let sizes = runs.iter().map(|run| stored_and_raw(run));
        let bytes = sizes.map(|(stored, raw)| stored + raw).sum();
        if bytes == 0 {
            return Vec::new();
        }
        let here = inner.rooms.now(bytes);
        let waits = here.is_none();
        let room = match (here, asker) {
            (Some(room), _) => ready(room).boxed(),
            (None, Asker::Reader) => {
                let firsts = runs.iter().map(|run| run[0].key()).collect();
                in_line(Arc::clone(inner), bytes, firsts).boxed()
            }
            (None, Asker::Ahead) => return Vec::new(),
        };
        let room = room.shared();
        let begin = |places: Vec<Place>| {
            let keys: Vec<Key> = places.iter().map(Place::key).collect();
            let run: Run = load(Arc::clone(inner), places, room.clone())
                .boxed()
                .shared();
            for (index, key) in keys.into_iter().enumerate() {
                let begun = Begun {
                    run: run.downgrade().expect("it has not ended"),
                    index,
                };
                state.loading.insert(key, begun);
            }
            if !waits {
                inner.see_through(run.clone());
            }
            run
        };
        runs.into_iter().map(begin).collect()
    }

    /// The first blocks that must be read, as many as one asker may have read at once.
    fn missing(&self, state: &State, wanted: &[Place], asker: Asker) -> Vec<Place> {
        let bytes_max = match asker {
            Asker::Reader => self.0.rooms.bytes_max(),
            Asker::Ahead => self.0.rooms.left(),
        };
        let (mut keys, mut objects) = (HashSet::new(), HashSet::new());
        let (mut missing, mut left) = (Vec::new(), bytes_max / LOADING_SHARE);
        for place in wanted {
            let key = place.key();
            if !state.is_missing(&key) || !keys.insert(key) {
                continue;
            }
            objects.insert(place.object);
            let (stored, raw) = stored_and_raw(std::slice::from_ref(place));
            let fits = stored + raw <= left && objects.len() <= OBJECTS_AT_ONCE_MAX;
            let first = missing.is_empty() && asker == Asker::Reader;
            if !fits && !first {
                break;
            }
            left = left.saturating_sub(stored + raw);
            missing.push(*place);
        }
        missing.sort_unstable_by_key(Place::key);
        missing
    }
}

/// Room for the runs that begin with these, once it is their turn. From then on they are seen through.
async fn in_line(inner: Arc<Inner>, bytes: u64, firsts: Vec<Key>) -> Room {
    let room = inner.rooms.in_line(bytes).await;
    let state = inner.state.lock();
    let runs = firsts.iter().filter_map(|first| state.loading(first));
    runs.for_each(|loading| inner.see_through(loading.run));
    drop(state);
    room
}

/// One request for a run of blocks, which then are in the cache.
async fn load(
    inner: Arc<Inner>,
    places: Vec<Place>,
    room: Shared<BoxFuture<'static, Room>>,
) -> Downloaded {
    let (stored, raw) = stored_and_raw(&places);
    let mut part = room.await.part(stored + raw);
    inner.state.lock().kept.let_go(inner.kept_max());
    let loaded = download(&inner.store, &places).await;
    // What was stored is unpacked, or is what is kept.
    part.shrink(raw);
    let kept_max = inner.kept_max();
    let mut state = inner.state.lock();
    for (index, place) in places.iter().enumerate() {
        let key = place.key();
        state.loading.remove(&key);
        let block = match &loaded {
            Ok(blocks) => blocks[index].as_ref(),
            Err(error) => Err(error),
        };
        match block {
            Ok(block) => {
                let block = Arc::clone(block);
                state.kept.keep(key, block, Source::Cache, kept_max);
            }
            Err(error) if error.is_damage() => state.damages.remember(key, error),
            Err(_) => {}
        }
    }
    drop(state);
    loaded.map(Arc::new)
}

impl Inner {
    /// What may be kept beside what is being downloaded.
    fn kept_max(&self) -> u64 {
        self.bytes_max.saturating_sub(self.rooms.taken())
    }

    /// Has a download come to its end also when all who asked go away. With no room there, its askers see it through.
    fn see_through(&self, run: Run) {
        let _ = self.begun.try_send(run.map(drop).boxed());
    }
}

impl State {
    /// On its way, and awaited.
    fn loading(&self, key: &Key) -> Option<Loading> {
        let begun = self.loading.get(key)?;
        let (run, index) = (begun.run.upgrade()?, begun.index);
        Some(Loading { run, index })
    }

    /// Neither here, nor on its way, nor known to be damaged.
    fn is_missing(&self, key: &Key) -> bool {
        !self.kept.has(key) && self.loading(key).is_none() && self.damages.of(key).is_none()
    }
}
