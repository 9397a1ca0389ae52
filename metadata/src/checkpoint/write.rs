//! State to rows, one item of a checkpoint after the other.

use super::{STEP_BYTES, VERSION};
use crate::catalogue::Topic;
use crate::codec::Encoder;
use crate::effect::{ProducerBatch, TopicCreated, cut, encode_outcome};
use crate::error::Error;
use crate::index::{self, Place, Tail};
use crate::keys::Key;
use crate::kv::{Kv, Transaction};
use crate::state::{Object, PartitionLog, Producer, Session, State};
use crate::types::{Extent, Lsn, ObjectKey, PartitionIndex, ProducerId, TopicId, TopicPartition};

/// A partition with more producers writes them apart from its extents, for both together might not fit.
const PRODUCERS_BESIDE_EXTENTS: usize = 1000;
/// Past so many bytes a row of producers is closed, and a wide outcome is cut; stores limit values.
const ROW_BYTES: usize = 60 * 1024;

/// Where to go on with clearing the rows of a deleted topic's partitions, if there are more than may be cleared.
pub(super) fn write_topic(
    state: &mut State,
    topic: TopicId,
    first: i32,
    clearing: &mut i32,
    writes: &mut Transaction,
) -> Option<i32> {
    let mut row = Encoder::versioned(VERSION);
    row.u64(state.lsn.0);
    let Some(known) = state.topics.get(topic) else {
        let partitions = state.topics.uncleared(topic);
        let end = partitions.min(first.saturating_add(*clearing));
        *clearing -= end.saturating_sub(first);
        if end < partitions {
            clear_partitions(topic, first, end, writes);
            return Some(end);
        }
        // Its index rows stay until the collection of objects gives the extents back.
        clear_partitions(topic, first, i32::MAX, writes);
        writes.clear(Key::Topic(topic).encode());
        writes.set(Key::Deleted(topic).encode(), row.into_bytes());
        state.topics.cleared(topic);
        state.dirty.topics.remove(&topic);
        return None;
    };
    row.i64(known.topic.created.0);
    let Topic {
        id,
        name,
        partitions,
        replication_factor,
        configs,
        ..
    } = &*known.topic;
    let created = TopicCreated {
        id: *id,
        name: name.clone(),
        partitions: *partitions,
        replication_factor: *replication_factor,
        configs: configs.clone(),
        first_producer: known.first_producer,
    };
    created.encode(&mut row);
    writes.set(Key::Topic(topic).encode(), row.into_bytes());
    state.dirty.topics.remove(&topic);
    None
}

/// The rows of partitions `first..end`.
fn clear_partitions(topic: TopicId, first: i32, end: i32, writes: &mut Transaction) {
    let partition = |index| TopicPartition {
        topic,
        partition: PartitionIndex(index),
    };
    let (first, end) = (partition(first), partition(end));
    writes.clear_range(Key::Partition(first).encode(), Key::Partition(end).encode());
    writes.clear_range(
        Key::Producers(first, 0).encode(),
        Key::Producers(end, 0).encode(),
    );
}

pub(super) fn write_object(state: &State, key: ObjectKey, writes: &mut Transaction) {
    let Some(object) = state.objects.get(key) else {
        return;
    };
    let Object {
        size,
        references,
        orphaned_since,
    } = *object;
    let mut row = Encoder::versioned(VERSION);
    row.u64(size);
    row.u32(references);
    row.i64(orphaned_since.map_or(-1, |since| since.0));
    writes.set(Key::Object(key).encode(), row.into_bytes());
}

/// Outcomes first, then the row that vouches for them. Where to go on, if that did not fit.
pub(super) fn write_session(
    state: &mut State,
    id: u64,
    next: (u64, u16),
    writes: &mut Transaction,
) -> Option<(u64, u16)> {
    let key = |sequence| Key::Outcome(id, sequence, 0).encode();
    let Some(session) = state.sessions.get(id) else {
        state.dirty.sessions.remove(&id);
        writes.clear(Key::Session(id).encode());
        writes.clear_range(key(0), key(u64::MAX));
        return None;
    };
    if let Some(next) = write_outcomes(id, session, next, writes) {
        return Some(next);
    }
    let first_kept = session.outcomes.keys().next();
    let seen = first_kept.copied().unwrap_or(session.last + 1);
    writes.clear_range(key(0), key(seen));
    let mut row = Encoder::versioned(VERSION);
    row.u64(state.lsn.0);
    row.u64(session.last);
    row.u64(session.nonce);
    writes.set(Key::Session(id).encode(), row.into_bytes());
    state.dirty.sessions.remove(&id);
    None
}

