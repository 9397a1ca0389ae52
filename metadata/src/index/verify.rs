//! Whether the rows of an index are what they say: chunks without a gap, and summaries that are right of every row below.

use bytes::Bytes;

use super::summary::{Child, Summary};
use super::{Chunk, LEVEL_MAX, Place, broken};
use crate::error::Error;
use crate::kv::{Direction, Kv};
use crate::types::Offset;

/// Rows read at a time.
const ROWS_PER_READ: usize = 100;

/// Where rows begin and end; `None` where there are none. Reads them all.
///
/// # Errors
/// [`Error::Corrupt`] names the first offset of which rows do not agree.
pub(crate) async fn verify(kv: &dyn Kv, place: Place) -> Result<Option<(Offset, Offset)>, Error> {
    let mut below: Vec<(Offset, Child)> = Vec::new();
    for (key, row) in level(kv, place, 0).await? {
        let chunk = Chunk::at(place, &key, row).map_err(|_| Error::unreadable(&key))?;
        joins(place, &below, chunk.base())?;
        below.push((chunk.base(), Child::of(&chunk)));
    }
    let bounds = below.first().zip(below.last());
    let bounds = bounds.map(|((base, _), (_, last))| (*base, last.end));
    for number in 1..=LEVEL_MAX {
        let rows = level(kv, place, number).await?;
        if rows.is_empty() && below.len() <= 1 {
            break;
        }
        let mut children = below.iter();
        let mut these = Vec::new();
        for (key, row) in rows {
            let summary = Summary::at(place, number, &key, row);
            let summary = summary.map_err(|_| Error::unreadable(&key))?;
            joins(place, &these, summary.base)?;
            for (base, child) in summary.past(summary.base) {
                if children.next() != Some(&(base, *child)) {
                    return Err(broken(place.partition, base, child.end));
                }
            }
            these.push((summary.base, summary.child()));
        }
        if let Some((base, child)) = children.next() {
            return Err(broken(place.partition, *base, child.end));
        }
        below = these;
    }
    Ok(bounds)
}

fn joins(place: Place, before: &[(Offset, Child)], base: Offset) -> Result<(), Error> {
    match before.last() {
        Some((_, last)) if last.end != base => Err(broken(place.partition, last.end, base)),
        _ => Ok(()),
    }
}

async fn level(kv: &dyn Kv, place: Place, level: u8) -> Result<Vec<(Bytes, Bytes)>, Error> {
    let (mut from, end) = (place.key(level, Offset(0)), place.level_end(level));
    let mut rows = Vec::new();
    loop {
        let more = kv
            .range(&from, &end, ROWS_PER_READ, Direction::Forward)
            .await?;
        let Some((last, _)) = more.last() else {
            return Ok(rows);
        };
        from = [last.as_ref(), &[0]].concat().into();
        rows.extend(more);
    }
}
