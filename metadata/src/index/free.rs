//! Gives back the rows of extents before the log's start, a chunk at a time: clears it, and mends the summaries above.
//! `sequencer/free` says when, and rewrites the counts of the objects it named in the same transaction.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::summary::Summary;
use super::{Chunk, LEVEL_MAX, Place};
use crate::codec::Unreadable;
use crate::error::Error;
use crate::keys::Key;
use crate::kv::{Direction, Kv, Transaction};
use crate::types::{Extent, ObjectKey, Offset, PartitionIndex, TopicId, TopicPartition};

/// What freeing a chunk takes.
#[derive(Debug)]
pub(crate) struct Freed {
    /// The index's part of the transaction.
    pub(crate) writes: Transaction,
    /// Objects with how many fewer extents lie in them: the caller writes their rows in the same transaction.
    pub(crate) objects: BTreeMap<ObjectKey, u32>,
    /// Where rows begin then.
    pub(crate) end: Offset,
}

/// Of some of a topic's partitions the first one of which there are index rows, and its oldest generation. Reads one row.
pub(crate) async fn oldest(
    kv: &dyn Kv,
    topic: TopicId,
    partitions: Range<i32>,
) -> Result<Option<Place>, Error> {
    let from = |partition| {
        let partition = PartitionIndex(partition);
        let place = Place {
            partition: TopicPartition { topic, partition },
            generation: 0,
        };
        place.key(0, Offset(0))
    };
    let (from, end) = (from(partitions.start), from(partitions.end));
    let rows = kv.range(&from, &end, 1, Direction::Forward).await?;
    match rows.first().map(|(key, _)| Key::decode(key)).transpose()? {
        Some(Key::Index(partition, generation, ..)) => Ok(Some(Place {
            partition,
            generation,
        })),
        _ => Ok(None),
    }
}

/// Plans to free a partition's first chunk, if all of it lies before `below`.
///
/// # Errors
/// [`Error::Damaged`] where rows cannot be read, or summaries do not begin with the first chunk: then it stays as it is.
pub(crate) async fn free_first(
    kv: &dyn Kv,
    place: Place,
    below: Offset,
) -> Result<Option<Freed>, Error> {
    let Some((key, row)) = first(kv, place, 0).await? else {
        return Ok(None);
    };
    let damaged = |_| {
        Error::Damaged(format!(
            "the first index rows of partition {} of topic {} cannot be read, or do not agree",
            place.partition.partition.0, place.partition.topic
        ))
    };
    let chunk = Chunk::at(place, &key, row).map_err(damaged)?;
    let end = chunk.end();
    if end > below {
        return Ok(None);
    }
    let mut writes = Transaction::default();
    writes.clear(key);
    // Of the row below: gone, or with what it says now.
    let mut changed = None;
    for level in 1..=LEVEL_MAX {
        let Some((key, row)) = first(kv, place, level).await? else {
            break;
        };
        let mut summary = Summary::at(place, level, &key, row).map_err(damaged)?;
        let child = summary.children.first_mut();
        let child = child.filter(|child| child.end >= end);
        let child = child.ok_or(Unreadable).map_err(damaged)?;
        summary.base = end;
        match changed {
            Some(now) => *child = now,
            None => drop(summary.children.remove(0)),
        }
        if summary.children.is_empty() {
            writes.clear(key);
            changed = None;
        } else {
            let row = summary.encode(&key);
            writes.set(key, row);
            changed = Some(summary.child());
        }
    }
    let mut objects = BTreeMap::new();
    for stored in chunk.extents.iter().filter_map(Extent::stored) {
        *objects.entry(stored.object).or_default() += 1;
    }
    Ok(Some(Freed {
        writes,
        objects,
        end,
    }))
}

async fn first(kv: &dyn Kv, place: Place, level: u8) -> Result<Option<(Bytes, Bytes)>, Error> {
    let (from, end) = (place.key(level, Offset(0)), place.level_end(level));
    let rows = kv.range(&from, &end, 1, Direction::Forward).await?;
    Ok(rows.into_iter().next())
}
