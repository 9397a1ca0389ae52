//! How long commits wait while a checkpoint is under way.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;

use super::*;

const PARTITIONS: u64 = 100;
const PRODUCERS: u64 = 100;
/// Of a commit.
const BLOCKS: u64 = 20;
/// Between two commits, all agents together.
const APART: Duration = Duration::from_millis(8);
const COMMITS: u64 = 2_500;

/// A store that takes its time: for each transaction, for each row of it, and for each read. Reads are beside commits.
#[derive(Clone, Debug, Default)]
struct Timed {
    memory: Memory,
    took: Arc<Mutex<Vec<Duration>>>,
    /// Reads of index rows that fail from now on.
    fails: Arc<AtomicUsize>,
}

const TRANSACTION: Duration = Duration::from_millis(10);
const ROW: Duration = Duration::from_micros(100);
const READ: Duration = Duration::from_millis(2);

#[async_trait]
impl OverMemory for Timed {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    async fn before_read(&self, from: &[u8]) -> Result<(), KvError> {
        tokio::time::sleep(READ).await;
        let (index, _) = crate::keys::all(b'x');
        let fail = |left: usize| left.checked_sub(1);
        if from >= index.as_ref() && self.fails.fetch_update(Relaxed, Relaxed, fail).is_ok() {
            let reason = "the connection for reads was lost".to_owned();
            return Err(KvError::Unavailable(reason));
        }
        Ok(())
    }

    async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
        let rows = u32::try_from(transaction.writes.len()).unwrap();
        let takes = TRANSACTION + ROW * rows;
        tokio::time::sleep(takes).await;
        self.took.lock().push(takes);
        self.memory.commit(transaction).await
    }
}

/// Some neighbouring partitions, which move on with each of a producer's commits.
fn wide(number: u64) -> Command {
    let (producer, round) = (number % PRODUCERS, number / PRODUCERS);
    let Command::CommitObject(mut command) = plain(number, 0) else {
        unreachable!()
    };
    let block = command.blocks.remove(0);
    let sequence = i32::try_from(round / (PARTITIONS / BLOCKS) * 10).unwrap();
    let producer = i64::try_from(producer).unwrap();
    command.blocks = (0..BLOCKS)
        .map(|index| (round * BLOCKS + index) % PARTITIONS)
        .map(|partition| CommitBlock {
            partition: PartitionIndex(i32::try_from(partition).unwrap()),
            batches: vec![batch(10, Some((producer, sequence)))],
            ..block.clone()
        })
        .collect();
    Command::CommitObject(command)
}

/// The slowest hundredth, and the median.
fn slowest(mut all: Vec<Duration>) -> (Duration, Duration) {
    all.sort_unstable();
    (all[all.len() * 99 / 100], all[all.len() / 2])
}

#[tokio::test(start_paused = true)]
async fn commits_wait_for_a_few_commits_of_the_store_whatever_is_written_besides() {
    let kv = Timed::default();
    let options = Options {
        checkpoint_interval: Duration::from_secs(5),
        ..options(1)
    };
    let running = run(kv.clone(), options).await;
    let partitions = i32::try_from(PARTITIONS).unwrap();
    create_topic(&running.metadata, TOPIC, "orders", partitions).await;
    kv.took.lock().clear();
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..COMMITS {
        let asked = Instant::now();
        let answer = running.metadata.submit(wide(number));
        waiting.spawn(async move {
            placed(&answer.await.unwrap().outcome);
            asked.elapsed()
        });
        tokio::time::sleep(APART).await;
    }
    let mut took = Vec::new();
    while let Some(commit) = waiting.join_next().await {
        took.push(commit.unwrap());
    }
    let stats = running.metadata.stats();
    assert!(stats.checkpoints >= 1, "{stats:?}");
    let (p99, _) = slowest(took);
    let (_, commit) = slowest(std::mem::take(&mut *kv.took.lock()));
    assert!(p99 <= commit * 4, "{p99:?} of {commit:?}");
    running.close().await;
}

/// A commit has a block of each partition, 40 times a second.
fn of_all(number: u64, partitions: u64) -> Command {
    let Command::CommitObject(mut command) = plain(number, 0) else {
        unreachable!()
    };
    let block = command.blocks.remove(0);
    command.blocks = (0..partitions)
        .map(|partition| CommitBlock {
            partition: PartitionIndex(i32::try_from(partition).unwrap()),
            ..block.clone()
        })
        .collect();
    Command::CommitObject(command)
}

/// However much each drain writes, rows keep up with the log, and no commit waits for all that was put off.
#[tokio::test(start_paused = true)]
async fn checkpoints_end_as_often_as_they_are_due_whatever_drains_write() {
    for partitions in [20, 300] {
        let kv = Timed::default();
        let options = Options {
            checkpoint_interval: Duration::from_secs(5),
            checkpoint_log_bytes: 2 << 20,
            log_bytes_max: 4 << 20,
            ..options(1)
        };
        let running = run(kv.clone(), options).await;
        let metadata = &running.metadata;
        create_topic(metadata, TOPIC, "orders", partitions).await;
        let mut waiting = tokio::task::JoinSet::new();
        let mut looking = tokio::task::JoinSet::new();
        let begun = Instant::now();
        for number in 0..1600 {
            let asked = Instant::now();
            let answer = metadata.submit(of_all(number, partitions.unsigned_abs().into()));
            waiting.spawn(async move {
                placed(&answer.await.unwrap().outcome);
                asked.elapsed()
            });
            if number % 400 == 399 {
                // Whoever looks at a store that is written all the time is told no worse of it.
                let kv = kv.clone();
                looking.spawn(async move { crate::check(&kv).await });
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        while let Some(checked) = looking.join_next().await {
            assert!(checked.unwrap().unwrap().cluster.is_some());
        }
        let mut longest = Duration::ZERO;
        while let Some(commit) = waiting.join_next().await {
            longest = longest.max(commit.unwrap());
        }
        let seconds = begun.elapsed().as_secs();
        let stats = metadata.stats();
        assert!(stats.checkpoints * 10 >= seconds, "{partitions}: {stats:?}");
        assert!(longest < TRANSACTION * 20, "{partitions}: {longest:?}");
        running.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn commits_go_on_where_a_checkpoint_cannot_read() {
    let kv = Timed::default();
    let options = Options {
        checkpoint_interval: Duration::from_secs(1),
        ..options(1)
    };
    let running = run(kv.clone(), options).await;
    create_topic(&running.metadata, TOPIC, "orders", 3).await;
    for number in 0..600 {
        if number % 200 == 100 {
            kv.fails.store(2, Relaxed);
        }
        committed(&running.metadata, plain(number, 0)).await;
    }
    let stats = running.metadata.stats();
    assert!(stats.checkpoints > 3, "{stats:?}");
    assert_eq!(kv.fails.load(Relaxed), 0);
    running.close().await;
}
