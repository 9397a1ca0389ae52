//! Index rows that cannot be read now: only checkpoints wait for them, for as long as the log has room. Where it has none
//! commits are refused, and everything else goes on.

use parking_lot::Mutex;
use tokio::time::timeout;

use super::faults::durable_epoch;
use super::slow::{PARTITIONS, log_bytes, wide};
use super::*;
use crate::error::Happened;
use crate::sequencer::drain::DRAIN_BYTES_MAX;

/// What becomes of a read of index rows.
#[derive(Clone, Copy, Debug)]
enum Reads {
    Answered,
    /// After so long.
    Late(Duration),
    Refused,
}

#[derive(Clone, Debug)]
struct Hindered {
    memory: Memory,
    reads: Arc<Mutex<Reads>>,
}

impl Hindered {
    fn over(memory: &Memory, reads: Reads) -> Self {
        Self {
            memory: memory.clone(),
            reads: Arc::new(Mutex::new(reads)),
        }
    }

    fn are(&self, reads: Reads) {
        *self.reads.lock() = reads;
    }
}

#[async_trait]
impl OverMemory for Hindered {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    async fn before_read(&self, from: &[u8]) -> Result<(), KvError> {
        let (index, end) = crate::keys::all(b'x');
        if from < index.as_ref() || from >= end.as_ref() {
            return Ok(());
        }
        let reads = *self.reads.lock();
        match reads {
            Reads::Answered => Ok(()),
            Reads::Late(late) => {
                tokio::time::sleep(late).await;
                Ok(())
            }
            Reads::Refused => Err(KvError::Unavailable("input/output error".to_owned())),
        }
    }

    async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.memory.commit(transaction).await
    }
}

#[tokio::test(start_paused = true)]
async fn no_commit_waits_for_index_rows_that_come_late() {
    let kv = Hindered::over(&Memory::new(), Reads::Answered);
    let options = Options {
        checkpoint_interval: Duration::from_secs(1),
        ..options(1)
    };
    let running = run(kv.clone(), options).await;
    let metadata = &running.metadata;
    create_topic(metadata, TOPIC, "orders", 3).await;
    for index in 0..3 {
        committed(metadata, plain(1 + u64::try_from(index).unwrap(), index)).await;
    }
    seconds(5).await;
    kv.are(Reads::Late(Duration::from_secs(10)));
    for number in 0..2_000 {
        let answer = metadata.submit(plain(100 + number, i32::try_from(number % 3).unwrap()));
        let answer = timeout(Duration::from_secs(1), answer).await;
        placed(&answer.expect("nobody waits").unwrap().outcome);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Late is not never.
    let stats = metadata.stats();
    assert!(stats.checkpoints >= 2, "{stats:?}");
    running.close().await;
}

/// Asks until it has been so long. What was acknowledged in the first partition.
async fn press(metadata: &Metadata, memory: &Memory, next: &mut u64, long: Duration) -> Pressed {
    let (begun, mut pressed) = (Instant::now(), Pressed::default());
    while begun.elapsed() < long {
        let answers: Vec<_> = (*next..*next + 40)
            .map(|number| (number, metadata.submit(wide(number))))
            .collect();
        *next += 40;
        for (number, answer) in answers {
            match answer.await {
                Ok(answer) => {
                    placed(&answer.outcome);
                    pressed.acknowledged += i64::from(number % 8 == 0);
                }
                Err(Error::Unavailable { happened, .. }) => {
                    assert_eq!(happened, Happened::No);
                    pressed.refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        pressed.log_bytes = pressed.log_bytes.max(log_bytes(memory));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    pressed
}

#[derive(Clone, Copy, Debug, Default)]
struct Pressed {
    /// Batches in the first partition.
    acknowledged: i64,
    refused: usize,
    /// The most that there were.
    log_bytes: usize,
}

const LOG_BYTES_MAX: usize = 1 << 20;

fn with_little_room(seed: u64) -> Options {
    Options {
        log_bytes_max: LOG_BYTES_MAX as u64,
        ..options(seed)
    }
}

/// As where one page of a disk cannot be read. Nobody is cut off for it.
#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_go_to_rows_ends_at_its_bound_and_all_else_goes_on() {
    let memory = Memory::new();
    let kv = Hindered::over(&memory, Reads::Answered);
    let running = run(kv.clone(), with_little_room(1)).await;
    let metadata = &running.metadata;
    create_topic(metadata, TOPIC, "orders", PARTITIONS).await;
    let mut next = 0;
    let before = press(metadata, &memory, &mut next, Duration::from_secs(20)).await;
    assert_eq!(before.refused, 0);
    for reads in [Reads::Refused, Reads::Late(Duration::from_secs(1_000_000))] {
        kv.are(reads);
        let epoch = durable_epoch(&memory);
        let checkpoints = metadata.stats().checkpoints;
        let found = high_watermark(metadata, 0).await;
        let pressed = press(metadata, &memory, &mut next, Duration::from_secs(120)).await;
        let bound = LOG_BYTES_MAX + 2 * DRAIN_BYTES_MAX;
        assert!(pressed.log_bytes <= bound, "{reads:?}: {pressed:?}");
        assert!(pressed.refused > 0, "{reads:?}: it was tried");
        assert!(metadata.stats().checkpoints <= checkpoints + 1, "{reads:?}");
        assert_eq!(
            durable_epoch(&memory),
            epoch,
            "{reads:?}: nothing is loaded anew"
        );
        assert!(metadata.ready(), "{reads:?}");
        let asked = Instant::now();
        let end = high_watermark(metadata, 0).await;
        assert_eq!(end, found + 10 * pressed.acknowledged, "{reads:?}");
        assert!(asked.elapsed() < Duration::from_secs(1), "{reads:?}");
        match reads {
            Reads::Refused => kv.are(Reads::Answered),
            // Such a one ends with the process that asks.
            _ => break,
        }
        seconds(30).await;
        let after = press(metadata, &memory, &mut next, Duration::from_secs(5)).await;
        assert_eq!(after.refused, 0, "{reads:?}: and then it goes on");
        seconds(30).await;
    }
    let end = high_watermark(metadata, 0).await;
    running.kill().await;
    let running = run(memory.clone(), options(2)).await;
    assert_eq!(high_watermark(&running.metadata, 0).await, end);
    running.close().await;
    assert_eq!(log_bytes(&memory), 0);
}

/// What was replayed is log as well.
#[tokio::test(start_paused = true)]
async fn the_bound_of_the_log_holds_for_all_that_take_over_one_after_another() {
    let memory = Memory::new();
    let running = run(memory.clone(), with_little_room(1)).await;
    create_topic(&running.metadata, TOPIC, "orders", PARTITIONS).await;
    let mut next = 0;
    press(
        &running.metadata,
        &memory,
        &mut next,
        Duration::from_secs(2),
    )
    .await;
    running.close().await;
    for seed in 2..8 {
        let kv = Hindered::over(&memory, Reads::Refused);
        let running = run(kv, with_little_room(seed)).await;
        let long = Duration::from_secs(30);
        let pressed = press(&running.metadata, &memory, &mut next, long).await;
        let bound = LOG_BYTES_MAX + 2 * DRAIN_BYTES_MAX;
        assert!(pressed.log_bytes <= bound, "{seed}: {pressed:?}");
        running.kill().await;
    }
    let running = run(memory.clone(), with_little_room(9)).await;
    seconds(30).await;
    committed(&running.metadata, plain(next, 0)).await;
    running.close().await;
    assert_eq!(log_bytes(&memory), 0);
}
