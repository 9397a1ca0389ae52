//! Searches in a partition's index, each of which reads a row or two of each level. A row that a summary names and that is
//! not there is damage; so is one that cannot be read, and rows that begin behind what is searched for. Checkpoints go on
//! meanwhile: the last row of a level may be replaced by a longer one, so a row is looked for by what it must hold, and
//! what lies past where the search ends is not looked at. Rows may be freed, too, from the first one on: whoever is told of
//! damage asks whether it still looks in the right place. Rows that end before what must be in them are damage, too: a
//! store that went back in time has such, and "there is none" would be a wrong answer.

use std::ops::Range;

use bytes::Bytes;

use super::summary::{Child, Summary};
use super::{Chunk, LEVEL_MAX, Place};
use crate::codec::Unreadable;
use crate::error::Error;
use crate::kv::{Direction, Kv, Rows};
use crate::types::{Extent, Offset, Timestamp};

/// Chunks read at a time by whoever goes on and on.
pub(crate) const CHUNKS_PER_READ: usize = 16;
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
    /// There are rows, which end here, and in none what is wanted.
    None(Offset),
    /// Where it begins, and what is said of it.
    Child(Offset, Child),
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(kv: &'a dyn Kv, place: Place) -> Self {
        Self { kv, place }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// The chunk that holds `offset` and those after it, `most` of them together; none past the end of rows. That they
    /// follow one another the caller sees.
    pub(crate) async fn chunks(&self, offset: Offset, most: usize) -> Result<Vec<Chunk>, Error> {
        let (from, end) = self.place.past(0, offset);
        let most = most.min(CHUNKS_PER_READ);
        self.read_chunks(from, end, most, offset).await
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
            let Some(chunk) = self.first_chunk(next, until, wanted).await? else {
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
        if from >= until {
            return Ok(None);
        }
        // The chunks at both ends may have their largest outside, so they are looked at by themselves.
        let Some(first) = self.first_chunk(from, until, |_| true).await? else {
            return Ok(None);
        };
        let live = |e: &&Extent| e.end_offset() > from && e.base_offset < until;
        let best = largest(first.extents.iter().filter(live));
        if first.end() >= until {
            return Ok(best);
        }
        let Some(last) = self
            .first_chunk(Offset(until.0 - 1), until, |_| true)
            .await?
        else {
            return Ok(best);
        };
        let between = self.largest_between(first.end(), last.base()).await?;
        let best = match between {
            Some(larger) if best.is_none_or(|best| best.max_timestamp < larger) => {
                self.at_or_after(first.end(), last.base(), larger).await?
            }
            _ => best,
        };
        let last = last.extents.iter().filter(live);
        Ok(largest(best.iter().chain(last)))
    }

    /// The first chunk that ends past `from`, begins before `until` and is wanted, of rows that hold everything before
    /// `until`. Whether what lies behind can be read is no matter: it may have been given up.
    async fn first_chunk(
        &self,
        from: Offset,
        until: Offset,
        wanted: impl Fn(&Child) -> bool + Sync,
    ) -> Result<Option<Chunk>, Error> {
        let mut next = from;
        loop {
            let summary = match self.scan(LEVEL_MAX, next..until, &wanted).await? {
                Scan::None(end) => return self.reaches(end, until).map(|()| None),
                Scan::Child(base, _) if base >= until => return Ok(None),
                Scan::Child(base, child) => self.summary(1, base.max(next), child.end).await?,
                Scan::Nothing => match self.scan(1, next..until, &wanted).await? {
                    Scan::None(end) => return self.reaches(end, until).map(|()| None),
                    Scan::Child(base, child) => {
                        return self.chunk_before(until, base, &child).await;
                    }
                    Scan::Nothing => return self.only_chunk(next).await.map(Some),
                },
            };
            let child = summary.past(next).find(|(_, child)| wanted(child));
            if let Some((base, child)) = child {
                return self.chunk_before(until, base, child).await;
            }
            next = summary.end();
        }
    }

    /// The chunk that a summary says to begin there, if that is before `until`.
    async fn chunk_before(
        &self,
        until: Offset,
        base: Offset,
        child: &Child,
    ) -> Result<Option<Chunk>, Error> {
        match base < until {
            true => self.chunk(base, child.end).await.map(Some),
            false => Ok(None),
        }
    }

    /// The only one, while nothing sums it up.
    async fn only_chunk(&self, from: Offset) -> Result<Chunk, Error> {
        let (start, end) = self.place.past(0, from);
        let chunks = self.read_chunks(start, end, 1, from).await?;
        let chunk = chunks.into_iter().next();
        let chunk = chunk.ok_or_else(|| self.place.hole(from))?;
        self.begins(chunk.base(), from)?;
        Ok(chunk)
    }

    /// Nothing is missing between `from` and where a row begins.
    fn begins(&self, base: Offset, from: Offset) -> Result<(), Error> {
        match base <= from {
            true => Ok(()),
            false => Err(self.place.hole(from)),
        }
    }

    /// Nothing is missing between where rows end and `until`.
    fn reaches(&self, end: Offset, until: Offset) -> Result<(), Error> {
        self.begins(until, end)
    }

    /// The largest timestamp of the chunks from `from` to `until`, at both of which one ends.
    async fn largest_between(
        &self,
        from: Offset,
        until: Offset,
    ) -> Result<Option<Timestamp>, Error> {
        if from >= until {
            return Ok(None);
        }
        let whole = |summary: &Summary| {
            let inside = summary
                .past(from)
                .filter(|(base, child)| *base >= from && child.end <= until);
            inside.map(|(_, child)| child.max_timestamp).max()
        };
        let mut largest = None;
        let mut next = from;
        while next < until {
            let rows = self.read_summaries(LEVEL_MAX, next).await?;
            if rows.is_empty() {
                break;
            }
            for summary in &rows {
                self.begins(summary.base, next)?;
                largest = largest.max(whole(summary));
                next = summary.end();
            }
        }
        // Rows of the level below that lie inside only in part; or the only one, while there is no level above.
        for at in [from, Offset(until.0 - 1)] {
            if let Some(summary) = self.read_summaries(1, at).await?.first() {
                self.begins(summary.base, at)?;
                largest = largest.max(whole(summary));
            }
        }
        Ok(largest)
    }

    async fn scan(
        &self,
        level: u8,
        within: Range<Offset>,
        wanted: &(impl Fn(&Child) -> bool + Sync),
    ) -> Result<Scan, Error> {
        let mut next = within.start;
        let mut scan = Scan::Nothing;
        loop {
            let rows = self.read_summaries(level, next).await?;
            for summary in &rows {
                self.begins(summary.base, next)?;
                let child = summary.past(next).find(|(_, child)| wanted(child));
                if let Some((base, child)) = child {
                    return Ok(Scan::Child(base, *child));
                }
                next = summary.end();
                scan = Scan::None(next);
            }
            if rows.is_empty() || next >= within.end {
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
        let chunk = |key: &Bytes, row| Chunk::at(self.place, key, row);
        self.readable(rows.await?, offset, chunk)
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
        let summary = |key: &Bytes, row| Summary::at(self.place, level, key, row);
        self.readable(rows.await?, from, summary)
    }

    /// Rows as far as they can be read. What lies before one that cannot is good; who goes on there is told.
    fn readable<T>(
        &self,
        rows: Rows,
        from: Offset,
        read: impl Fn(&Bytes, Bytes) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, Error> {
        let mut readable = Vec::with_capacity(rows.len());
        for (key, row) in rows {
            match read(&key, row) {
                Ok(row) => readable.push(row),
                Err(_) if !readable.is_empty() => break,
                Err(_) => return Err(self.place.hole(from)),
            }
        }
        Ok(readable)
    }

    /// The chunk that a summary says to lie there. It may reach further by now.
    async fn chunk(&self, base: Offset, end: Offset) -> Result<Chunk, Error> {
        let (from, all) = (self.place.key(0, end), self.place.level_end(0));
        let chunks = self.read_chunks(from, all, 1, Offset(end.0 - 1)).await?;
        let chunk = chunks.into_iter().next();
        let chunk = chunk.filter(|chunk| chunk.base() <= base);
        chunk.ok_or_else(|| self.place.hole(Offset(end.0 - 1)))
    }

    /// The same of a summary.
    async fn summary(&self, level: u8, base: Offset, end: Offset) -> Result<Summary, Error> {
        let rows = self.read_summaries(level, Offset(end.0 - 1)).await?;
        let summary = rows.into_iter().next();
        let summary = summary.filter(|summary| summary.base <= base);
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
