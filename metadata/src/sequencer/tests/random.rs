//! Many submitters, a store full of faults, processes that are killed: whatever was answered stays true. One seed, one
//! story.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use super::*;
use crate::command::{Answer, Rejected};
use crate::error::Happened;
use crate::kv::Faults;

const SUBMITTERS: u64 = 8;
const PARTITIONS: i32 = 3;
const BATCHES: u64 = 40;

/// One batch as its producer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sent {
    partition: i32,
    producer: i64,
    base_sequence: i32,
}

/// What the submitters tried and heard.
#[derive(Debug, Default)]
struct Record {
    /// Objects in which a batch was sent: none of an idempotent producer's may appear twice.
    attempts: BTreeMap<Sent, Vec<ObjectKey>>,
    answered: BTreeMap<Sent, (Offset, u32)>,
    /// Objects of batches without a producer, and where each was said to be.
    plain: BTreeMap<ObjectKey, (i32, Offset)>,
    tried: BTreeSet<ObjectKey>,
    /// Said not to have happened.
    never: BTreeSet<ObjectKey>,
    /// Everything that was heard, in order.
    trace: Vec<String>,
}

impl Record {
    /// Whether the batch is done with.
    fn heard(
        &mut self,
        sent: Sent,
        count: u32,
        number: u64,
        answer: Result<Answer, Error>,
    ) -> bool {
        self.trace.push(format!("{sent:?} {number} {answer:?}"));
        match answer.map(|answer| answer.outcome) {
            Ok(Outcome::Committed(verdicts)) => {
                let verdict = verdicts[0].unwrap_or_else(|no| panic!("{sent:?}: {no}"));
                if sent.producer < 0 {
                    let place = (sent.partition, verdict.base_offset);
                    self.plain.insert(object(number), place);
                } else {
                    self.answered.insert(sent, (verdict.base_offset, count));
                }
                true
            }
            Ok(Outcome::Rejected(Rejected::SessionClosed))
            | Err(Error::Unavailable {
                happened: Happened::No,
                ..
            }) => {
                self.never.insert(object(number));
                false
            }
            Err(_) => false,
            Ok(other) => panic!("{other:?}"),
        }
    }
}

/// The process of the moment, and what all of them share.
#[derive(Clone)]
struct World {
    metadata: Arc<Mutex<Metadata>>,
    record: Arc<Mutex<Record>>,
    objects: Arc<AtomicU64>,
}

impl World {
    /// Sends a batch until it is answered, as a client does, each time in a new segment.
    async fn send(&self, sent: Sent, count: u32) {
        loop {
            let number = self.objects.fetch_add(1, Ordering::Relaxed);
            let idempotent = (sent.producer >= 0).then_some((sent.producer, sent.base_sequence));
            let command = commit(number, sent.partition, vec![batch(count, idempotent)]);
            {
                let mut record = self.record.lock();
                record
                    .attempts
                    .entry(sent)
                    .or_default()
                    .push(object(number));
                record.tried.insert(object(number));
            }
            let answer = {
                let metadata = self.metadata.lock();
                metadata.submit(command)
            };
            let answer = answer.await;
            if self.record.lock().heard(sent, count, number, answer) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20 + number % 50)).await;
        }
    }

    async fn submitter(self, seed: u64, id: u64) {
        let idempotent = id % 4 != 3;
        let producer = if idempotent {
            i64::try_from(id).unwrap()
        } else {
            -1
        };
        let mut sequences = [0_i32; PARTITIONS as usize];
        for number in 0..BATCHES {
            let random = mix(seed ^ (id << 32) ^ number);
            let index = usize::try_from(random % u64::from(PARTITIONS.unsigned_abs())).unwrap();
            let count = u32::try_from(random >> 8 & 7).unwrap() + 1;
            let sent = Sent {
                partition: i32::try_from(index).unwrap(),
                producer,
                base_sequence: sequences[index],
            };
            self.send(sent, count).await;
            sequences[index] += count.cast_signed();
            if random >> 16 & 3 == 0 {
                tokio::time::sleep(Duration::from_millis(random >> 20 & 63)).await;
            }
        }
    }
}

