//! Searches in a partition's index, each of which reads a row or two of each level. A row that a summary names and that is
//! not there is damage; so is one that cannot be read.

use bytes::Bytes;

use super::summary::{Child, Summary};
use super::{Chunk, LEVEL_MAX, Place};
use crate::error::Error;
use crate::kv::{Direction, Kv};
use crate::types::{Extent, Offset, Timestamp};

/// Chunks read at a time by whoever goes on and on.
const CHUNKS_PER_READ: usize = 16;
/// Summary rows read at a time. One is nearly always enough.
const SUMMARIES_PER_READ: usize = 4;

/// An index to be searched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup<'a> {
    kv: &'a dyn Kv,
    place: Place,
}

/// What a level says.
enum Scan {
    /// No row of it ends past the offset.
    Nothing,
    /// There are rows, and in none what is wanted.
    None,
    Child(Child),
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(kv: &'a dyn Kv, place: Place) -> Self {
        Self { kv, place }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// The chunk that holds `offset` and those after it; none past the end of rows. That they follow one another the
    /// caller sees.
    pub(crate) async fn chunks(&self, offset: Offset) -> Result<Vec<Chunk>, Error> {
        let (from, end) = self.place.past(0, offset);
        self.read_chunks(from, end, CHUNKS_PER_READ, offset).await
    }

    /// The first extent that ends past `from`, begins before `until` and reaches the timestamp.
    pub(crate) async fn at_or_after(
        &self,
        from: Offset,
        until: Offset,
        timestamp: Timestamp,
    ) -> Result<Option<Extent>, Error> {
        let mut next = from;
        while next < until {
            let wanted = |child: &Child| child.max_timestamp >= timestamp;
            let Some(chunk) = self.first_chunk(next, wanted).await? else {
                return Ok(None);
            };
            let live = |e: &&Extent| e.end_offset() > from && e.base_offset < until;
            let mut live = chunk.extents.iter().filter(live);
            if let Some(found) = live.find(|extent| extent.max_timestamp >= timestamp) {
                return Ok(Some(*found));
            }
            // Only what lies before `from` or at `until` made it look late enough.
            next = chunk.end();
        }
        Ok(None)
    }

    /// The first of the extents with the largest timestamp, among those that end past `from` and begin before `until`.
    pub(crate) async fn largest(
        &self,
        from: Offset,
        until: Offset,
    ) -> Result<Option<Extent>, Error> {
        // The chunk that holds `from` may have its largest before it, so it is looked at by itself.
        let Some(chunk) = self.first_chunk(from, |_| true).await? else {
            return Ok(None);
        };
        let live = |e: &&Extent| e.end_offset() > from && e.base_offset < until;
        let first = largest(chunk.extents.iter().filter(live));
        let rest = match chunk.end() < until {
            true => self.largest_past(chunk.end()).await?,
            false => None,
        };
        match (first, rest) {
            (first, Some(rest)) if first.is_none_or(|first| first.max_timestamp < rest) => {
                self.at_or_after(chunk.end(), until, rest).await
            }
            (first, _) => Ok(first),
        }
    }

    /// The first chunk that ends past `from` and is wanted.
    async fn first_chunk(
        &self,
        from: Offset,
        wanted: impl Fn(&Child) -> bool + Sync,
    ) -> Result<Option<Chunk>, Error> {
        let mut next = from;
        loop {
            let summary = match self.scan(LEVEL_MAX, next, &wanted).await? {
                Scan::None => return Ok(None),
                Scan::Child(child) => self.summary(1, child.end).await?,
                Scan::Nothing => match self.scan(1, next, &wanted).await? {
                    Scan::None => return Ok(None),
                    Scan::Child(child) => return self.chunk(child.end).await.map(Some),
                    // A single chunk, if any.
                    Scan::Nothing => {
                        let (start, end) = self.place.past(0, next);
                        let chunks = self.read_chunks(start, end, 1, next).await?;
                        return Ok(chunks.into_iter().next());
                    }
                },
            };
            let child = summary.past(next).find(|(_, child)| wanted(child));
            if let Some((_, child)) = child {
                return self.chunk(child.end).await.map(Some);
            }
            next = summary.end();
        }
    }

    /// The largest timestamp of the chunks past `from`, where one ends.
    async fn largest_past(&self, from: Offset) -> Result<Option<Timestamp>, Error> {
        let mut largest = None;
        let mut next = from;
        loop {
            let rows = self.read_summaries(LEVEL_MAX, next).await?;
            for summary in &rows {
                // A row that begins before is looked into below.
                let whole = summary.past(next).filter(|(base, _)| *base >= from);
                largest = largest.max(whole.map(|(_, child)| child.max_timestamp).max());
                next = summary.end();
            }
            if rows.is_empty() {
                break;
            }
        }
        // Of the row that holds `from`; or of the only one, while there is no level above.
        if let Some(summary) = self.read_summaries(1, from).await?.first() {
            let rest = summary.past(from).map(|(_, child)| child.max_timestamp);
            largest = largest.max(rest.max());
        }
        Ok(largest)
    }

    async fn scan(
        &self,
        level: u8,
        from: Offset,
        wanted: &(impl Fn(&Child) -> bool + Sync),
    ) -> Result<Scan, Error> {
        let mut next = from;
        let mut scan = Scan::Nothing;
        loop {
            let rows = self.read_summaries(level, next).await?;
            for summary in &rows {
                let child = summary.past(next).find(|(_, child)| wanted(child));
                if let Some((_, child)) = child {
                    return Ok(Scan::Child(*child));
                }
                next = summary.end();
                scan = Scan::None;
            }
            if rows.is_empty() {
                return Ok(scan);
            }
        }
    }

    pub(super) async fn read_chunks(
        &self,
        from: Bytes,
        end: Bytes,
        limit: usize,
        offset: Offset,
    ) -> Result<Vec<Chunk>, Error> {
        let rows = self.kv.range(&from, &end, limit, Direction::Forward);
        let mut chunks: Vec<Chunk> = Vec::new();
        for (key, row) in rows.await? {
            match Chunk::at(self.place, &key, row) {
                Ok(chunk) => chunks.push(chunk),
                // What lies before it is good; who goes on there is told.
                Err(_) if !chunks.is_empty() => break,
                Err(_) => return Err(self.place.hole(offset)),
            }
        }
        Ok(chunks)
    }

    pub(super) async fn read_summaries(
        &self,
        level: u8,
        from: Offset,
    ) -> Result<Vec<Summary>, Error> {
        let (start, end) = self.place.past(level, from);
        let rows = self
            .kv
            .range(&start, &end, SUMMARIES_PER_READ, Direction::Forward);
        let summaries = rows.await?.into_iter().map(|(key, row)| {
            Summary::at(self.place, level, &key, row).map_err(|_| self.place.hole(from))
        });
        summaries.collect()
    }

    async fn chunk(&self, end: Offset) -> Result<Chunk, Error> {
        let key = self.place.key(0, end);
        let row = self.kv.get(&key).await?;
        let chunk = row.and_then(|row| Chunk::at(self.place, &key, row).ok());
        chunk.ok_or_else(|| self.place.hole(Offset(end.0 - 1)))
    }

    async fn summary(&self, level: u8, end: Offset) -> Result<Summary, Error> {
        let key = self.place.key(level, end);
        let row = self.kv.get(&key).await?;
        let summary = row.and_then(|row| Summary::at(self.place, level, &key, row).ok());
        summary.ok_or_else(|| self.place.hole(Offset(end.0 - 1)))
    }
}

/// The first of those with the largest timestamp.
pub(crate) fn largest<'a>(extents: impl IntoIterator<Item = &'a Extent>) -> Option<Extent> {
    let larger = |best: Option<Extent>, extent: &Extent| match best {
        Some(best) if best.max_timestamp >= extent.max_timestamp => Some(best),
        _ => Some(*extent),
    };
    extents.into_iter().fold(None, larger)
}
