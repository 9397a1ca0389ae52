//! What deleted topics left is given back while commits go on: index rows, marks, and the counts of objects. Neither damage
//! nor rows that come late keep anything else from going on.

use std::collections::BTreeSet;

use tokio::time::{sleep, timeout};

use super::free::check;
use super::*;
use crate::command::Rejected;
use crate::keys::{self, Key};
use crate::state::Limits;

/// Beside the one that is deleted.
const KEPT: TopicId = TopicId(8);

fn eager(seed: u64) -> Options {
    Options {
        checkpoint_interval: Duration::from_secs(1),
        leftovers_interval: Duration::from_secs(2),
        ..options(seed)
    }
}

/// An object with ten records for each of those.
fn object_of(number: u64, partitions: &[(TopicId, i32)]) -> Command {
    let Command::CommitObject(mut commit) = plain(number, 0) else {
        unreachable!()
    };
    let block = commit.blocks.remove(0);
    let blocks = partitions.iter().map(|(topic, index)| CommitBlock {
        topic: *topic,
        partition: PartitionIndex(*index),
        ..block.clone()
    });
    commit.blocks = blocks.collect();
    Command::CommitObject(commit)
}

async fn delete(metadata: &Metadata, topic: TopicId) -> Outcome {
    let delete = Command::DeleteTopic(topic);
    metadata.submit(delete).await.unwrap().outcome
}

/// A store with a deleted topic of some chunks in each of three partitions. Of its objects the half holds records of another
/// topic as well.
async fn deleted() -> Memory {
    let memory = Memory::new();
    let running = run(memory.clone(), options(1)).await;
    let metadata = &running.metadata;
    create_topic(metadata, TOPIC, "orders", 3).await;
    create_topic(metadata, KEPT, "kept", 1).await;
    let all = [(TOPIC, 0), (TOPIC, 1), (TOPIC, 2), (KEPT, 0)];
    for number in 0..1_000 {
        let count = if number % 2 == 0 { 4 } else { 3 };
        committed(metadata, object_of(number, &all[..count])).await;
    }
    assert_eq!(delete(metadata, TOPIC).await, Outcome::TopicDeleted);
    running.close().await;
    assert_eq!(partitions_left(&memory), BTreeSet::from([0, 1, 2]));
    memory
}

/// The partitions of the deleted topic's index rows.
fn rows_left(memory: &Memory) -> Vec<i32> {
    let keys = memory.snapshot().into_keys();
    let of_topic = keys.filter_map(|key| match Key::decode(&key) {
        Ok(Key::Index(at, ..)) if at.topic == TOPIC => Some(at.partition.0),
        _ => None,
    });
    of_topic.collect()
}

fn partitions_left(memory: &Memory) -> BTreeSet<i32> {
    rows_left(memory).into_iter().collect()
}

fn is_marked(memory: &Memory) -> bool {
    let mark = Key::Deleted(TOPIC).encode();
    memory.snapshot().contains_key(&mark)
}

