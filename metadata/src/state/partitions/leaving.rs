//! Partitions of deleted topics. An object counts the extents that were committed into it, and gets back those that index
//! rows name. So the extents that memory has when a topic is deleted go to index rows all the same, or their objects would
//! count them for ever. It happens before the topic's mark is written: whoever starts with the mark knows nothing of them.

use super::Partitions;
use crate::error::Error;
use crate::state::table::{Page, Wrote};
use crate::types::{PartitionIndex, TopicId, TopicPartition};

#[cfg(test)]
use super::PartitionLog;

impl Partitions {
    /// The topic is gone.
    pub(super) fn leave(&mut self, topic: TopicId) {
        let made = self.by_topic.remove(&topic).map(super::Pages::into_made);
        for (index, log) in made.into_iter().flatten() {
            if !log.recent.is_empty() {
                let partition = PartitionIndex(index);
                self.leaving
                    .insert(TopicPartition { topic, partition }, log);
            }
        }
    }

    /// Writes what is left of those of deleted topics. Their rows stay as they are: the topic's mark clears them.
    pub(crate) fn write_leaving(&mut self, page: &mut Page) -> Result<Wrote, Error> {
        while let Some(mut first) = self.leaving.first_entry() {
            if page.is_full() {
                return Ok(Wrote::Full);
            }
            let partition = *first.key();
            let log = first.get_mut();
            if !page.tails.contains_key(&log.index_of(partition)) {
                return Ok(Wrote::NeedsTail);
            }
            if !log.write_extents(partition, page)? {
                return Ok(Wrote::Full);
            }
            first.remove();
        }
        Ok(Wrote::All)
    }

    /// Those of deleted topics whose extents are not in index rows yet.
    #[cfg(test)]
    pub(crate) fn leaving(&self) -> impl Iterator<Item = (TopicPartition, &PartitionLog)> {
        self.leaving
            .iter()
            .map(|(partition, log)| (*partition, log))
    }
}
