//! Topics by id and by name. A deleted one is a mark with all that was known of it, until its rows are cleared.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::limits::Limits;
use super::table::{Dirty, Page, Table, Wrote, decode_row};
use super::tally::{Mark, Tally};
use crate::catalogue::Topic;
use crate::codec::{Decoder, TEXTS_MAX, Unreadable};
use crate::command::{CreatePartitions, CreateTopic, Outcome, Rejected};
use crate::effect::{Effect, TopicCreated, TopicEffect};
use crate::error::Error;
use crate::keys::Key;
use crate::topic_name::check_topic_name;
use crate::types::{
    Bounds, LOST_MAX, Lost, LostRange, Lsn, PartitionIndex, ProducerId, Timestamp, TopicId,
    TopicPartition,
};

/// Of a topic's name and settings together: they must fit in one row.
const TOPIC_BYTES_MAX: u64 = 64 * 1024;
/// What a setting takes besides its text.
const SETTING_BYTES: usize = 64;
const _: () = assert!(
    TOPIC_BYTES_MAX <= (TEXTS_MAX * SETTING_BYTES) as u64,
    "what is written can be read"
);

type Decided = Result<(Outcome, Vec<Effect>), Rejected>;

/// All topics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topics {
    by_id: BTreeMap<TopicId, TopicState>,
    by_name: BTreeMap<String, TopicId>,
    /// Names with '.' turned into '_', under which Kafka's metrics would collide, and the topic that has them.
    by_metric_name: BTreeMap<String, TopicId>,
    deleted: BTreeMap<TopicId, Deleted>,
    /// Deleted topics that leave nothing once the checkpoint under way is durable.
    vanishing: BTreeSet<TopicId>,
    /// Of all topics together.
    partitions: u64,
    /// Names and settings of all topics together, as [`bytes()`] counts.
    bytes: u64,
    dirty: Dirty<TopicId>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicState {
    pub(crate) topic: Arc<Topic>,
    /// Producer ids from here on were handed out after the topic was made.
    pub(crate) first_producer: ProducerId,
    /// The row holds everything up to here.
    pub(crate) as_of: Lsn,
    /// The row.
    stored: Mark,
    dirty: bool,
}

