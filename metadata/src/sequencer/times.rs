//! Offsets by time: what memory says of one, in parts, and then index rows, of all records that were not given up. Asked by
//! handles, as other reads are (`reads`).

use std::ops::Range;

use super::reads::{Moved, Read, index};
use crate::error::Error;
use crate::handle::Metadata;
use crate::index::{Lookup, Place};
use crate::state::PartitionLog;
use crate::types::{Bounds, Extent, Lost, Offset, Timestamp, TopicPartition};

/// Extents that are looked at for one question of a time. A commit may have made a quarter of a million of them, and nobody
/// else is served meanwhile: whoever asks goes on behind them.
const LOOKED_MAX: usize = 16 * 1024;

/// Which extent, by time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimeQuery {
    /// The first that reaches the timestamp.
    AtOrAfter(Timestamp),
    /// The first of those with the largest.
    Largest,
}

/// What memory says of a time. Extents all of whose records were given up are no more, wherever they lie.
#[derive(Debug)]
pub(crate) struct InMemoryByTime {
    bounds: Bounds,
    /// Offsets that index rows hold and that are to be looked at there; no place where there are none.
    indexed: Vec<Range<Offset>>,
    place: Option<Place>,
    found: Option<Extent>,
    /// Memory has more from here on, which nobody looked at.
    next: Option<Offset>,
}

impl InMemoryByTime {
    /// What another process found, with nothing left to look for.
    pub(crate) fn found(extent: Extent) -> Self {
        Self {
            bounds: Bounds::default(),
            indexed: Vec::new(),
            place: None,
            found: Some(extent),
            next: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn is_a_part(&self) -> bool {
        self.next.is_some()
    }

    pub(super) fn look(
        log: &PartitionLog,
        lost: &Lost,
        partition: TopicPartition,
        wanted: TimeQuery,
        from: Offset,
        mut found: Option<Extent>,
    ) -> Self {
        let (bounds, index) = (log.bounds(), partition.partition);
        let recent = log.recent();
        let first = recent.partition_point(|extent| extent.base_offset < from);
        let last = recent.len().min(first + LOOKED_MAX);
        let next = recent.get(last).map(|extent| extent.base_offset);
        for part in lost.left_of(index, from..next.unwrap_or(bounds.high_watermark)) {
            let begin = recent.partition_point(|extent| extent.end_offset() <= part.start);
            let some = recent.range(begin.clamp(first, last)..last);
            let some = some.take_while(|extent| extent.base_offset < part.end);
            found = best(wanted, some, found);
        }
        let indexed = lost.left_of(index, bounds.log_start..log.recent_start());
        Self {
            bounds,
            place: (!indexed.is_empty()).then(|| log.index_of(partition)),
            indexed,
            found,
            next: next.filter(|_| !wanted.is_first(found)),
        }
    }
}

impl TimeQuery {
    /// Whether nothing behind what was found is better.
    fn is_first(self, found: Option<Extent>) -> bool {
        matches!(self, Self::AtOrAfter(_)) && found.is_some()
    }
}

/// The better of `found` and what `extents`, which lie later, have to offer.
fn best<'a>(
    wanted: TimeQuery,
    mut extents: impl Iterator<Item = &'a Extent>,
    found: Option<Extent>,
) -> Option<Extent> {
    match wanted {
        TimeQuery::AtOrAfter(timestamp) => found.or_else(|| {
            extents
                .find(|extent| extent.max_timestamp >= timestamp)
                .copied()
        }),
        TimeQuery::Largest => extents.copied().fold(found, |best, extent| match best {
            Some(best) if best.max_timestamp >= extent.max_timestamp => Some(best),
            _ => Some(extent),
        }),
    }
}

pub(crate) async fn locate_timestamp(
    metadata: &Metadata,
    partition: TopicPartition,
    timestamp: Timestamp,
) -> Result<Option<Extent>, Error> {
    by_time(metadata, partition, TimeQuery::AtOrAfter(timestamp)).await
}

pub(crate) async fn locate_max_timestamp(
    metadata: &Metadata,
    partition: TopicPartition,
) -> Result<Option<Extent>, Error> {
    by_time(metadata, partition, TimeQuery::Largest).await
}

/// Old extents first: they lie before those in memory.
async fn by_time(
    metadata: &Metadata,
    partition: TopicPartition,
    wanted: TimeQuery,
) -> Result<Option<Extent>, Error> {
    let mut moved = Moved::default();
    loop {
        let Some(recent) = memory_by_time(metadata, partition, wanted).await? else {
            return Ok(None);
        };
        let Some(place) = recent.place else {
            return Ok(recent.found);
        };
        match index_by_time(index(metadata, place)?, recent.indexed, wanted).await {
            Err(error @ Error::Damaged(_)) => moved.since(place, &recent.bounds, error)?,
            indexed => return Ok(best(wanted, recent.found.iter(), indexed?)),
        }
    }
}

/// What index rows say of a time, of these offsets.
async fn index_by_time(
    index: Lookup<'_>,
    parts: Vec<Range<Offset>>,
    wanted: TimeQuery,
) -> Result<Option<Extent>, Error> {
    let mut found = None;
    for Range { start, end } in parts {
        let more = match wanted {
            TimeQuery::AtOrAfter(timestamp) => index.at_or_after(start, end, timestamp).await?,
            TimeQuery::Largest => index.largest(start, end).await?,
        };
        found = best(wanted, more.iter(), found);
        if wanted.is_first(found) {
            break;
        }
    }
    Ok(found)
}

/// What memory says of a time, in so many questions as it takes. Extents that move to index rows meanwhile are looked at
/// twice.
async fn memory_by_time(
    metadata: &Metadata,
    partition: TopicPartition,
    wanted: TimeQuery,
) -> Result<Option<InMemoryByTime>, Error> {
    let (mut from, mut found) = (Offset(0), None);
    loop {
        let ask = |reply| Read::ByTime {
            partition,
            wanted,
            from,
            found,
            reply,
        };
        let recent = metadata.read(ask).await?;
        match &recent {
            Some(InMemoryByTime {
                next: Some(next),
                found: best,
                ..
            }) => (from, found) = (*next, *best),
            _ => return Ok(recent),
        }
    }
}
