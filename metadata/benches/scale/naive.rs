//! What Penstock does not do: every agent reads the next offsets of its partitions, adds, and writes them together with
//! its extents in an optimistic transaction, again and again until there is no conflict.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use metadata::TopicId;
use metadata::kv::{Direction, Kv, KvError, Transaction};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::figures::{Figures, process_cpu};
use crate::stores::{Counted, Opened};
use crate::workload::{Agent, Schedule, Shape};

/// As an extent takes in a log of the sequencer's.
const EXTENT_BYTES: usize = 60;
/// Stores limit values.
const ROW_BYTES: usize = 60 * 1024;
const RECORDS: u64 = 10;

pub(crate) async fn run(store: &Opened, agents: u32, shape: &Shape) -> anyhow::Result<Figures> {
    let mut all = Transaction::default();
    for partition in 0..shape.partitions {
        all.set(counter(partition), row(0));
    }
    store.kv.commit(all).await?;
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for number in 0..agents {
        let schedule = Schedule::new(begin, number, agents, shape);
        let agent = Agent::new(number, TopicId(7), *shape)?;
        running.spawn(commits(
            Arc::clone(&store.kv),
            agent,
            *shape,
            schedule,
            number,
        ));
    }
    sleep_until(begin + shape.warm_up).await;
    let process = process_cpu()?;
    store.kv.take();
    sleep_until(begin + shape.warm_up + shape.measured).await;
    let (transactions, conflicts) = store.kv.take();
    let mut figures = Figures {
        seconds: shape.measured.as_secs_f64(),
        transactions,
        conflicts,
        process_cpu: process_cpu()?.saturating_sub(process),
        ..Figures::default()
    };
    while let Some(done) = running.join_next().await {
        figures.commits.extend(done??);
    }
    figures.entries = figures.commits.len() as u64 * u64::try_from(shape.entries)?;
    Ok(figures)
}

async fn commits(
    kv: Arc<Counted>,
    mut agent: Agent,
    shape: Shape,
    mut schedule: Schedule,
    number: u32,
) -> anyhow::Result<Vec<Duration>> {
    let mut object = u128::from(number) << 64;
    while let Some(begun) = schedule.next().await {
        let partitions = agent.partitions();
        object += 1;
        while !committed(&kv, &partitions, &shape, object).await? {
            // Who never succeeds must end, too.
            if schedule.is_over() {
                return Ok(schedule.took());
            }
        }
        schedule.done(begun);
    }
    Ok(schedule.took())
}

/// All counters in one read, which is the least that it can cost.
async fn committed(
    kv: &Counted,
    partitions: &[i32],
    shape: &Shape,
    object: u128,
) -> anyhow::Result<bool> {
    let (start, end) = (counter(0), counter(shape.partitions));
    let limit = usize::try_from(shape.partitions)?;
    let rows = kv.range(&start, &end, limit, Direction::Forward).await?;
    // Memory answers at once, so that whoever asks again and again would keep all others from their turn.
    tokio::task::yield_now().await;
    let mut transaction = Transaction::default();
    for partition in partitions {
        let (key, value) = rows[usize::try_from(*partition)?].clone();
        let next = u64::from_be_bytes(value.as_ref().try_into()?) + RECORDS;
        transaction.expect(key.clone(), Some(value));
        transaction.set(key, row(next));
    }
    let extents = BytesMut::zeroed(partitions.len() * EXTENT_BYTES);
    for (part, piece) in (0_u32..).zip(extents.chunks(ROW_BYTES)) {
        let mut key = BytesMut::from("extents/");
        key.put_u128(object);
        key.put_u32(part);
        transaction.set(key.freeze(), Bytes::copy_from_slice(piece));
    }
    match kv.commit(transaction).await {
        Ok(()) => Ok(true),
        Err(KvError::Conflict) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn counter(partition: i32) -> Bytes {
    let mut key = BytesMut::from("counter/");
    key.put_i32(partition);
    key.freeze()
}

fn row(next: u64) -> Bytes {
    Bytes::copy_from_slice(&next.to_be_bytes())
}
