//! Goes on where the last rows of an index were damaged or lost: behind them, with rows that begin where memory does. Who
//! reads what they held is told of damage, as before; what comes now is found, and the log need not keep it. Rows that
//! cannot be read are left to whoever may repair them, or bring them back: they end where the new ones begin, or are made
//! to where a checkpoint that was cut short had let them reach further.

use super::append::{Grown, Row, Rows, Tail, append_children, behind};
use super::chunk::{self, Chunk};
use super::summary::{self, Child, Summary};
use super::{LEVEL_MAX, Place};
use crate::kv::Transaction;
use crate::types::{Extent, Offset};

/// Appends what `append` could not. The rows that the next append goes on from, once this one is durable.
pub(crate) fn append_beside(
    place: Place,
    tail: Tail,
    extents: &[Extent],
    writes: &mut Transaction,
) -> Tail {
    let Some(start) = extents.first().map(|first| first.base_offset) else {
        return tail;
    };
    let (chunk, before) = tail.map_or((None, [None, None]), |rows| (rows.chunk, rows.summaries));
    let kept = make_room_for_chunks(place, chunk, start, writes);
    let rows = chunk::cut(None, false, extents);
    let mut grown = Grown {
        base: kept.as_ref().map_or(start, Chunk::base),
        children: kept.iter().chain(&rows).map(Child::of).collect(),
        first: false,
        alone: false,
        last: Row::default(),
    };
    for chunk in &rows {
        let key = place.key(0, chunk.end());
        grown.last = (key.clone(), chunk.encode(&key));
        writes.set(key, grown.last.1.clone());
    }
    let (chunk, mut summaries) = (Some(grown.last.clone()), [None, None]);
    for ((level, tail), last) in (1..=LEVEL_MAX).zip(before).zip(&mut summaries) {
        if grown.alone {
            break;
        }
        let joined = append_children(place, level, tail.clone(), &grown, writes);
        grown = joined.unwrap_or_else(|_| begin_anew(place, level, tail, start, &grown, writes));
        *last = Some(grown.last.clone());
    }
    Some(Rows { chunk, summaries })
}

/// Rows of a level that do not join what is there.
fn begin_anew(
    place: Place,
    level: u8,
    tail: Option<Row>,
    start: Offset,
    below: &Grown,
    writes: &mut Transaction,
) -> Grown {
    make_room_for_summaries(place, level, tail, start, writes);
    let rows = summary::cut(None, false, below.base, &below.children);
    let mut last = Row::default();
    for summary in &rows {
        let key = place.key(level, summary.end());
        last = (key.clone(), summary.encode(&key));
        writes.set(key, last.1.clone());
    }
    Grown {
        base: below.base,
        children: rows.iter().map(Summary::child).collect(),
        first: false,
        alone: false,
        last,
    }
}

/// Takes away what an earlier checkpoint left behind `start`. The chunk that ends there now, and can be read, if it reached
/// further.
fn make_room_for_chunks(
    place: Place,
    tail: Option<Row>,
    start: Offset,
    writes: &mut Transaction,
) -> Option<Chunk> {
    let (key, row) = leftover(place, 0, tail, start, writes)?;
    match Chunk::at(place, &key, row.clone()) {
        Ok(chunk) if chunk.base() >= start => None,
        Ok(mut chunk) if chunk.extents.iter().any(|it| it.end_offset() == start) => {
            chunk.extents.retain(|extent| extent.base_offset < start);
            let key = place.key(0, start);
            writes.set(key.clone(), chunk.encode(&key));
            Some(chunk)
        }
        _ => {
            writes.set(place.key(0, start), row);
            None
        }
    }
}

fn make_room_for_summaries(
    place: Place,
    level: u8,
    tail: Option<Row>,
    start: Offset,
    writes: &mut Transaction,
) {
    let Some((key, row)) = leftover(place, level, tail, start, writes) else {
        return;
    };
    match Summary::at(place, level, &key, row.clone()) {
        Ok(mut summary) => {
            summary.children.retain(|child| child.end <= start);
            if !summary.children.is_empty() {
                let key = place.key(level, summary.end());
                writes.set(key.clone(), summary.encode(&key));
            }
        }
        Err(_) => {
            writes.set(place.key(level, start), row);
        }
    }
}

/// Clears a level's rows behind `start`: memory has all that is in them. The first of them, which may hold more.
fn leftover(
    place: Place,
    level: u8,
    tail: Option<Row>,
    start: Offset,
    writes: &mut Transaction,
) -> Option<Row> {
    let (key, row) = tail?;
    let ends_there = key == place.key(level, start);
    let from = if ends_there {
        behind(&key)
    } else {
        key.clone()
    };
    writes.clear_range(from, place.level_end(level));
    (!ends_there).then_some((key, row))
}
