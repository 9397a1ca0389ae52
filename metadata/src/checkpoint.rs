//! State to rows and back. A checkpoint goes in small transactions between drains; each row says as of which drain it
//! is, and a replay skips what a row already holds. Last the checkpoint row moves and the log before it is cleared.

use bytes::Bytes;

use crate::codec::{Decoder, Encoder, Unreadable};
use crate::effect::{ProducerBatch, TopicCreated, decode_outcome, encode_outcome};
use crate::error::Error;
use crate::index::{self, Chunk};
use crate::keys::{self, Key};
use crate::kv::{Direction, Kv, Transaction};
use crate::state::{Object, PartitionLog, Producer, Session, State};
use crate::types::{
    Extent, Lsn, ObjectKey, Offset, PartitionIndex, ProducerId, Timestamp, TopicId, TopicPartition,
};
use crate::{Topic, state};

const VERSION: u8 = 1;
/// A step stops adding rows at about so many bytes; stores limit transactions.
const STEP_BYTES: usize = 128 * 1024;
/// Extents indexed in one step.
const STEP_EXTENTS: usize = 4096;
/// Rows read at a time.
const ROWS_PER_READ: usize = 1000;
/// Past so many bytes a row of producers is closed; stores limit values.
const PRODUCERS_ROW_BYTES: usize = 60 * 1024;

/// A checkpoint under way.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    /// Everything up to here is in rows when it is done.
    at: Lsn,
    pending: Vec<Item>,
    objects: Vec<ObjectKey>,
    done: bool,
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Session(u64),
    Object(ObjectKey),
    Partition(TopicPartition),
    Topic(TopicId),
}

