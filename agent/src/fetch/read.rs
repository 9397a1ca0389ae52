//! The bytes of a plan, through the cache. Called by `handler`.

use metadata::{BlockRange, Extent, ObjectKey};

use super::plan::Plan;
use crate::metrics;
use crate::storage::{Cache, RawBlock, Source, StoreError};

/// Reads plans.
#[derive(Debug)]
pub(super) struct Reader {
    cache: Cache,
    metrics: metrics::Fetch,
}

/// An extent with the block it lies in.
#[derive(Debug)]
pub(super) struct ReadExtent {
    pub(super) extent: Extent,
    pub(super) block: RawBlock,
}

/// For each want, its extents; or why there are none.
pub(super) type ReadWant = Result<Vec<ReadExtent>, StoreError>;

impl Reader {
    pub(super) fn new(cache: Cache) -> Self {
        Self {
            cache,
            metrics: metrics::Fetch::new(),
        }
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// All wants side by side: one whose object is out of reach does not hold back the others' bytes.
    pub(super) async fn read(&self, plan: &Plan) -> Vec<ReadWant> {
        if !plan.ahead.is_empty() {
            self.cache.prefetch(&places(&plan.ahead));
        }
        futures::future::join_all(plan.reads.iter().map(|extents| self.read_want(extents))).await
    }

    async fn read_want(&self, extents: &[Extent]) -> ReadWant {
        if extents.is_empty() {
            return Ok(Vec::new());
        }
        let blocks = self.cache.blocks(&places(extents)).await?;
        Ok(extents
            .iter()
            .zip(blocks)
            .map(|(extent, (block, source))| {
                let counter = match source {
                    Source::Own => &self.metrics.from_view,
                    Source::Cache => &self.metrics.from_cache,
                    Source::Store => &self.metrics.from_store,
                };
                counter.increment(u64::from(extent.raw_length));
                ReadExtent {
                    extent: *extent,
                    block,
                }
            })
            .collect())
    }
}

fn places(extents: &[Extent]) -> Vec<(ObjectKey, BlockRange)> {
    extents
        .iter()
        .map(|extent| (extent.object, extent.block))
        .collect()
}
