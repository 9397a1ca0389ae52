//! Rows back to state: what a checkpoint holds, before the log after it is replayed.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::VERSION;
use crate::catalogue::Topic;
use crate::codec::{Decoder, Unreadable};
use crate::effect::{ProducerBatch, TopicCreated, decode_bucket, decode_outcome};
use crate::error::Error;
use crate::keys::{self, Key};
use crate::kv::{Direction, Kv};
use crate::level;
use crate::state::{Cluster, Counters, PartitionLog, Producer, Session, State};
use crate::types::{Bounds, Lsn, NamingEpoch, Offset, Timestamp};

/// Rows read at a time.
const ROWS_PER_READ: usize = 1000;

/// The state as of the checkpoint, but for rows that are newer and say so.
pub(crate) async fn load(kv: &dyn Kv) -> Result<State, Error> {
    let mut state = State::default();
    let row = kv.get(&Key::Checkpoint.encode()).await?.ok_or(Unreadable)?;
    (state.lsn, state.counters) = decode_row(row)?;
    // Before other rows, which may be such as this version cannot read.
    level::check(state.counters.cluster.level())?;
    state.dirty.since = state.lsn;
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
    let mut outcomes = Outcomes::default();
    each_row(kv, b'a', |key, row| outcomes.join(key, row)).await?;
    each_row(kv, b's', |key, row| {
        load_session(&mut state, key, row, &mut outcomes)
    })
    .await?;
    Ok(state)
}

pub(super) fn decode_row(row: Bytes) -> Result<(Lsn, Counters), Unreadable> {
    let mut row = Decoder::versioned(row, VERSION)?;
    let at = Lsn(row.u64()?);
    let counters = Counters {
        next_producer: row.i64()?,
        expired_producer_end: row.i64()?,
        next_session: row.u64()?,
        bucket: decode_bucket(&mut row)?,
        now: Timestamp(row.i64()?),
        naming: NamingEpoch(row.u32()?),
        naming_since: Timestamp(row.i64()?),
        cluster: Cluster::decode(&mut row)?,
    };
    row.end()?;
    Ok((at, counters))
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
    let TopicCreated {
        id,
        name,
        partitions,
        replication_factor,
        configs,
        first_producer,
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
    let bounds = Bounds {
        log_start,
        last_stable: high_watermark,
        high_watermark,
        epoch_start: Offset(row.i64()?),
    };
    row.end()?;
    let log = state.topics.log_mut(partition).ok_or(Unreadable)?;
    *log = PartitionLog::restore(bounds, as_of);
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

/// The outcomes of all sessions, whose parts lie in order.
#[derive(Default)]
struct Outcomes(BTreeMap<(u64, u64), BytesMut>);

impl Outcomes {
    fn join(&mut self, key: Key, row: Decoder) -> Result<(), Unreadable> {
        let Key::Outcome(session, sequence, _) = key else {
            return Err(Unreadable);
        };
        let joined = self.0.entry((session, sequence)).or_default();
        joined.extend_from_slice(&row.rest());
        Ok(())
    }
}

fn load_session(
    state: &mut State,
    key: Key,
    mut row: Decoder,
    outcomes: &mut Outcomes,
) -> Result<(), Unreadable> {
    let Key::Session(id) = key else {
        return Err(Unreadable);
    };
    let mut session = Session {
        as_of: Lsn(row.u64()?),
        last: row.u64()?,
        nonce: row.u64()?,
        ..Session::default()
    };
    row.end()?;
    // Outcomes past the last are of a checkpoint that a crash cut short; the log has them.
    for ((_, sequence), bytes) in outcomes.0.range_mut((id, 0)..=(id, session.last)) {
        let mut bytes = Decoder::new(bytes.split().freeze());
        session
            .outcomes
            .insert(*sequence, decode_outcome(&mut bytes)?);
        bytes.end()?;
    }
    state.sessions.restore(id, session);
    Ok(())
}