/// A topic that is gone. Its index rows stay until the collection of objects gives the extents back; one that never held
/// a record has none, and leaves nothing once its rows are cleared and no log tells of its end any more: until then no other
/// topic may have its id, for a replay would take that one for it.
#[derive(Clone, Debug, Default)]
struct Deleted {
    /// Whether it ever held a record.
    held: bool,
    /// What it was, until the rows of its partitions are cleared.
    left: Option<Left>,
    /// The drain that deleted it, or a later one.
    since: Lsn,
    /// The row holds everything up to here.
    as_of: Lsn,
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

wire_struct! {
    /// A topic's row.
    struct Row {
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
    pub(crate) fn get(&self, topic: TopicId) -> Option<&TopicState> {
        self.by_id.get(&topic)
    }

    /// Topics by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &TopicState> {
        self.by_id.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Of all topics together.
    pub(crate) fn partitions(&self) -> u64 {
        self.partitions
    }

    /// What their names and settings take.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

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

    pub(super) fn create(
        &self,
        now: Timestamp,
        create: &CreateTopic,
        first_producer: ProducerId,
        limits: &Limits,
    ) -> Decided {
        check_form(create)?;
        self.check_partitions(0, create.partitions, limits)?;
        let bytes = bytes(&create.name, &create.configs);
        if bytes > TOPIC_BYTES_MAX {
            return Err(Rejected::InvalidCommand);
        }
        if self.by_name.contains_key(&create.name) {
            return Err(Rejected::TopicExists);
        }
        if self.by_metric_name.contains_key(&metric_name(&create.name)) {
            return Err(Rejected::TopicNameCollides);
        }
        if self.by_id.contains_key(&create.id) || self.is_deleted(create.id) {
            return Err(Rejected::InvalidCommand);
        }
        if self.by_id.len() >= limits.topics || self.bytes + bytes > limits.topic_bytes {
            return Err(Rejected::TooManyTopics);
        }
        let created = TopicCreated {
            name: create.name.clone(),
            partitions: create.partitions,
            replication_factor: create.replication_factor,
            configs: create.configs.clone(),
            first_producer,
            created: now,
        };
        Ok((
            Outcome::TopicCreated(create.id),
            vec![Effect::topic(create.id, TopicEffect::Created(created))],
        ))
    }

    /// `held`: whether it ever held a record.
    pub(super) fn delete(&self, topic: TopicId, held: bool, limits: &Limits) -> Decided {
        self.by_id.get(&topic).ok_or(Rejected::UnknownTopic)?;
        if self.deleted.len() >= limits.deleted_topics {
            return Err(Rejected::TooManyDeletedTopics);
        }
        Ok((
            Outcome::TopicDeleted,
            vec![Effect::topic(topic, TopicEffect::Deleted { held })],
        ))
    }

    pub(super) fn create_partitions(&self, create: CreatePartitions, limits: &Limits) -> Decided {
        let CreatePartitions { topic, total } = create;
        let known = self.by_id.get(&topic).ok_or(Rejected::UnknownTopic)?;
        if total <= known.topic.partitions {
            return Err(Rejected::InvalidPartitions);
        }
        self.check_partitions(known.topic.partitions, total, limits)?;
        Ok((
            Outcome::PartitionsCreated,
            vec![Effect::topic(
                topic,
                TopicEffect::PartitionsCreated { total },
            )],
        ))
    }

    /// `bounds`: the partition's, if there is one.
    pub(super) fn mark_lost(
        &self,
        topic: TopicId,
        range: LostRange,
        bounds: Option<Bounds>,
    ) -> Decided {
        let known = self.by_id.get(&topic).ok_or(Rejected::UnknownTopic)?;
        let bounds = bounds.ok_or(Rejected::UnknownPartition)?;
        let is_there = bounds.log_start <= range.from
            && range.from < range.until
            && range.until <= bounds.high_watermark;
        if !is_there {
            return Err(Rejected::NotInLog);
        }
        let lost = known.topic.lost.with(range);
        if lost.ranges().len() > LOST_MAX {
            return Err(Rejected::TooManyLost);
        }
        let effects = match lost == known.topic.lost {
            true => Vec::new(),
            false => vec![Effect::topic(topic, TopicEffect::MarkedLost(range))],
        };
        Ok((Outcome::MarkedLost, effects))
    }

    /// The topic that has that name.
    pub(crate) fn named(&self, name: &str) -> Option<TopicId> {
        self.by_name.get(name).copied()
    }

    fn check_partitions(&self, from: i32, to: i32, limits: &Limits) -> Result<(), Rejected> {
        let more = u64::from(to.saturating_sub(from).max(0).unsigned_abs());
        let of_topic = to.max(0).unsigned_abs();
        if of_topic > limits.topic_partitions || self.partitions + more > limits.partitions {
            return Err(Rejected::TooManyPartitions);
        }
        Ok(())
    }

    /// True if anything changed.
    pub(super) fn fold(&mut self, lsn: Lsn, topic: TopicId, what: &TopicEffect) -> bool {
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

    fn insert(&mut self, mut state: TopicState) {
        let id = state.topic.id;
        if let Some(earlier) = self.by_id.get(&id).filter(|_| !state.stored.is_row()) {
            state.stored = earlier.stored;
        }
        self.name(&state.topic.name, id);
        self.partitions += size(&state);
        self.bytes += bytes(&state.topic.name, &state.topic.configs);
        if let Some(earlier) = self.by_id.insert(id, state) {
            self.uncount(&earlier);
        }
    }

    fn uncount(&mut self, gone: &TopicState) {
        self.partitions -= size(gone);
        self.bytes -= bytes(&gone.topic.name, &gone.topic.configs);
    }

    fn name(&mut self, name: &str, topic: TopicId) {
        self.by_name.insert(name.to_owned(), topic);
        self.by_metric_name.insert(metric_name(name), topic);
    }

    fn fold_deleted(&mut self, lsn: Lsn, topic: TopicId, held: bool) -> bool {
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

    /// It is none of the topics any more.
    fn forget(&mut self, gone: &TopicState) {
        self.uncount(gone);
        let (id, name) = (gone.topic.id, &gone.topic.name);
        // While a log is replayed over newer rows, a later topic may have the name already.
        if self.by_name.get(name) == Some(&id) {
            self.by_name.remove(name);
        }
        let metric_name = metric_name(name);
        if self.by_metric_name.get(&metric_name) == Some(&id) {
            self.by_metric_name.remove(&metric_name);
        }
    }

    /// Those rows of partitions are left of one that was just deleted.
    pub(super) fn left_rows(&mut self, topic: TopicId, rows: Tally) {
        let deleted = self.deleted.get_mut(&topic);
        if let Some(left) = deleted.and_then(|deleted| deleted.left.as_mut()) {
            left.rows = rows;
        }
    }

    /// Rows of topics that are in the store.
    pub(super) fn rows(&self) -> Tally {
        let left = |gone: &Deleted| gone.left.as_ref().map(|left| left.topic.stored);
        let known = self.by_id.values().map(|known| known.stored);
        let deleted = self.deleted.values();
        let deleted = deleted.flat_map(|gone| [gone.stored, left(gone).unwrap_or_default()]);
        known.chain(deleted).collect()
    }

    /// Rows of partitions in the store whose topics are deleted, and not marked so there.
    pub(super) fn rows_left(&self) -> Tally {
        let mut rows = Tally::default();
        let left = self.deleted.values().filter_map(|gone| gone.left.as_ref());
        left.for_each(|left| rows.add_all(left.rows));
        rows
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

    /// False: there is more to be cleared.
    fn write_topic(&mut self, id: TopicId, page: &mut Page) -> bool {
        if let Some(known) = self.by_id.get_mut(&id) {
            known.dirty = false;
            let row = row(page.lsn, known, None);
            page.set(Key::Topic(id), &row, &mut known.stored);
            return true;
        }
        let Some(gone) = self.deleted.get_mut(&id) else {
            return true;
        };
        let Some(some) = &mut gone.left else {
            if !gone.held {
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

    /// Those of which more is left than checkpoints clear.
    #[cfg(test)]
    pub(super) fn deleted(&self) -> impl Iterator<Item = TopicId> {
        let deleted = self.deleted.iter().filter(|(_, gone)| gone.held);
        deleted.map(|(topic, _)| *topic)
    }

    #[cfg(test)]
    pub(super) fn agrees(&self) -> bool {
        self.by_name.len() == self.by_id.len()
            && self.by_metric_name.len() == self.by_id.len()
            && self.by_id.iter().all(|(id, state)| {
                self.by_name.get(&state.topic.name) == Some(id)
                    && self.by_metric_name.get(&metric_name(&state.topic.name)) == Some(id)
            })
            && self.partitions == self.by_id.values().map(size).sum::<u64>()
            && self.bytes
                == self
                    .by_id
                    .values()
                    .map(|it| bytes(&it.topic.name, &it.topic.configs))
                    .sum::<u64>()
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.dirty.is_empty()
    }
}

/// What an agent has checked, and another peer may not have. Asked where a topic is made and nowhere else: stores hold some
/// that were made before there was this rule.
fn check_form(create: &CreateTopic) -> Result<(), Rejected> {
    // Kafka's name for no topic.
    let is_none = create.id == TopicId(0);
    if is_none || check_topic_name(&create.name).is_err() || create.replication_factor < 1 {
        return Err(Rejected::InvalidCommand);
    }
    match create.partitions {
        1.. => Ok(()),
        _ => Err(Rejected::InvalidPartitions),
    }
}

/// About what a topic's name and settings take in memory.
fn bytes(name: &str, configs: &BTreeMap<String, String>) -> u64 {
    let configs = configs.iter();
    let configs = configs.map(|(name, value)| name.len() + value.len() + SETTING_BYTES);
    (name.len() + configs.sum::<usize>()) as u64
}

fn size(state: &TopicState) -> u64 {
    u64::from(state.topic.partitions.max(0).unsigned_abs())
}

fn restore(id: TopicId, created: &TopicCreated, lost: Lost, as_of: Lsn) -> TopicState {
    let topic = Topic {
        id,
        name: created.name.clone(),
        partitions: created.partitions,
        replication_factor: created.replication_factor,
        configs: created.configs.clone(),
        created: created.created,
        lost,
    };
    TopicState {
        topic: Arc::new(topic),
        first_producer: created.first_producer,
        as_of,
        stored: Mark::NONE,
        dirty: false,
    }
}

/// `deleted`: whether one that is gone ever held a record.
fn row(lsn: Lsn, known: &TopicState, deleted: Option<bool>) -> Row {
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

/// The rows of some partitions; `stored` count until now.
fn clear_partitions(topic: TopicId, some: Range<i32>, stored: Tally, page: &mut Page) {
    let partition = |index| TopicPartition {
        topic,
        partition: PartitionIndex(index),
    };
    let (first, end) = (partition(some.start), partition(some.end));
    page.clear_range(Key::Partition(first), Key::Partition(end), stored);
}

fn metric_name(name: &str) -> String {
    name.replace('.', "_")
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
        for id in std::mem::take(&mut self.vanishing) {
            match self.deleted.get(&id) {
                Some(gone) if gone.since > at => self.dirty.mark(id),
                _ => drop(self.deleted.remove(&id)),
            }
        }
    }

    fn load(&mut self, key: Key, row: Decoder, stored: Mark) -> Result<(), Unreadable> {
        match key {
            Key::Topic(id) => {
                let row: Row = decode_row(row)?;
                let topic = TopicState {
                    stored,
                    ..restore(id, &row.topic, row.lost, row.as_of)
                };
                if row.is_deleted {
                    let left = Left {
                        topic,
                        cleared: 0,
                        rows: Tally::default(),
                    };
                    let deleted = Deleted {
                        held: row.held,
                        left: Some(left),
                        since: row.as_of,
                        as_of: row.as_of,
                        stored: Mark::NONE,
                    };
                    self.deleted.insert(id, deleted);
                    self.dirty.mark(id);
                } else {
                    self.insert(topic);
                }
            }
            Key::Deleted(topic) => {
                let as_of = decode_row(row)?;
                let deleted = Deleted {
                    held: true,
                    left: None,
                    since: as_of,
                    as_of,
                    stored,
                };
                self.deleted.insert(topic, deleted);
            }
            _ => return Err(Unreadable),
        }
        Ok(())
    }
}
