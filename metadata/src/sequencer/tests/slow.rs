//! A store that is slower than what is asked of it: log and memory stay within their bounds, commits wait, and nothing is
//! lost. And a log that is too large to be cleared at once.

use super::*;
use crate::keys::Key;
use crate::sequencer::drain::DRAIN_BYTES_MAX;

/// A store that writes so many bytes a second.
#[derive(Clone, Debug)]
struct Slow {
    memory: Memory,
    bytes_per_second: usize,
}

#[async_trait]
impl OverMemory for Slow {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
        let micros = transaction.bytes() * 1_000_000 / self.bytes_per_second;
        tokio::time::sleep(Duration::from_micros(micros as u64)).await;
        self.memory.commit(transaction).await
    }
}

pub(super) const PARTITIONS: i32 = 400;
const BLOCKS: i32 = 50;

/// One batch in each of some partitions.
pub(super) fn wide(number: u64) -> Command {
    let Command::CommitObject(mut command) = plain(number, 0) else {
        unreachable!()
    };
    let block = command.blocks.remove(0);
    let first = i32::try_from(number % 8).unwrap() * BLOCKS;
    command.blocks = (first..first + BLOCKS)
        .map(|index| CommitBlock {
            partition: PartitionIndex(index),
            ..block.clone()
        })
        .collect();
    Command::CommitObject(command)
}

pub(super) fn log_bytes(memory: &Memory) -> usize {
    let rows = memory.snapshot();
    let log = rows
        .iter()
        .filter(|(key, _)| matches!(Key::decode(key), Ok(Key::Log(..))));
    log.map(|(_, row)| row.len()).sum()
}

#[tokio::test(start_paused = true)]
async fn a_store_ten_times_slower_than_the_load_bounds_the_log_and_loses_nothing() {
    // What two loops share is drawn apart.
    for (seed, checkpoint_log_bytes, log_bytes_max) in [
        (1, 100_000, 2_000_000),
        (2, 4_000_000, 1_500_000),
        (3, 700_000, 1_000_000),
    ] {
        let memory = Memory::new();
        let slow = Slow {
            memory: memory.clone(),
            bytes_per_second: 200_000,
        };
        let options = Options {
            checkpoint_log_bytes,
            log_bytes_max,
            ..options(seed)
        };
        let running = run(slow, options).await;
        create_topic(&running.metadata, TOPIC, "orders", PARTITIONS).await;
        let bound = usize::try_from(log_bytes_max).unwrap() + 2 * DRAIN_BYTES_MAX;
        let (mut next, mut most) = (0, 0);
        for _ in 0..48 {
            // Two megabytes a second would take them.
            let answers: Vec<_> = (next..next + 160)
                .map(|number| running.metadata.submit(wide(number)))
                .collect();
            next += 160;
            for answer in answers {
                placed(&answer.await.expect("slower, never refused").outcome);
            }
            most = most.max(log_bytes(&memory));
        }
        assert!(most <= bound, "seed {seed}: {most} of {bound}");
        let written = running.metadata.stats().log_bytes;
        assert!(written > 2 * log_bytes_max, "{written}: it was tried");
        running.kill().await;
        let running = run(memory.clone(), super::options(seed + 9)).await;
        for index in [0, 49, 50, PARTITIONS - 1] {
            let end = i64::try_from(next / 8).unwrap() * 10;
            assert_eq!(high_watermark(&running.metadata, index).await, end);
            assert_eq!(
                extents(&running.metadata, index).await.len(),
                usize::try_from(next / 8).unwrap()
            );
        }
        running.close().await;
        assert_eq!(log_bytes(&memory), 0, "seed {seed}: all of it is cleared");
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_of_more_rows_than_a_transaction_clears_is_cleared_in_stretches() {
    let memory = Memory::new();
    let options = Options {
        checkpoint_interval: Duration::from_secs(100_000),
        ..options(1)
    };
    let running = run(memory.clone(), options).await;
    create_topic(&running.metadata, TOPIC, "orders", 3).await;
    seconds(5).await;
    let many = u64::try_from(crate::kv::LIMITS.cleared_rows_max).unwrap() + 100;
    for number in 0..many {
        committed(&running.metadata, plain(number, 0)).await;
    }
    // One that knows the stretches, and one that finds the log there.
    let copy = Memory::new();
    for (key, row) in memory.snapshot() {
        let mut transaction = Transaction::default();
        transaction.set(key, row);
        copy.commit(transaction).await.unwrap();
    }
    running.close().await;
    assert_eq!(log_bytes(&memory), 0);
    let running = run(copy.clone(), super::options(2)).await;
    running.close().await;
    assert_eq!(log_bytes(&copy), 0);
}
