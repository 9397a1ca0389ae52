//! Topics as they lie in the store: a row each, which says itself when its topic is gone.

use std::sync::Arc;

use super::deleted::Deleted;
use super::{TopicState, Topics};
use crate::catalogue::{Derived, Topic};
use crate::codec::{Decoder, Unreadable};
use crate::effect::TopicCreated;
use crate::error::Error;
use crate::keys::Key;
use crate::state::table::{Page, Table, Wrote, decode_row};
use crate::state::tally::{Mark, Tally};
use crate::types::{Lost, Lsn, TopicId};

wire_struct! {
    /// A topic's row.
    pub(super) struct Row {
        as_of: Lsn,
        topic: TopicCreated,
        lost: Lost,
        /// It is only the mark of one that is still to be cleared.
        is_deleted: bool,
        /// Whether that one ever held a record.
        held: bool,
    }
}

impl Topics {
    /// Rows of topics that are in the store.
    pub(in crate::state) fn rows(&self) -> Tally {
        let known = self.by_id.values().map(|known| known.stored);
        let deleted = self.deleted.values().flat_map(Deleted::rows);
        known.chain(deleted).collect()
    }

    /// False: there is more to be cleared.
    fn write_topic(&mut self, id: TopicId, page: &mut Page) -> bool {
        if let Some(known) = self.by_id.get_mut(&id) {
            (known.dirty, known.stored_partitions) = (false, known.topic.partitions);
            let row = row(page.lsn, known, None);
            page.set(Key::Topic(id), &row, &mut known.stored);
            return true;
        }
        self.write_gone(id, page)
    }
}

impl Table for Topics {
    fn begin(&mut self) {
        self.dirty.begin();
    }

    fn write(&mut self, page: &mut Page) -> Result<Wrote, Error> {
        while let Some(topic) = self.dirty.first() {
            if page.is_full() || !self.write_topic(topic, page) {
                return Ok(Wrote::Full);
            }
            self.dirty.pop();
        }
        Ok(Wrote::All)
    }

    fn finish(&mut self, at: Lsn) {
        self.finished = at;
        self.vanish(at);
    }

    fn loaded(&mut self, at: Lsn) {
        self.finished = at;
    }

    fn load(&mut self, key: Key, row: Decoder, stored: Mark) -> Result<(), Unreadable> {
        match key {
            Key::Topic(id) => {
                let row: Row = decode_row(row)?;
                let topic = TopicState {
                    stored,
                    stored_partitions: row.topic.partitions,
                    ..restore(id, &row.topic, row.lost, row.as_of)
                };
                match row.is_deleted {
                    true => self.load_gone(topic, row.held),
                    false => self.insert(topic),
                }
            }
            Key::Deleted(topic) => self.load_mark(topic, decode_row(row)?, stored),
            _ => return Err(Unreadable),
        }
        Ok(())
    }
}

pub(super) fn restore(id: TopicId, created: &TopicCreated, lost: Lost, as_of: Lsn) -> TopicState {
    let topic = Topic {
        id,
        name: created.name.clone(),
        partitions: created.partitions,
        replication_factor: created.replication_factor,
        configs: created.configs.clone(),
        created: created.created,
        lost,
        derived: Derived::default(),
    };
    TopicState {
        topic: Arc::new(topic),
        first_producer: created.first_producer,
        as_of,
        stored: Mark::NONE,
        stored_partitions: 0,
        dirty: false,
    }
}

/// `deleted`: whether one that is gone ever held a record.
pub(super) fn row(lsn: Lsn, known: &TopicState, deleted: Option<bool>) -> Row {
    let topic = &known.topic;
    Row {
        as_of: lsn,
        topic: TopicCreated {
            name: topic.name.clone(),
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            configs: topic.configs.clone(),
            first_producer: known.first_producer,
            created: topic.created,
        },
        lost: topic.lost.clone(),
        is_deleted: deleted.is_some(),
        held: deleted.unwrap_or(false),
    }
}
