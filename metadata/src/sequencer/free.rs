//! Gives back index rows of what nobody can read any more, a chunk at a time. It happens outside the log: one transaction,
//! fenced as all are, clears a chunk, mends the summaries above it and rewrites the counts of the objects that it named, so
//! a crash leaves all of that or nothing. No effect says it, so nothing that a log still says may be undone by replaying it:
//! a chunk is freed only where memory has none of its extents and none of its objects, and never while a checkpoint moves
//! rows.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use futures::future::try_join_all;

use super::Sequencer;
use crate::error::Error;
use crate::index::{self, Place};
use crate::keys::Key;
use crate::kv::{Kv, Transaction};
use crate::state::{Object, State};
use crate::types::{Lsn, ObjectKey, Offset, Timestamp, TopicPartition};

/// Rows of objects read side by side; a chunk names some hundreds at the most.
const READ_AT_ONCE: usize = 64;

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

impl Sequencer {
    /// Frees the first chunk of a partition's oldest index, if all of it lies before the log's start, or another generation
    /// took its place, or the topic is gone. A generation to come stays as it is.
    ///
    /// # Errors
    /// `Damaged` where rows do not agree: nothing was written, and whoever called can go on. Anything else as any write of
    /// this process: `Unavailable` says whether it may have happened, and the state must be loaded anew.
    pub(super) async fn free_chunk(&mut self, partition: TopicPartition) -> Result<Freeing, Error> {
        if self.checkpoint.is_some() {
            return Ok(Freeing::NotYet);
        }
        let kv = self.kv.as_ref();
        let Some(place) = index::oldest(kv, partition).await? else {
            return Ok(Freeing::Nothing);
        };
        let below = unreadable_below(&self.state, place);
        let Some(freed) = index::free_first(kv, place, below).await? else {
            return Ok(Freeing::Nothing);
        };
        let in_memory = |key: &ObjectKey| self.state.objects.get(*key).is_some();
        if freed.objects.keys().any(in_memory) {
            return Ok(Freeing::NotYet);
        }
        let mut writes = freed.writes;
        let as_of = AsOf {
            lsn: self.state.lsn,
            // Not that of the last drain, which may be long past: too early a time is too early a deletion.
            now: self.time.now(),
        };
        let orphaned = release(kv, &freed.objects, as_of, &mut writes).await?;
        self.holder.write(kv, writes, &self.options).await?;
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

#[derive(Clone, Copy)]
struct AsOf {
    lsn: Lsn,
    now: Timestamp,
}

/// Takes extents from objects' counts. How many objects have none left.
async fn release(
    kv: &dyn Kv,
    objects: &BTreeMap<ObjectKey, u32>,
    as_of: AsOf,
    writes: &mut Transaction,
) -> Result<usize, Error> {
    let mut orphaned = 0;
    let objects: Vec<_> = objects.iter().map(|(key, count)| (*key, *count)).collect();
    for some in objects.chunks(READ_AT_ONCE) {
        let rows = some.iter().map(|(object, extents)| async move {
            let key = Key::Object(*object).encode();
            let row = kv.get(&key).await?;
            let known = row.and_then(|row| Object::from_row(&key, row).ok());
            Ok::<_, Error>((key, released(*object, known, *extents, as_of.now)?))
        });
        for (key, object) in try_join_all(rows).await? {
            orphaned += usize::from(object.references == 0);
            let row = object.to_row(&key, as_of.lsn);
            writes.set(key, row);
        }
    }
    Ok(orphaned)
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
