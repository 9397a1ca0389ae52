//! Extents to rows: the last row of each level is rewritten while it has room, and what an earlier checkpoint, cut short by
//! a crash, left past where memory begins is replaced.

use bytes::Bytes;
use futures::future::try_join;

use super::chunk::{self, Chunk};
use super::summary::{self, Child, Summary};
use super::{LEVEL_MAX, Place, broken};
use crate::error::Error;
use crate::kv::{Direction, Kv, KvError, Transaction};
use crate::types::{Extent, Offset};

pub(super) type Row = (Bytes, Bytes);

/// The rows that an append goes on from, if there are any.
pub(crate) type Tail = Option<Rows>;

/// The first of each level that ends where memory begins, or behind. A level is not there while the one below has a single
/// row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(super) chunk: Option<Row>,
    /// Of levels 1 and 2.
    pub(super) summaries: [Option<Row>; 2],
}

/// Reads what an append of extents from `start` on needs.
pub(crate) async fn read_tail(kv: &dyn Kv, place: Place, start: Offset) -> Result<Tail, Error> {
    if start.0 <= 0 {
        return Ok(None);
    }
    let last = async |level| {
        let (from, end) = (place.key(level, start), place.level_end(level));
        let rows = kv.range(&from, &end, 1, Direction::Forward).await?;
        Ok::<_, KvError>(rows.into_iter().next())
    };
    let chunk = last(0).await?;
    let is_first = |(key, row): &Row| Chunk::is_first(key, row);
    let summaries = match chunk.as_ref().is_some_and(is_first) {
        true => [None, None],
        false => try_join(last(1), last(2)).await?.into(),
    };
    Ok(Some(Rows { chunk, summaries }))
}

/// Appends to a partition's index rows what `tail` was read for. The rows that the next append goes on from, once this one
/// is durable.
///
/// # Errors
/// [`Error::Corrupt`] where rows cannot be read, or do not reach the first extent: then nothing is written, and the index
/// goes on beside them (`beside.rs`).
pub(crate) fn append(
    place: Place,
    log_start: Offset,
    tail: Tail,
    extents: &[Extent],
    writes: &mut Transaction,
) -> Result<Tail, Error> {
    let Some(start) = extents.first().map(|first| first.base_offset) else {
        return Ok(tail);
    };
    let before = writes.writes.len();
    let appended = append_levels(place, log_start, tail, extents, start, writes);
    if appended.is_err() {
        writes.writes.truncate(before);
    }
    appended.map(Some)
}

fn append_levels(
    place: Place,
    log_start: Offset,
    tail: Tail,
    extents: &[Extent],
    start: Offset,
    writes: &mut Transaction,
) -> Result<Rows, Error> {
    let (chunk, before) = tail.map_or((None, [None, None]), |rows| (rows.chunk, rows.summaries));
    let mut grown = append_chunks(place, log_start, chunk, extents, start, writes)?;
    let (chunk, mut summaries) = (Some(grown.last.clone()), [None, None]);
    for ((level, tail), last) in (1..=LEVEL_MAX).zip(before).zip(&mut summaries) {
        if grown.alone {
            break;
        }
        grown = append_children(place, level, tail, &grown, writes)?;
        *last = Some(grown.last.clone());
    }
    Ok(Rows { chunk, summaries })
}

/// What a level hands to the one above.
pub(super) struct Grown {
    /// Where the first of the children begins: what was said of rows up to here still holds.
    pub(super) base: Offset,
    pub(super) children: Vec<Child>,
    /// No level above has rows of before.
    pub(super) first: bool,
    /// The level has a single row, and needs none above.
    pub(super) alone: bool,
    /// The level's last row.
    pub(super) last: Row,
}

/// Clears a level's rows from a key on; and those of all above, where none is needed.
fn clear(place: Place, level: u8, from: Bytes, alone: bool, writes: &mut Transaction) {
    let end = match alone {
        true => place.end(),
        false => place.level_end(level),
    };
    writes.clear_range(from, end);
}

