//! Searches by what rows hold: for `retention.bytes`, DescribeLogDirs and DeleteRecords.

use super::lookup::Lookup;
use super::summary::{Child, Totals};
use super::{Chunk, LEVEL_MAX};
use crate::error::Error;
use crate::types::{Extent, Offset};

impl Lookup<'_> {
    /// What rows hold of the extents that end at `offset` or before.
    pub(crate) async fn before(&self, offset: Offset) -> Result<Totals, Error> {
        let mut totals = Totals::default();
        let stopped = self.skip(|child| {
            let whole = child.end <= offset;
            if whole {
                totals.add(child.totals);
            }
            whole
        });
        if let Some(chunk) = stopped.await? {
            let inside = |e: &&Extent| e.end_offset() <= offset;
            totals.add(Totals::of(chunk.extents.iter().filter(inside)));
        }
        Ok(totals)
    }

    /// What rows hold.
    pub(crate) async fn totals(&self) -> Result<Totals, Error> {
        self.before(Offset(i64::MAX)).await
    }

    /// The first extent of the last that hold at most so many stored bytes together: where the log starts once no more are
    /// retained. `None` where not even the last one may stay.
    pub(crate) async fn start_of_last(&self, stored_bytes: u64) -> Result<Option<Offset>, Error> {
        let all = self.totals().await?.stored_bytes;
        let mut excess = all.saturating_sub(stored_bytes);
        let stopped = self.skip(|child| {
            let whole = child.totals.stored_bytes <= excess && excess > 0;
            if whole {
                excess -= child.totals.stored_bytes;
            }
            whole
        });
        let Some(chunk) = stopped.await? else {
            return Ok(None);
        };
        for extent in &chunk.extents {
            if excess == 0 {
                return Ok(Some(extent.base_offset));
            }
            excess = excess.saturating_sub(Totals::of([extent]).stored_bytes);
        }
        Ok((excess == 0).then(|| chunk.end()))
    }

    /// Passes over what is taken whole, from the beginning on: the chunk in which that ends, if there is one.
    async fn skip(
        &self,
        mut whole: impl FnMut(&Child) -> bool + Send,
    ) -> Result<Option<Chunk>, Error> {
        let mut next = Offset(0);
        for level in (1..=LEVEL_MAX).rev() {
            'level: loop {
                let rows = self.read_summaries(level, next).await?;
                for summary in &rows {
                    for (_, child) in summary.past(next) {
                        if !whole(child) {
                            break 'level;
                        }
                        next = child.end;
                    }
                }
                if rows.is_empty() {
                    break;
                }
            }
        }
        let (from, end) = self.place().past(0, next);
        let chunks = self.read_chunks(from, end, 1, next).await?;
        Ok(chunks.into_iter().next())
    }
}
