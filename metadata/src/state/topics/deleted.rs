//! Topics that are gone, until nothing is left of them.

use std::ops::Range;

use super::rows::row;
use super::{TopicState, Topics};
use crate::keys::Key;
use crate::state::table::Page;
use crate::state::tally::{Mark, Tally};
use crate::types::{Lsn, PartitionIndex, TopicId, TopicPartition};

/// A topic that is gone. Its index rows stay until they are given back (`sequencer/leftovers`); one of which there are none
/// leaves nothing once its rows are cleared and no log tells of its end any more: until then no other topic may have its id,
/// for a replay would take that one for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Deleted {
    /// Whether it ever held a record, and its index rows are not given back.
    held: bool,
    /// What it was, until the rows of its partitions are cleared.
    left: Option<Left>,
    /// The drain that deleted it, or a later one.
    since: Lsn,
    /// The row holds everything up to here.
    pub(super) as_of: Lsn,
    /// The row that is there afterwards.
    stored: Mark,
}

#[derive(Clone, Debug)]
struct Left {
    topic: TopicState,
    /// Partitions before this one are cleared.
    cleared: i32,
    /// Rows of its partitions that count as the store's, until the mark is there.
    rows: Tally,
}

impl Deleted {
    /// The rows of topics that are there for it.
    pub(super) fn rows(&self) -> [Mark; 2] {
        let left = self.left.as_ref().map(|left| left.topic.stored);
        [self.stored, left.unwrap_or_default()]
    }
}

impl Topics {
    /// Whether the topic is gone, cleared or not.
    pub(crate) fn is_deleted(&self, topic: TopicId) -> bool {
        self.deleted.contains_key(&topic)
    }

    /// Deleted topics of which something is left.
    pub(crate) fn left(&self) -> usize {
        self.deleted.len()
    }

    /// Whether nothing but the index rows of a deleted topic is left.
    pub(crate) fn is_cleared(&self, topic: TopicId) -> bool {
        (self.deleted.get(&topic)).is_some_and(|deleted| deleted.left.is_none())
    }

    /// The first deleted topic from that id on of which nothing but index rows is left: a checkpoint that began with the
    /// mark is durable, and cleared what is written after topics, as the rows of their producers; and no object in which
    /// the topic's records lie is in memory.
    pub(crate) fn first_leftover(&self, from: TopicId) -> Option<TopicId> {
        let mut deleted = self.deleted.range(from..);
        let is_leftover =
            |gone: &Deleted| gone.held && gone.left.is_none() && gone.as_of <= self.finished;
        let found = deleted.find(|(_, gone)| is_leftover(gone));
        found.map(|(topic, _)| *topic)
    }

    /// No index row of it is left either: the next checkpoint clears its mark. No log says so, and none need: all that it held
    /// was committed before the last checkpoint, so that a replay makes no more of it than the mark.
    pub(crate) fn given_back(&mut self, topic: TopicId) {
        if let Some(gone) = self.deleted.get_mut(&topic) {
            gone.held = false;
            self.dirty.mark(topic);
        }
    }

    pub(super) fn fold_deleted(&mut self, lsn: Lsn, topic: TopicId, held: bool) -> bool {
        let gone = self.by_id.remove(&topic);
        if let Some(gone) = &gone {
            self.forget(gone);
        }
        let was_there = gone.is_some();
        let deleted = self.deleted.entry(topic).or_default();
        deleted.held |= held;
        // Its row may say more.
        deleted.since = deleted.since.max(lsn);
        if let Some(topic) = gone {
            let left = Left {
                topic,
                cleared: 0,
                rows: Tally::default(),
            };
            (deleted.left, deleted.as_of) = (Some(left), Lsn(0));
        }
        self.dirty.mark(topic);
        was_there
    }

    /// Those rows of partitions are left of one that was just deleted.
    pub(in crate::state) fn left_rows(&mut self, topic: TopicId, rows: Tally) {
        let deleted = self.deleted.get_mut(&topic);
        if let Some(left) = deleted.and_then(|deleted| deleted.left.as_mut()) {
            left.rows = rows;
        }
    }

