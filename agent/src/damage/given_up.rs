//! Records that an operator gave up (`penstock metadata mark-lost`): a reader who gets there goes on behind them, as it does
//! where log compaction left nothing.

use std::sync::Arc;
use std::time::Duration;

use metadata::{
    Catalogue, Content, Extent, ExtentFlags, Lost, Metadata, Offset, Shown, Timestamp,
    TopicPartition,
};

use crate::said::Said;

/// By where readers go on.
static SAID: Said<(TopicPartition, Offset)> = Said::new(Duration::from_secs(600), 20);

/// What was given up, as far as this agent has heard.
#[derive(Debug)]
pub(crate) struct GivenUp(Arc<Catalogue>);

impl GivenUp {
    pub(crate) fn now(metadata: &Metadata) -> Self {
        Self(metadata.catalogue())
    }

    fn of(&self, at: TopicPartition) -> Option<&Lost> {
        self.0.topic_by_id(at.topic).map(|topic| &topic.lost)
    }

    /// Whether all of an extent was.
    pub(crate) fn covers(&self, at: TopicPartition, extent: &Extent) -> bool {
        let offsets = extent.base_offset..extent.end_offset();
        let lost = self.of(at);
        lost.is_some_and(|lost| lost.covers(at.partition, &offsets))
    }

    /// Where a reader at that offset goes on. One that steps over something is logged, once in a while.
    pub(crate) fn step_over(&self, at: TopicPartition, offset: Offset) -> Offset {
        let lost = self.of(at);
        let Some(end) = lost.and_then(|lost| lost.end_of(at.partition, offset)) else {
            return offset;
        };
        if let Some(unsaid) = SAID.admit((at, end)) {
            let topic = self.0.topic_by_id(at.topic);
            tracing::warn!(
                topic = topic.map(|topic| tracing::field::display(Shown::name(&topic.name))),
                partition = at.partition.0,
                from = offset.0,
                to = end.0 - 1,
                unsaid,
                "readers step over records that were given up as lost"
            );
        }
        end
    }

    /// Extents before the next that was given up: readers get no further at once.
    pub(crate) fn before_next(
        &self,
        at: TopicPartition,
        offset: Offset,
        extents: &mut Vec<Extent>,
    ) {
        let lost = self.of(at);
        if let Some(next) = lost.and_then(|lost| lost.next(at.partition, offset)) {
            extents.retain(|extent| extent.base_offset < next);
        }
    }
}

/// What a reader is told of where nothing follows what was given up.
pub(crate) fn stepped_over(from: Offset, to: Offset) -> Extent {
    Extent {
        base_offset: from,
        offset_span: u32::try_from(to.0.saturating_sub(from.0)).unwrap_or(u32::MAX),
        record_count: 0,
        max_timestamp: Timestamp(0),
        flags: ExtentFlags::default(),
        content: Content::Lost,
    }
}
