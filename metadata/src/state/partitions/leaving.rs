//! Partitions of deleted topics. An object counts the extents that were committed into it, and gets back those that index
//! rows name. So the extents that memory has when a topic is deleted go to index rows all the same, or their objects would
//! count them for ever. It happens before the topic's mark is written: whoever starts with the mark knows nothing of them.

use super::Partitions;
use crate::error::Error;
use crate::keys::Key;
use crate::state::table::{Page, Wrote};
use crate::state::topics::Topics;
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

    /// Writes what is left of those of deleted topics; the topic's mark clears their rows. A topic that goes amid a checkpoint
    /// may be marked by the next one only, and until then a replay goes on from its rows: they must say where index rows end,
    /// or it would write extents of the log a second time. One that the topic's row does not know is made anew by the log.
    pub(crate) fn write_leaving(
        &mut self,
        topics: &mut Topics,
        page: &mut Page,
    ) -> Result<Wrote, Error> {
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
            if let Some(rows) = topics.rows_left_by(partition) {
                rows.remove_all(log.stored.into());
                let row = (page.lsn, log.known.clone());
                page.set(Key::Partition(partition), &row, &mut log.stored);
                rows.add(log.stored);
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