    /// The same, to be changed, where the topic's row in the store says that there is such a partition: whoever starts with
    /// it takes no row of another one.
    pub(in crate::state) fn rows_left_by(&mut self, of: TopicPartition) -> Option<&mut Tally> {
        let left = self.deleted.get_mut(&of.topic)?.left.as_mut()?;
        (of.partition.0 < left.topic.stored_partitions).then_some(&mut left.rows)
    }

    /// Rows of partitions in the store whose topics are deleted, and not marked so there.
    pub(in crate::state) fn rows_left(&self) -> Tally {
        let mut rows = Tally::default();
        let left = self.deleted.values().filter_map(|gone| gone.left.as_ref());
        left.for_each(|left| rows.add_all(left.rows));
        rows
    }

    /// False: there is more to be cleared.
    pub(super) fn write_gone(&mut self, id: TopicId, page: &mut Page) -> bool {
        let Some(gone) = self.deleted.get_mut(&id) else {
            return true;
        };
        let Some(some) = &mut gone.left else {
            if !gone.held {
                // Of one that held a record there is a mark.
                if gone.stored.is_row() {
                    page.clear(Key::Deleted(id), std::mem::take(&mut gone.stored));
                }
                self.vanishing.insert(id);
            }
            return true;
        };
        // None of them counts once the mark is there.
        let rows = std::mem::take(&mut some.rows);
        let (from, total, held) = (some.cleared, some.topic.topic.partitions, gone.held);
        let end = total.min(from.saturating_add(page.clearable()));
        page.cleared(end.saturating_sub(from));
        if end < total {
            // A process that starts in between goes on with it.
            let row = row(page.lsn, &some.topic, Some(held));
            page.set(Key::Topic(id), &row, &mut some.topic.stored);
            clear_partitions(id, from..end, rows, page);
            some.cleared = end;
            return false;
        }
        clear_partitions(id, from..i32::MAX, rows, page);
        page.clear(Key::Topic(id), some.topic.stored);
        let lsn = page.lsn;
        (gone.left, gone.as_of) = (None, lsn);
        if held {
            page.set(Key::Deleted(id), &lsn, &mut gone.stored);
        } else {
            self.vanishing.insert(id);
        }
        true
    }

    /// The checkpoint that began at that drain is durable: what it cleared is gone, unless the log goes on telling of it.
    pub(super) fn vanish(&mut self, at: Lsn) {
        for id in std::mem::take(&mut self.vanishing) {
            match self.deleted.get(&id) {
                Some(gone) if gone.since > at => self.dirty.mark(id),
                _ => drop(self.deleted.remove(&id)),
            }
        }
    }

    /// One whose rows are still to be cleared, as its row says.
    pub(super) fn load_gone(&mut self, topic: TopicState, held: bool) {
        let (id, as_of) = (topic.topic.id, topic.as_of);
        let left = Left {
            topic,
            cleared: 0,
            rows: Tally::default(),
        };
        let deleted = Deleted {
            held,
            left: Some(left),
            since: as_of,
            as_of,
            stored: Mark::NONE,
        };
        self.deleted.insert(id, deleted);
        self.dirty.mark(id);
    }

    /// One of which only the index rows are left.
    pub(super) fn load_mark(&mut self, topic: TopicId, as_of: Lsn, stored: Mark) {
        let deleted = Deleted {
            held: true,
            left: None,
            since: as_of,
            as_of,
            stored,
        };
        self.deleted.insert(topic, deleted);
    }

    /// Those of which index rows are left.
    #[cfg(test)]
    pub(in crate::state) fn deleted(&self) -> impl Iterator<Item = TopicId> {
        let deleted = self.deleted.iter().filter(|(_, gone)| gone.held);
        deleted.map(|(topic, _)| *topic)
    }
}

/// The rows of some partitions; `stored` count until now.
fn clear_partitions(topic: TopicId, some: Range<i32>, stored: Tally, page: &mut Page) {
    let partition = |index| TopicPartition {
        topic,
        partition: PartitionIndex(index),
    };
    let (first, end) = (partition(some.start), partition(some.end));
    page.clear_range(Key::Partition(first), Key::Partition(end), stored);
}
