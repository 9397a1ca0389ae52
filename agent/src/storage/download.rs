//! Blocks from the bucket: neighbours of an object come with one request, and each is compared with what the metadata says
//! of it before anybody sees it. Called by `cache`.

use std::sync::Arc;

use bytes::Bytes;
use metadata::{BlockCodec, BlockRange, ObjectKey, TopicPartition};

use super::error::{ErrorKind, StoreError};
use super::segment::{SegmentError, decode_block};
use super::store::{Cause, Store};
use crate::tasks::compute;

/// Blocks of an object that lie no farther apart are read at once.
const GAP_MAX: u64 = 64 * 1024;
/// Bytes read at once.
const RUN_MAX: u64 = 8 * 1024 * 1024;

/// Whole record batches of one block, in order.
pub type RawBlock = Arc<[Bytes]>;

/// Where a block lies and whose it is, as the metadata says. Bytes that are not that block's are not served, whoever asks
/// for them under another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub object: ObjectKey,
    pub range: BlockRange,
    pub owner: TopicPartition,
}

impl Place {
    pub(super) fn key(&self) -> Key {
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

/// Object, position, checksum, owner: everything by which a block is told from another.
pub(super) type Key = (ObjectKey, u32, u32, TopicPartition);

/// The blocks of a download, in its order. One that is damaged does not keep its neighbours from their readers.
pub(super) type Blocks = Vec<Result<RawBlock, StoreError>>;

/// Groups neighbours in an object.
pub(super) fn runs(places: &[Place]) -> Vec<Vec<Place>> {
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

/// What reading a run takes at the most, as it is stored and unpacked.
pub(super) fn stored_and_raw(run: &[Place]) -> (u64, u64) {
    let stored = end(run) - u64::from(run[0].range.position);
    let raw = run.iter().map(|place| u64::from(place.range.raw_length));
    (stored, raw.sum())
}

/// Where the last byte of a run lies. Places that overlap are damage, which shows when they are read.
fn end(run: &[Place]) -> u64 {
    run.iter().map(Place::end).max().unwrap_or_default()
}

/// One request for a run of blocks; two where some of what came was not that: a bucket may send other bytes once, or only
/// some, and damage is what stays.
pub(super) async fn download(store: &Store, places: &[Place]) -> Result<Blocks, StoreError> {
    let mut blocks = ask(store, places).await?;
    let damaged = |block: &Result<RawBlock, StoreError>| {
        let error = block.as_ref().err();
        error.is_some_and(|error| error.kind == ErrorKind::Corrupt)
    };
    if blocks.iter().any(damaged)
        && let Ok(again) = ask(store, places).await
    {
        for (block, again) in blocks.iter_mut().zip(again) {
            if damaged(block) {
                *block = again;
            }
        }
    }
    Ok(blocks)
}

async fn ask(store: &Store, places: &[Place]) -> Result<Blocks, StoreError> {
    let first = places[0].range.position;
    let all = u64::from(first)..end(places);
    let stored = store.get_range(places[0].object, all, Cause::Fetch).await?;
    let places = places.to_vec();
    let blocks = compute(move || {
        // A slice would keep the whole run in memory, uncounted.
        let alone = places.len() == 1;
        let decoded = places
            .iter()
            .map(|place| decode(&stored, first, place, alone));
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