pub(super) fn behind(key: &Bytes) -> Bytes {
    [key.as_ref(), &[0]].concat().into()
}

fn append_chunks(
    place: Place,
    log_start: Offset,
    tail: Option<Row>,
    extents: &[Extent],
    start: Offset,
    writes: &mut Transaction,
) -> Result<Grown, Error> {
    let (mut kept, mut open, mut first) = (None, None, true);
    let mut from = place.key(0, Offset(0));
    let mut rows_end = log_start;
    if let Some((key, row)) = tail {
        let row_bytes = row.len();
        let mut chunk = Chunk::at(place, &key, row).map_err(|_| Error::unreadable(&key))?;
        let ends_here = chunk.end() == start;
        first = chunk.first;
        from = key;
        chunk.extents.retain(|extent| extent.base_offset < start);
        rows_end = rows_end.max(chunk.end());
        if ends_here && !Chunk::has_room(row_bytes) {
            from = behind(&from);
            kept = Some(chunk);
        } else if !chunk.extents.is_empty() {
            open = Some(chunk);
        }
    }
    // Rows end where memory begins; they may be gone where the log starts later.
    if rows_end < start || rows_end > start.max(log_start) {
        return Err(broken(place.partition, rows_end, start));
    }
    let rows = chunk::cut(open, first && kept.is_none(), extents);
    let alone = first && kept.is_none() && rows.len() == 1;
    clear(place, 0, from.clone(), alone, writes);
    let mut last = Row::default();
    for chunk in &rows {
        let key = place.key(0, chunk.end());
        let row = chunk.encode(&key);
        writes.set(key.clone(), row.clone());
        last = (key, row);
    }
    planted!(
        "checkpoint-clears-what-it-wrote",
        clear(place, 0, from, alone, writes)
    );
    // A row that stays as it is was summed up before, if any was.
    let kept = kept.filter(|_| first);
    let base = kept.as_ref().or(rows.first()).map_or(start, Chunk::base);
    Ok(Grown {
        base,
        children: kept.iter().chain(&rows).map(Child::of).collect(),
        first,
        alone,
        last,
    })
}

/// Nothing is written where it fails.
pub(super) fn append_children(
    place: Place,
    level: u8,
    tail: Option<Row>,
    below: &Grown,
    writes: &mut Transaction,
) -> Result<Grown, Error> {
    let (mut kept, mut open, mut first) = (None, None, true);
    let mut from = place.key(level, Offset(0));
    let mut rows_end = below.base;
    match tail.filter(|_| !below.first) {
        None if !below.first => return Err(broken(place.partition, below.base, Offset(0))),
        None => {}
        Some((key, row)) => {
            let summary = Summary::at(place, level, &key, row);
            let mut summary = summary.map_err(|_| Error::unreadable(&key))?;
            let full = !summary.has_room();
            let before = summary.children.len();
            first = summary.first;
            from = key;
            summary.children.retain(|child| child.end <= below.base);
            rows_end = summary.end();
            if full && summary.children.len() == before {
                from = behind(&from);
                kept = Some(summary);
            } else if !summary.children.is_empty() {
                open = Some(summary);
            }
        }
    }
    if rows_end != below.base {
        return Err(broken(place.partition, rows_end, below.base));
    }
    let fresh = first && kept.is_none();
    let rows = summary::cut(open, fresh, below.base, &below.children);
    let alone = fresh && rows.len() == 1;
    clear(place, level, from, alone, writes);
    let mut last = Row::default();
    for summary in &rows {
        let key = place.key(level, summary.end());
        let row = summary.encode(&key);
        writes.set(key.clone(), row.clone());
        last = (key, row);
    }
    let kept = kept.filter(|_| first);
    let base = kept.as_ref().or(rows.first());
    Ok(Grown {
        base: base.map_or(below.base, |summary| summary.base),
        children: kept.iter().chain(&rows).map(Summary::child).collect(),
        first,
        alone,
        last,
    })
}