/// A checkpoint clears the mark, and there is one when something was written.
async fn nothing_stays(running: Running, memory: &Memory) {
    committed(&running.metadata, object_of(90_000, &[(KEPT, 0)])).await;
    seconds(5).await;
    assert_eq!(partitions_left(memory), BTreeSet::new());
    assert!(!is_marked(memory));
    assert_eq!(running.metadata.stats().usage.deleted_topics, 0);
    running.kill().await;
    check(memory).await;
    run(memory.clone(), options(100)).await.close().await;
    check(memory).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_given_back_while_commits_go_on() {
    let memory = deleted().await;
    let running = run(memory.clone(), eager(2)).await;
    for number in 2_000..6_000 {
        committed(&running.metadata, object_of(number, &[(KEPT, 0)])).await;
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(partitions_left(&memory), BTreeSet::new());
    let stats = running.metadata.stats();
    assert!(stats.chunks_freed > 3, "{stats:?}");
    assert_eq!(stats.objects_orphaned, 500, "the other half is read");
    nothing_stays(running, &memory).await;
}

#[tokio::test(start_paused = true)]
async fn it_takes_no_room_among_deleted_topics_any_more() {
    let memory = Memory::new();
    let options = Options {
        limits: Limits {
            deleted_topics: 1,
            ..Limits::default()
        },
        ..eager(1)
    };
    let running = run(memory.clone(), options).await;
    let metadata = &running.metadata;
    for (topic, name) in [(TOPIC, "orders"), (KEPT, "kept")] {
        create_topic(metadata, topic, name, 1).await;
    }
    committed(metadata, object_of(1, &[(TOPIC, 0), (KEPT, 0)])).await;
    assert_eq!(delete(metadata, TOPIC).await, Outcome::TopicDeleted);
    let full = Outcome::Rejected(Rejected::TooManyDeletedTopics);
    assert_eq!(delete(metadata, KEPT).await, full);
    seconds(10).await;
    committed(metadata, object_of(2, &[(KEPT, 0)])).await;
    seconds(10).await;
    assert_eq!(delete(metadata, KEPT).await, Outcome::TopicDeleted);
    running.close().await;
    check(&memory).await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_amid_it_leaves_the_rest_to_the_next_one() {
    let memory = deleted().await;
    let mut seen = BTreeSet::new();
    for seed in 2..30 {
        let options = Options {
            leftovers_interval: Duration::from_millis(1),
            ..options(seed)
        };
        let running = run(memory.clone(), options).await;
        sleep(Duration::from_millis(5 * (seed % 7))).await;
        running.kill().await;
        check(&memory).await;
        seen.insert(rows_left(&memory).len());
    }
    assert!(seen.len() > 2, "{seen:?}");
    let running = run(memory.clone(), eager(99)).await;
    seconds(10).await;
    nothing_stays(running, &memory).await;
}

/// Its first round does not wait for the end of an interval, which few processes may live to see.
#[tokio::test(start_paused = true)]
async fn a_process_that_lives_for_less_than_an_interval_gives_it_back_too() {
    let memory = deleted().await;
    let before = rows_left(&memory);
    let options = options(2);
    assert!(options.leftovers_interval > Duration::from_secs(20));
    let running = run(memory.clone(), options).await;
    seconds(4).await;
    assert_eq!(rows_left(&memory), before, "it has just started");
    seconds(10).await;
    assert_eq!(partitions_left(&memory), BTreeSet::new());
    running.kill().await;
    check(&memory).await;
}

/// A store that counts reads of index rows, and is late with those of the deleted topic.
#[derive(Clone, Debug)]
struct Watched {
    memory: Memory,
    reads: Arc<AtomicU64>,
    late: Duration,
}

impl Watched {
    fn over(memory: &Memory, late: Duration) -> Self {
        Self {
            memory: memory.clone(),
            reads: Arc::default(),
            late,
        }
    }
}

#[async_trait]
impl OverMemory for Watched {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    async fn before_read(&self, from: &[u8]) -> Result<(), KvError> {
        let (start, end) = keys::all(b'x');
        if from < start.as_ref() || from >= end.as_ref() {
            return Ok(());
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        let of_topic = Key::Index(partition(0), 0, 0, Offset(0)).encode();
        let kept = TopicPartition {
            topic: KEPT,
            ..partition(0)
        };
        let end = Key::Index(kept, 0, 0, Offset(0)).encode();
        if (&of_topic[..]..&end[..]).contains(&from) {
            sleep(self.late).await;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn no_commit_waits_for_rows_of_it_that_come_late() {
    let memory = deleted().await;
    let kv = Watched::over(&memory, Duration::from_secs(10));
    let running = run(kv, eager(2)).await;
    for number in 2_000..4_000 {
        let answer = running.metadata.submit(object_of(number, &[(KEPT, 0)]));
        let answer = timeout(Duration::from_secs(1), answer).await;
        placed(&answer.expect("nobody waits").unwrap().outcome);
        sleep(Duration::from_millis(20)).await;
    }
    // Late is not never.
    seconds(1_000).await;
    nothing_stays(running, &memory).await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_whose_rows_are_damaged_stays_and_keeps_nothing_else() {
    let memory = deleted().await;
    let rows = memory.snapshot();
    let is_first = |key: &&Bytes| matches!(Key::decode(key), Ok(Key::Index(at, _, 0, _)) if at == partition(1));
    let chunk = rows.keys().find(is_first).unwrap();
    let one = Key::Object(object(1)).encode();
    for harmed in [chunk, &one] {
        let memory = memory.copy();
        let change = async |row: Bytes| {
            let mut change = Transaction::default();
            change.set(harmed.clone(), row);
            memory.commit(change).await.unwrap();
        };
        change(Bytes::from_static(&[1, 2, 3])).await;
        let kv = Watched::over(&memory, Duration::ZERO);
        let running = run(kv.clone(), eager(2)).await;
        seconds(60).await;
        // An object that many rows name harms each of them.
        let left = match harmed == chunk {
            true => BTreeSet::from([1]),
            false => BTreeSet::from([0, 1, 2]),
        };
        assert_eq!(partitions_left(&memory), left);
        assert!(is_marked(&memory));
        let before = kv.reads.load(Ordering::Relaxed);
        seconds(600).await;
        let reads = kv.reads.load(Ordering::Relaxed) - before;
        assert!(
            (300..600 * 10).contains(&reads),
            "{reads}: each two seconds"
        );
        change(rows[harmed].clone()).await;
        seconds(10).await;
        nothing_stays(running, &memory).await;
    }
}