async fn start_anew(memory: &Memory, seed: u64) -> Running {
    loop {
        let mut options = options(seed);
        options.checkpoint_interval = Duration::from_millis(120);
        options.checkpoint_log_bytes = 2_000;
        match try_run(Arc::new(memory.clone()), options).await {
            Ok(running) => return running,
            Err(Error::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Away for a while, killed, or closed and started anew.
async fn trouble(
    world: World,
    memory: Memory,
    faults: Faults,
    seed: u64,
    mut running: Running,
) -> Running {
    for number in 0..12 {
        let random = mix(seed ^ (number << 40));
        tokio::time::sleep(Duration::from_millis(random % 200)).await;
        match random >> 32 & 3 {
            0 => {
                faults.go_away();
                tokio::time::sleep(Duration::from_millis(random >> 40 & 1023)).await;
                faults.cease();
                faults.at_random(random, 150);
            }
            1 => {
                running.kill().await;
                running = start_anew(&memory, random).await;
            }
            2 => {
                // Another one takes over while this one still runs.
                let next = start_anew(&memory, random).await;
                let old = std::mem::replace(&mut running, next);
                *world.metadata.lock() = running.metadata.clone();
                let ended = tokio::time::timeout(Duration::from_secs(60), async {
                    while old.metadata.bounds(vec![]).await.is_ok() {}
                });
                ended.await.expect("the old one stops");
                continue;
            }
            _ => faults.land(),
        }
        *world.metadata.lock() = running.metadata.clone();
    }
    running
}

#[expect(clippy::disallowed_methods, reason = "the test owns its tasks")]
async fn story(seed: u64) -> (Vec<String>, BTreeMap<Bytes, Bytes>) {
    let memory = Memory::new();
    let running = run(memory.clone(), options(seed)).await;
    create_topic(&running.metadata, TOPIC, "orders", PARTITIONS).await;
    let faults = memory.faults();
    faults.at_random(seed, 150);
    let world = World {
        metadata: Arc::new(Mutex::new(running.metadata.clone())),
        record: Arc::default(),
        objects: Arc::default(),
    };
    let tasks: Vec<_> = (0..SUBMITTERS)
        .map(|id| tokio::spawn(world.clone().submitter(seed, id)))
        .collect();
    let running = trouble(world.clone(), memory.clone(), faults.clone(), seed, running).await;
    for task in tasks {
        task.await.unwrap();
    }
    faults.cease();
    faults.land();
    running.kill().await;
    let running = run(memory.clone(), options(seed + 1)).await;
    let record = std::mem::take(&mut *world.record.lock());
    judge(&running.metadata, &record, seed).await;
    running.close().await;
    (record.trace, memory.snapshot())
}

async fn judge(metadata: &Metadata, record: &Record, seed: u64) {
    let mut where_is: BTreeMap<ObjectKey, (i32, Offset, u32)> = BTreeMap::new();
    for index in 0..PARTITIONS {
        // `extents` sees to it that offsets are dense.
        for extent in extents(metadata, index).await {
            let here = (index, extent.base_offset, extent.record_count);
            let twice = where_is.insert(extent.stored().unwrap().object, here);
            assert_eq!(twice, None, "seed {seed}: an object counts once");
        }
    }
    let wanted = SUBMITTERS * BATCHES;
    assert_eq!((record.answered.len() + record.plain.len()) as u64, wanted);
    let mut last: BTreeMap<(i32, i64), Offset> = BTreeMap::new();
    for (sent, (offset, count)) in &record.answered {
        let attempts = &record.attempts[sent];
        let found: Vec<_> = attempts
            .iter()
            .filter_map(|key| where_is.get(key))
            .collect();
        assert_eq!(
            found,
            [&(sent.partition, *offset, *count)],
            "seed {seed}: {sent:?}"
        );
        // Sequences ascend, and so must offsets.
        let before = last.insert((sent.partition, sent.producer), *offset);
        assert!(before < Some(*offset), "seed {seed}: {sent:?}");
    }
    for (key, (index, offset)) in &record.plain {
        let found = where_is
            .get(key)
            .map(|(index, offset, _)| (*index, *offset));
        assert_eq!(found, Some((*index, *offset)), "seed {seed}: {key}");
    }
    assert!(record.never.len() > 10, "seed {seed}: there were refusals");
    for key in where_is.keys() {
        assert!(
            !record.never.contains(key),
            "seed {seed}: {key} never happened"
        );
        assert!(
            record.tried.contains(key),
            "seed {seed}: {key} was never sent"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_answered_is_lost_doubled_or_out_of_order() {
    for seed in 0..25 {
        story(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_tells_the_same_story() {
    for seed in [3, 11] {
        let (first, rows) = story(seed).await;
        let (second, rows_again) = story(seed).await;
        let same = first
            .iter()
            .zip(&second)
            .take_while(|(a, b)| a == b)
            .count();
        assert_eq!(
            first.get(same),
            second.get(same),
            "seed {seed}, step {same}"
        );
        assert_eq!(first.len(), second.len());
        assert!(rows == rows_again, "seed {seed}");
        assert!(
            first.len() as u64 > SUBMITTERS * BATCHES,
            "there were faults"
        );
    }
}
