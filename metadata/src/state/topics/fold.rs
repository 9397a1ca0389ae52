//! Effects on topics, made true.

use std::sync::Arc;

use super::rows::restore;
use super::{Topics, size};
use crate::catalogue::Topic;
use crate::effect::{TopicCreated, TopicEffect};
use crate::types::{Lost, LostRange, Lsn, TopicId};

impl Topics {
    /// True if anything changed.
    pub(in crate::state) fn fold(&mut self, lsn: Lsn, topic: TopicId, what: &TopicEffect) -> bool {
        match what {
            TopicEffect::Created(created) => self.fold_created(lsn, topic, created),
            TopicEffect::Deleted { held } => self.fold_deleted(lsn, topic, *held),
            TopicEffect::PartitionsCreated { total } => self.fold_partitions(lsn, topic, *total),
            TopicEffect::MarkedLost(range) => self.fold_lost(lsn, topic, *range),
        }
    }

    fn fold_created(&mut self, lsn: Lsn, id: TopicId, created: &TopicCreated) -> bool {
        // A crash between a checkpoint's transactions: the row is newer than the log, or the topic is gone again.
        if (self.by_id.get(&id)).is_some_and(|known| known.as_of >= lsn) {
            // An earlier topic of that name, whose row was still there, may have had it until now.
            self.name(&created.name, id);
            return false;
        }
        if (self.deleted.get(&id)).is_some_and(|gone| gone.as_of >= lsn) {
            return false;
        }
        self.insert(restore(id, created, Lost::default(), Lsn(0)));
        self.touched(id);
        true
    }

    fn fold_partitions(&mut self, lsn: Lsn, topic: TopicId, total: i32) -> bool {
        let Some(known) = self.by_id.get_mut(&topic).filter(|known| known.as_of < lsn) else {
            return false;
        };
        self.partitions -= size(known);
        let mut grown = Topic::clone(&known.topic);
        grown.partitions = total;
        known.topic = Arc::new(grown);
        self.partitions += size(known);
        self.touched(topic);
        true
    }

    fn fold_lost(&mut self, lsn: Lsn, topic: TopicId, range: LostRange) -> bool {
        let Some(known) = self.by_id.get_mut(&topic).filter(|known| known.as_of < lsn) else {
            return false;
        };
        let mut marked = Topic::clone(&known.topic);
        marked.lost = marked.lost.with(range);
        known.topic = Arc::new(marked);
        self.touched(topic);
        true
    }

    fn touched(&mut self, topic: TopicId) {
        if let Some(known) = self.by_id.get_mut(&topic)
            && !std::mem::replace(&mut known.dirty, true)
        {
            self.dirty.mark(topic);
        }
    }
}
