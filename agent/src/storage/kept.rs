//! The blocks that the cache keeps, by when they were last used, and which blocks are damaged. Called by `cache`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::download::{Key, RawBlock};
use super::error::StoreError;

/// So long a block that turned out damaged is called so without another look. Readers ask again at once and without end, and
/// where others' bytes are at hand they do not wait until a slow bucket has said what is wrong; they hear it the next time.
const DAMAGE_MEMORY: Duration = Duration::from_secs(5);
/// Of so many blocks; more are read again for each who asks.
const DAMAGED_MAX: usize = 4096;
/// What an entry takes besides its bytes, about.
const ENTRY_OVERHEAD: u64 = 256;
/// What each batch of a block takes besides its bytes, before the block was stored: its allocation, and who holds it.
const SLICE_OVERHEAD: u64 = 96;
/// Where a block came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In memory because this agent wrote it.
    Own,
    /// In memory because somebody read it before.
    Cache,
    Store,
}

#[derive(Default)]
pub(super) struct Kept {
    blocks: HashMap<Key, Ready>,
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

/// Blocks that were found damaged a moment ago.
#[derive(Default)]
pub(super) struct Damages(HashMap<Key, Damaged>);

/// A block that could not be read, and never will be as long as nobody brings it back.
struct Damaged {
    error: StoreError,
    found: Instant,
}

impl Kept {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.blocks.contains_key(key)
    }

    /// Keeps a block and lets go of those used longest ago. One larger than all there may be is not kept.
    pub(super) fn keep(&mut self, key: Key, block: RawBlock, source: Source, bytes_max: u64) {
        let slices = block
            .iter()
            .map(|slice| slice.len() as u64 + SLICE_OVERHEAD);
        let bytes = slices.sum::<u64>() + ENTRY_OVERHEAD;
        self.remove(key);
        if bytes > bytes_max {
            return;
        }
        self.let_go(bytes_max - bytes);
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

    /// Of those used longest ago, until there are no more bytes than that.
    pub(super) fn let_go(&mut self, bytes_max: u64) {
        while self.bytes > bytes_max {
            let Some((_, oldest)) = self.order.first_key_value() else {
                break;
            };
            self.remove(*oldest);
        }
    }

    pub(super) fn touch(&mut self, key: Key) -> Option<(RawBlock, Source)> {
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

    /// Of those that nobody used for so long, that many at the most. How many went.
    pub(super) fn let_go_of_idle(&mut self, idle: Duration, most: usize) -> usize {
        let mut gone = 0;
        while let Some((_, key)) = self.order.first_key_value() {
            let ready = self.blocks.get(key);
            if gone == most || ready.is_some_and(|ready| ready.used_at.elapsed() < idle) {
                break;
            }
            self.remove(*key);
            gone += 1;
        }
        if self.blocks.is_empty() {
            self.blocks.shrink_to_fit();
        }
        gone
    }
}

impl Damaged {
    fn is_fresh(&self) -> bool {
        self.found.elapsed() < DAMAGE_MEMORY
    }
}

impl Damages {
    pub(super) fn of(&self, key: &Key) -> Option<StoreError> {
        let damaged = self.0.get(key).filter(|damaged| damaged.is_fresh())?;
        Some(damaged.error.clone())
    }

    /// Remembers damage, if there is room.
    pub(super) fn remember(&mut self, key: Key, error: &StoreError) {
        if self.0.len() >= DAMAGED_MAX {
            self.forget();
        }
        if self.0.len() < DAMAGED_MAX || self.0.contains_key(&key) {
            let damaged = Damaged {
                error: error.clone(),
                found: Instant::now(),
            };
            self.0.insert(key, damaged);
        }
    }

    /// What was found too long ago.
    pub(super) fn forget(&mut self) {
        self.0.retain(|_, damaged| damaged.is_fresh());
    }
}
