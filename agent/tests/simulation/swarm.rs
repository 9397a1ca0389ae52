//! Producers that come and go by thousands on one partition, as short jobs do. The first of them are still alive, and send
//! their only batch once more, as if its answer had been lost: it must be known however many came since, and whatever clocks
//! of machines say meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

use crate::history::Kind;
use crate::producer::{Plan, Producer};
use crate::world::{World, spawn};

/// Of so many runs one has a swarm, for it takes long.
const ONE_IN: u64 = 50;
/// Past what a partition remembered once.
const PRODUCERS: u32 = 6_500;
/// Producers of a swarm have numbers from here on.
const NUMBERS: u32 = 10_000;
/// Of them at once.
const WORKERS: usize = 64;
/// How many repeat their batch.
const REPEATING: usize = 100;
/// What every clock jumps ahead by before they do: longer than a silent producer is remembered.
const JUMP: Duration = Duration::from_secs(2 * 24 * 3600);
/// Longer than any process of a run takes to forget those that are silent for too long.
const LOOKED_FOR_SILENT: Duration = Duration::from_secs(12);

/// Whether this seed has a swarm.
pub(crate) fn comes(seed: u64) -> bool {
    seed % ONE_IN == ONE_IN / 2
}

/// Until all are done, and the first have repeated what they sent.
pub(crate) async fn swarm(world: Arc<World>) {
    let plan = Plan {
        kind: Kind::Idempotent,
        topic: 0,
        partitions: 1,
        batches: 1,
        pause: Duration::from_millis(1),
        request_timeout: Duration::from_secs(10),
        delivery_timeout: Duration::from_secs(3600),
        retries_pipelined: true,
    };
    let new = |number| Producer::new(Arc::clone(&world), number, plan.clone());
    let all = (NUMBERS..NUMBERS + PRODUCERS).map(new).collect();
    let mut done = run(all).await;
    done.sort_by_key(Producer::number);
    done.truncate(REPEATING);
    world.history.note(format!("all clocks jump by {JUMP:?}"));
    world.tick(JUMP);
    sleep(LOOKED_FOR_SILENT).await;
    done.iter_mut().for_each(Producer::repeat);
    run(done.into()).await;
    world.history.note("the swarm is gone");
}

/// Some at a time.
async fn run(producers: VecDeque<Producer>) -> Vec<Producer> {
    let queue = Arc::new(Mutex::new(producers));
    let done: Arc<Mutex<Vec<Producer>>> = Arc::default();
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (queue, done) = (Arc::clone(&queue), Arc::clone(&done));
            spawn(async move {
                loop {
                    let next = queue.lock().pop_front();
                    let Some(mut producer) = next else { return };
                    producer.run_to_the_end().await;
                    let mut done = done.lock();
                    done.push(producer);
                }
            })
        })
        .collect();
    for worker in workers {
        // One that panics was noticed.
        let _ = worker.await;
    }
    std::mem::take(&mut done.lock())
}