impl Checkpoint {
    pub(crate) fn begin(state: &State) -> Self {
        // Taken from the back: topics first, for a partition's row needs its topic's.
        let objects: Vec<_> = state.objects.iter().map(|(key, _)| *key).collect();
        let mut pending: Vec<_> = state
            .dirty
            .sessions
            .iter()
            .map(|id| Item::Session(*id))
            .collect();
        pending.extend(objects.iter().map(|key| Item::Object(*key)));
        pending.extend(
            state
                .dirty
                .partitions
                .iter()
                .map(|partition| Item::Partition(*partition)),
        );
        pending.extend(state.dirty.topics.iter().map(|topic| Item::Topic(*topic)));
        Self {
            at: state.lsn,
            pending,
            objects,
            done: false,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// The next transaction's writes; the caller fences and commits them. State that they hold is marked so, which is
    /// why a failed commit must load the state anew.
    pub(crate) async fn step(
        &mut self,
        kv: &dyn Kv,
        state: &mut State,
    ) -> Result<Transaction, Error> {
        let mut writes = Transaction::default();
        while writes.bytes() < STEP_BYTES {
            let Some(item) = self.pending.pop() else {
                self.finish(state, &mut writes);
                break;
            };
            match item {
                Item::Session(id) => write_session(state, id, &mut writes),
                Item::Object(key) => write_object(state, key, &mut writes),
                Item::Topic(topic) => write_topic(state, topic, &mut writes),
                Item::Partition(partition) => {
                    if !write_partition(kv, state, partition, &mut writes).await? {
                        self.pending.push(item);
                    }
                }
            }
        }
        Ok(writes)
    }

    fn finish(&mut self, state: &mut State, writes: &mut Transaction) {
        state.objects.checkpointed(self.objects.drain(..));
        writes.set(Key::Checkpoint.encode(), encode_row(state, self.at));
        let start = Key::Log(Lsn(0), 0).encode();
        writes.clear_range(start, Key::Log(Lsn(self.at.0 + 1), 0).encode());
        self.done = true;
    }
}

/// The checkpoint row: counters may be newer than the lsn, for folding them again changes nothing.
pub(crate) fn encode_row(state: &State, at: Lsn) -> Bytes {
    let mut row = Encoder::versioned(VERSION);
    row.u64(at.0);
    row.i64(state.counters.next_producer);
    row.i64(state.counters.expired_producer_max);
    row.u64(state.counters.next_session);
    row.into_bytes()
}

fn write_topic(state: &mut State, topic: TopicId, writes: &mut Transaction) {
    state.dirty.topics.remove(&topic);
    let mut row = Encoder::versioned(VERSION);
    row.u64(state.lsn.0);
    if let Some(known) = state.topics.get(topic) {
        row.i64(known.topic.created.0);
        row.i64(known.first_producer);
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
        };
        created.encode(&mut row);
        writes.set(Key::Topic(topic).encode(), row.into_bytes());
        return;
    }
    // Its index rows stay until the collection of objects gives the extents back.
    writes.clear(Key::Topic(topic).encode());
    let first = TopicPartition {
        topic,
        partition: PartitionIndex(0),
    };
    let last = TopicPartition {
        topic,
        partition: PartitionIndex(i32::MAX),
    };
    writes.clear_range(
        Key::Partition(first).encode(),
        Key::Partition(last).encode(),
    );
    writes.clear_range(
        Key::Producers(first, 0).encode(),
        Key::Producers(last, 0).encode(),
    );
    writes.set(Key::Deleted(topic).encode(), row.into_bytes());
}

fn write_object(state: &State, key: ObjectKey, writes: &mut Transaction) {
    let Some((_, object)) = state.objects.iter().find(|(each, _)| **each == key) else {
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

fn write_session(state: &mut State, id: u64, writes: &mut Transaction) {
    state.dirty.sessions.remove(&id);
    let Some(session) = state.sessions.get(id) else {
        return writes.clear(Key::Session(id).encode());
    };
    let mut row = Encoder::versioned(VERSION);
    row.u64(state.lsn.0);
    row.u64(session.last);
    row.u64(session.outcomes.len() as u64);
    for (sequence, outcome) in &session.outcomes {
        row.u64(*sequence);
        encode_outcome(outcome, &mut row);
    }
    writes.set(Key::Session(id).encode(), row.into_bytes());
}

/// Whether the partition is done; if not, more of its extents go into the next step.
async fn write_partition(
    kv: &dyn Kv,
    state: &mut State,
    partition: TopicPartition,
    writes: &mut Transaction,
) -> Result<bool, Error> {
    let lsn = state.lsn;
    let Some(log) = state.topics.log(partition) else {
        // Its topic was deleted, which clears its row.
        state.dirty.partitions.remove(&partition);
        return Ok(true);
    };
    let extents: Vec<Extent> = log.recent().iter().take(STEP_EXTENTS).copied().collect();
    let whole = extents.len() == log.recent().len();
    if !extents.is_empty() {
        write_index(kv, partition, &extents, writes).await?;
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

/// Appends to a partition's index rows. A row that still has room is rewritten; what an earlier checkpoint, cut short by
/// a crash, left beyond the partition's row is replaced.
async fn write_index(
    kv: &dyn Kv,
    partition: TopicPartition,
    extents: &[Extent],
    writes: &mut Transaction,
) -> Result<(), Error> {
    let start = extents.first().map_or(Offset(0), |first| first.base_offset);
    let from = Key::Index(partition, start).encode();
    let end = Key::Index(partition, Offset(i64::MAX)).encode();
    let rows = kv.range(&from, &end, 1, Direction::Forward).await?;
    let mut open = None;
    let mut clear_from = from;
    if let Some((key, row)) = rows.into_iter().next() {
        let mut chunk = Chunk::decode(row.clone())?;
        let ends_here = chunk.end() == start;
        chunk.extents.retain(|extent| extent.base_offset < start);
        if ends_here && !index::has_room(&row) {
            clear_from = [key.as_ref(), &[0]].concat().into();
        } else if !chunk.extents.is_empty() {
            open = Some(chunk);
        }
    }
    writes.clear_range(clear_from, end);
    for chunk in index::chunks(open, extents) {
        writes.set(Key::Index(partition, chunk.end()).encode(), chunk.encode());
    }
    Ok(())
}

fn write_log(lsn: Lsn, partition: TopicPartition, log: &PartitionLog, writes: &mut Transaction) {
    let mut row = Encoder::versioned(VERSION);
    row.u64(lsn.0);
    row.i64(log.bounds().log_start.0);
    row.i64(log.bounds().high_watermark.0);
    writes.set(Key::Partition(partition).encode(), row.into_bytes());
    let key = |part| Key::Producers(partition, part).encode();
    writes.clear_range(key(0), key(u16::MAX));
    let mut part = 0;
    let mut row = Encoder::versioned(VERSION);
    for (id, producer) in log.producers().iter() {
        if row.len() > PRODUCERS_ROW_BYTES {
            let full = std::mem::replace(&mut row, Encoder::versioned(VERSION));
            writes.set(key(part), full.into_bytes());
            part += 1;
        }
        encode_producer(*id, producer, &mut row);
    }
    writes.set(key(part), row.into_bytes());
}

fn encode_producer(id: ProducerId, producer: &Producer, row: &mut Encoder) {
    row.i64(producer.last_seen.0);
    row.u64(producer.batches.len() as u64);
    for batch in &producer.batches {
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

/// The state as of the checkpoint, but for rows that are newer and say so, and the lsn from which to replay.
pub(crate) async fn load(kv: &dyn Kv) -> Result<(State, Lsn), Error> {
    let mut state = State::default();
    let row = kv.get(&Key::Checkpoint.encode()).await?.ok_or(Unreadable)?;
    let mut row = Decoder::versioned(row, VERSION)?;
    let at = Lsn(row.u64()?);
    state.counters = state::Counters {
        next_producer: row.i64()?,
        expired_producer_max: row.i64()?,
        next_session: row.u64()?,
    };
    each_row(kv, b't', |_, row| load_topic(&mut state, row)).await?;
    each_row(kv, b'd', |key, mut row| match key {
        Key::Deleted(topic) => {
            state.topics.restore_deleted(topic, Lsn(row.u64()?));
            Ok(())
        }
        _ => Err(Unreadable),
    })
    .await?;
    each_row(kv, b'p', |key, row| load_partition(&mut state, key, row)).await?;
    each_row(kv, b'q', |key, row| load_producers(&mut state, key, row)).await?;
    each_row(kv, b's', |key, row| load_session(&mut state, key, row)).await?;
    Ok((state, at))
}

async fn each_row(
    kv: &dyn Kv,
    kind: u8,
    mut take: impl FnMut(Key, Decoder) -> Result<(), Unreadable>,
) -> Result<(), Error> {
    let (mut start, end) = keys::all(kind);
    loop {
        let rows = kv
            .range(&start, &end, ROWS_PER_READ, Direction::Forward)
            .await?;
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        start = [last.as_ref(), &[0]].concat().into();
        for (key, row) in rows {
            take(Key::decode(&key)?, Decoder::versioned(row, VERSION)?)?;
        }
    }
}

fn load_topic(state: &mut State, mut row: Decoder) -> Result<(), Unreadable> {
    let as_of = Lsn(row.u64()?);
    let created = Timestamp(row.i64()?);
    let first_producer = row.i64()?;
    let TopicCreated {
        id,
        name,
        partitions,
        replication_factor,
        configs,
    } = TopicCreated::decode(&mut row)?;
    row.end()?;
    let topic = Topic {
        id,
        name,
        partitions,
        replication_factor,
        configs,
        created,
    };
    state.topics.restore(topic, first_producer, as_of);
    Ok(())
}

fn load_partition(state: &mut State, key: Key, mut row: Decoder) -> Result<(), Unreadable> {
    let Key::Partition(partition) = key else {
        return Err(Unreadable);
    };
    let as_of = Lsn(row.u64()?);
    let (log_start, high_watermark) = (Offset(row.i64()?), Offset(row.i64()?));
    row.end()?;
    let log = state.topics.log_mut(partition).ok_or(Unreadable)?;
    *log = PartitionLog::restore(log_start, high_watermark, as_of);
    Ok(())
}

fn load_producers(state: &mut State, key: Key, mut row: Decoder) -> Result<(), Unreadable> {
    let Key::Producers(partition, _) = key else {
        return Err(Unreadable);
    };
    let log = state.topics.log_mut(partition).ok_or(Unreadable)?;
    while !row.is_empty() {
        let last_seen = Timestamp(row.i64()?);
        let batches = row.list(ProducerBatch::decode)?;
        let id = batches.first().ok_or(Unreadable)?.id;
        let mut producer = Producer::default();
        batches
            .iter()
            .for_each(|batch| producer.fold(last_seen, batch));
        log.restore_producer(id, producer);
    }
    Ok(())
}

fn load_session(state: &mut State, key: Key, mut row: Decoder) -> Result<(), Unreadable> {
    let Key::Session(id) = key else {
        return Err(Unreadable);
    };
    let mut session = Session {
        as_of: Lsn(row.u64()?),
        last: row.u64()?,
        ..Session::default()
    };
    session.outcomes = row
        .list(|row| Ok((row.u64()?, decode_outcome(row)?)))?
        .into_iter()
        .collect();
    row.end()?;
    state.sessions.restore(id, session);
    Ok(())
}
