//! Gives back index rows of what nobody can read any more, a chunk at a time. It happens outside the log: one transaction,
//! fenced as all are, clears a chunk, mends the summaries above it and rewrites the counts of the objects that it named, so
//! a crash leaves all of that or nothing. No effect says it, so nothing that a log still says may be undone by replaying it:
//! a chunk is freed only where memory has none of its extents and none of its objects, and of a partition that is there
//! never while a checkpoint moves rows. `leftovers` frees what deleted topics left.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use futures::future::try_join_all;

use super::Sequencer;
use crate::error::Error;
use crate::index::{self, Freed, Place};
use crate::keys::Key;
use crate::kv::Kv;
use crate::state::{Object, State};
use crate::types::{ObjectKey, Offset, PartitionIndex, Timestamp, TopicPartition};

/// Rows of objects read side by side; a chunk names some hundreds at the most. Some stores do a commit only after all reads
/// that came before it.
const READ_AT_ONCE: usize = 8;

/// What became of freeing a partition's first chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freeing {
    /// It is gone. There may be more.
    Freed {
        /// Where the rest begins, or would.
        rows_start: Offset,
        /// Objects in which nothing lies any more.
        orphaned: usize,
    },
    /// No chunk lies whole where nobody can read.
    Nothing,
    /// There may be one once a checkpoint that has not begun yet is finished.
    NotYet,
}

/// The first chunk of an index with all that freeing it takes, as it was read from the store.
#[derive(Debug)]
pub(super) struct Freeable {
    place: Place,
    freed: Freed,
    /// The objects that it names, where their rows can be read.
    objects: Vec<(ObjectKey, Option<Object>)>,
}

impl Freeable {
    /// Writes nothing. `None`: no chunk lies whole before `below`.
    ///
    /// # Errors
    /// `Damaged` where rows do not agree, or whatever the store says.
    pub(super) async fn read(
        kv: &dyn Kv,
        place: Place,
        below: Offset,
    ) -> Result<Option<Self>, Error> {
        let Some(freed) = index::free_first(kv, place, below).await? else {
            return Ok(None);
        };
        let objects = read_objects(kv, &freed.objects).await?;
        Ok(Some(Self {
            place,
            freed,
            objects,
        }))
    }

    pub(super) fn partition(&self) -> TopicPartition {
        self.place.partition
    }
}

impl Sequencer {
    /// Frees the first chunk of a partition's oldest index, if all of it lies before the log's start, or another generation
    /// took its place, or the topic is gone. A generation to come stays as it is.
    ///
    /// # Errors
    /// `Damaged` where rows do not agree: nothing was written, and whoever called can go on. Anything else as any write of
    /// this process: `Unavailable` says whether it may have happened, and the state must be loaded anew.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "what moves the start of a log, and calls it, comes with its own issue"
        )
    )]
    pub(super) async fn free_chunk(&mut self, partition: TopicPartition) -> Result<Freeing, Error> {
        let kv = self.kv.as_ref();
        let PartitionIndex(number) = partition.partition;
        let Some(place) = index::oldest(kv, partition.topic, number..number + 1).await? else {
            return Ok(Freeing::Nothing);
        };
        let below = unreadable_below(&self.state, place);
        match Freeable::read(kv, place, below).await? {
            Some(found) => self.free(found).await,
            None => Ok(Freeing::Nothing),
        }
    }

    /// Frees what was read, if nobody can read it and nothing brings it back. Of a partition that is there it must have been
    /// read just now; those of a deleted topic change no more, once it is cleared.
    ///
    /// # Errors
    /// As [`Sequencer::free_chunk`].
    pub(super) async fn free(&mut self, found: Freeable) -> Result<Freeing, Error> {
        let Freeable {
            place,
            freed,
            objects,
        } = found;
        if freed.end > unreadable_below(&self.state, place) {
            return Ok(Freeing::Nothing);
        }
        let is_there = self.state.partitions.get(place.partition).is_some();
        let in_memory = |key: &ObjectKey| self.state.objects.get(*key).is_some();
        if (is_there && self.checkpoint.is_some()) || freed.objects.keys().any(in_memory) {
            return Ok(Freeing::NotYet);
        }
        // Not that of the last drain, which may be long past: too early a time is too early a deletion.
        let (lsn, now) = (self.state.lsn, self.time.now());
        let (mut writes, mut orphaned) = (freed.writes, 0);
        for (key, known) in objects {
            let extents = freed.objects.get(&key).copied().unwrap_or(0);
            let object = released(key, known, extents, now)?;
            orphaned += usize::from(object.references == 0);
            let row_key = Key::Object(key).encode();
            let row = object.to_row(&row_key, lsn);
            writes.set(row_key, row);
        }
        self.holder
            .write(self.kv.as_ref(), writes, &self.options)
            .await?;
        Ok(Freeing::Freed {
            rows_start: freed.end,
            orphaned,
        })
    }
}

/// What ends before that offset nobody can read, nor will a checkpoint write it again.
fn unreadable_below(state: &State, place: Place) -> Offset {
    let (none, all) = (Offset(0), Offset(i64::MAX));
    let Some(log) = state.partitions.get(place.partition) else {
        return match state.topics.is_cleared(place.partition.topic) {
            true => all,
            false => none,
        };
    };
    match place
        .generation
        .cmp(&log.index_of(place.partition).generation)
    {
        Ordering::Less => all,
        Ordering::Equal => log.bounds().log_start.min(log.recent_start()),
        Ordering::Greater => none,
    }
}

/// As their rows say, where these can be read.
async fn read_objects(
    kv: &dyn Kv,
    objects: &BTreeMap<ObjectKey, u32>,
) -> Result<Vec<(ObjectKey, Option<Object>)>, Error> {
    let keys: Vec<ObjectKey> = objects.keys().copied().collect();
    let mut found = Vec::with_capacity(keys.len());
    for some in keys.chunks(READ_AT_ONCE) {
        let rows = some.iter().copied().map(|object| async move {
            let key = Key::Object(object).encode();
            let row = kv.get(&key).await?;
            let known = row.and_then(|row| Object::from_row(&key, row).ok());
            Ok::<_, Error>((object, known))
        });
        found.extend(try_join_all(rows).await?);
    }
    Ok(found)
}

fn released(
    key: ObjectKey,
    known: Option<Object>,
    extents: u32,
    now: Timestamp,
) -> Result<Object, Error> {
    let released = known.and_then(|object| object.released(extents, now));
    released.ok_or_else(|| {
        let reason = format!(
            "object {key} is not known to hold the {extents} extents that an index row has in it"
        );
        Error::Damaged(reason)
    })
}