fn write_outcomes(
    id: u64,
    session: &Session,
    next: (u64, u16),
    writes: &mut Transaction,
) -> Option<(u64, u16)> {
    let mut bytes = 0;
    for (sequence, outcome) in session.outcomes.range(next.0..) {
        let mut whole = Encoder::default();
        encode_outcome(outcome, &mut whole);
        for (part, piece) in (0..).zip(cut(whole.into_bytes(), ROW_BYTES)) {
            if (*sequence, part) < next {
                continue;
            }
            if bytes >= STEP_BYTES {
                return Some((*sequence, part));
            }
            bytes += piece.len();
            let row = [&[VERSION], piece.as_ref()].concat();
            writes.set(Key::Outcome(id, *sequence, part).encode(), row.into());
        }
    }
    None
}

/// The index rows that a partition's new extents may go into.
pub(super) async fn read_tail(
    kv: &dyn Kv,
    state: &State,
    partition: TopicPartition,
) -> Result<Tail, Error> {
    // Also where there is nothing to be appended yet: there may be when it is written.
    match state.topics.log(partition).map(PartitionLog::recent_start) {
        Some(start) => index::read_tail(kv, Place::of(partition), start).await,
        None => Ok(None),
    }
}

/// Whether the partition is done; if not, more of its extents go into the next step.
pub(super) fn write_partition(
    state: &mut State,
    partition: TopicPartition,
    tail: Tail,
    extents_max: usize,
    writes: &mut Transaction,
) -> Result<bool, Error> {
    let lsn = state.lsn;
    let Some(log) = state.topics.log(partition) else {
        // Its topic was deleted, which clears its row.
        state.dirty.partitions.remove(&partition);
        return Ok(true);
    };
    let extents: Vec<Extent> = log.recent().iter().take(extents_max).copied().collect();
    let beside = extents.is_empty() || log.producers().iter().len() <= PRODUCERS_BESIDE_EXTENTS;
    let whole = extents.len() == log.recent().len() && beside;
    planted!(let whole = "partition-done-before-its-extents" => whole || !extents.is_empty());
    if !extents.is_empty() {
        let rest = log.recent().get(extents.len());
        let end = rest.map_or(log.bounds().high_watermark, |next| next.base_offset);
        index::check(partition, &extents, end)?;
        let indexed = extents.as_slice();
        planted!(let indexed = "checkpoint-drops-the-last-extent" => &indexed[..indexed.len() - 1]);
        let log_start = log.bounds().log_start;
        index::append(Place::of(partition), log_start, tail, indexed, writes)?;
    }
    if whole {
        write_log(lsn, partition, log, writes);
        state.dirty.partitions.remove(&partition);
    }
    if let (Some(last), Some(log)) = (extents.last(), state.topics.log_mut(partition)) {
        log.indexed_until(last.end_offset());
    }
    Ok(whole)
}

fn write_log(lsn: Lsn, partition: TopicPartition, log: &PartitionLog, writes: &mut Transaction) {
    let mut row = Encoder::versioned(VERSION);
    row.u64(lsn.0);
    row.i64(log.bounds().log_start.0);
    row.i64(log.bounds().high_watermark.0);
    row.i64(log.bounds().epoch_start.0);
    writes.set(Key::Partition(partition).encode(), row.into_bytes());
    let key = |part| Key::Producers(partition, part).encode();
    writes.clear_range(key(0), key(u16::MAX));
    let mut part = 0;
    let mut row = Encoder::versioned(VERSION);
    planted!("producers-not-checkpointed", return);
    for (id, producer) in log.producers().iter() {
        if row.len() > ROW_BYTES {
            let full = std::mem::replace(&mut row, Encoder::versioned(VERSION));
            writes.set(key(part), full.into_bytes());
            part += 1;
        }
        encode_producer(*id, producer, &mut row);
    }
    if log.producers().iter().len() > 0 {
        writes.set(key(part), row.into_bytes());
    }
}

fn encode_producer(id: ProducerId, producer: &Producer, row: &mut Encoder) {
    row.i64(producer.last_seen.0);
    row.u64(producer.batches.len() as u64);
    for batch in producer.batches.iter() {
        ProducerBatch {
            id,
            epoch: producer.epoch,
            base_sequence: batch.base_sequence,
            record_count: batch.record_count,
            base_offset: batch.base_offset,
        }
        .encode(row);
    }
}
