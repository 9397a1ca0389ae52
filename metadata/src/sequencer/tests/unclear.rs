//! What was sent to the store and never made clear is said to be unknown, whatever the process ends of: only what certainly
//! did not happen may be said not to have.

use parking_lot::Mutex;

use super::*;
use crate::command::Submission;
use crate::error::Happened;
use crate::history::{HistoryId, Point};
use crate::kv::Fault;
use crate::types::Lsn;
use crate::witness::{Remembered, TIME_MAX, WRITE_INTERVAL, Witness};

/// What a store does with the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It lands, and another process takes over before anybody hears of it.
    LandsBeforeTakeOver,
    /// It is lost, and another process takes over.
    LostBeforeTakeOver,
    /// It lands, and the store never says so.
    LandsInSilence,
}

/// A store in memory.
#[derive(Clone, Debug)]
struct Unclear {
    memory: Memory,
    next: Arc<Mutex<Option<Next>>>,
}

impl Unclear {
    fn over(memory: &Memory) -> Self {
        Self {
            memory: memory.clone(),
            next: Arc::default(),
        }
    }

    fn do_next(&self, next: Next) {
        *self.next.lock() = Some(next);
    }
}

#[async_trait]
impl OverMemory for Unclear {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
        let next = self.next.lock().take();
        let Some(next) = next else {
            return self.memory.commit(transaction).await;
        };
        if next != Next::LostBeforeTakeOver {
            self.memory.commit(transaction).await?;
        }
        if next == Next::LandsInSilence {
            std::future::pending::<()>().await;
        }
        run(self.memory.clone(), options(2)).await.kill().await;
        Err(KvError::Unknown("the connection was lost".to_owned()))
    }
}

fn is_unknown(answer: &Result<crate::Answer, Error>) -> bool {
    matches!(
        answer,
        Err(Error::Unavailable {
            happened: Happened::Unknown,
            ..
        })
    )
}

/// How far the partition is for the next process.
async fn found(memory: Memory) -> i64 {
    let running = run(memory, options(3)).await;
    let found = high_watermark(&running.metadata, 0).await;
    running.close().await;
    found
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_may_have_landed_before_a_take_over_is_unknown() {
    for (next, lands) in [
        (Next::LandsBeforeTakeOver, 10),
        (Next::LostBeforeTakeOver, 0),
    ] {
        let memory = Memory::new();
        fresh(&memory).await.close().await;
        let kv = Unclear::over(&memory);
        let running = run(kv.clone(), options(1)).await;
        kv.do_next(next);
        let first = running.metadata.submit(plain(1, 0));
        // Not in the same drain.
        let behind = async {
            tokio::task::yield_now().await;
            running.metadata.submit(plain(2, 0)).await
        };
        let (first, behind) = tokio::join!(first, behind);
        assert!(is_unknown(&first), "{next:?}: {first:?}");
        assert!(
            matches!(behind, Err(Error::Fenced | Error::Closing)),
            "{next:?}: {behind:?}"
        );
        let ended = running.task.await.unwrap();
        assert!(matches!(ended, Err(Error::Fenced)), "{ended:?}");
        assert_eq!(found(memory).await, lands, "{next:?}");
    }
}

/// As one that learns, while a drain is under way, that its bucket is another cluster's.
#[tokio::test(start_paused = true)]
async fn a_drain_that_is_under_way_when_the_process_ends_is_unknown() {
    let memory = Memory::new();
    fresh(&memory).await.close().await;
    let remembered: Arc<Mutex<Option<Remembered>>> = Arc::default();
    let (read, written) = (Arc::clone(&remembered), Arc::clone(&remembered));
    let witness = Witness {
        read: Arc::new(move || {
            let remembered = read.lock().clone();
            Box::pin(async move { Ok(remembered) })
        }),
        write: Arc::new(move |point| {
            *written.lock() = Some(point);
            Box::pin(async { Ok(()) })
        }),
    };
    let kv = Unclear::over(&memory);
    let options = Options {
        witness: Some(witness),
        ..options(1)
    };
    let running = run(kv.clone(), options).await;
    // What comes next is news to the bucket.
    seconds(1).await;
    assert_eq!(committed(&running.metadata, plain(1, 0)).await, 0);
    kv.do_next(Next::LandsInSilence);
    let under_way = running.metadata.submit(plain(2, 0));
    let behind = async {
        seconds(1).await;
        let behind = running.metadata.submit(plain(3, 0));
        let point = Point {
            history: HistoryId(1),
            epoch: 1,
            nonce: 1,
            lsn: Lsn(1),
        };
        *remembered.lock() = Some(Remembered {
            cluster: "another".to_owned(),
            history: point.history,
            point: Some(point),
        });
        behind.await
    };
    let both = async { tokio::join!(under_way, behind) };
    let (under_way, behind) = tokio::time::timeout(WRITE_INTERVAL + TIME_MAX, both)
        .await
        .expect("it ends");
    assert!(is_unknown(&under_way), "{under_way:?}");
    assert!(matches!(behind, Err(Error::Closing)), "{behind:?}");
    let ended = running.task.await.unwrap();
    assert!(matches!(ended, Err(Error::OtherBucket { .. })), "{ended:?}");
    assert_eq!(found(memory).await, 20);
}

/// A store whose commits are told once its standby has them, too. Of some the wait is given up: they can be read, and are
/// lost with it.
#[derive(Clone, Debug)]
struct Replicated {
    memory: Memory,
    standby: Arc<Mutex<Memory>>,
    given_up: Arc<AtomicU64>,
}

impl Replicated {
    fn over(memory: &Memory) -> Self {
        Self {
            memory: memory.clone(),
            standby: Arc::new(Mutex::new(memory.copy())),
            given_up: Arc::default(),
        }
    }

    /// How far the partition is where the standby takes its place.
    async fn found_behind(&self) -> i64 {
        let standby = self.standby.lock().copy();
        found(standby).await
    }
}

#[async_trait]
impl OverMemory for Replicated {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
        self.memory.commit(transaction).await?;
        let gives_up = |left: u64| left.checked_sub(1);
        let (order, given_up) = (Ordering::Relaxed, &self.given_up);
        if given_up.fetch_update(order, order, gives_up).is_ok() {
            return Err(KvError::Unknown("the standby is away".to_owned()));
        }
        *self.standby.lock() = self.memory.copy();
        Ok(())
    }
}

/// What can be read may be lost all the same.
#[tokio::test(start_paused = true)]
async fn a_drain_that_is_found_there_is_acknowledged_behind_a_write_of_its_own() {
    for (given_up, is_answered) in [(1, true), (2, true), (3, true), (4, false)] {
        let memory = Memory::new();
        fresh(&memory).await.close().await;
        let kv = Replicated::over(&memory);
        let running = run(kv.clone(), options(1)).await;
        kv.given_up.store(given_up, Ordering::Relaxed);
        let answer = running.metadata.submit(plain(1, 0)).await;
        match &answer {
            Ok(_) => assert_eq!(kv.found_behind().await, 10, "{given_up}"),
            Err(_) => assert!(is_unknown(&answer), "{given_up}: {answer:?}"),
        }
        assert_eq!(answer.is_ok(), is_answered, "{given_up}: {answer:?}");
        // Whatever was said, it goes on.
        seconds(5).await;
        assert_eq!(committed(&running.metadata, plain(2, 0)).await, 10);
        assert_eq!(kv.found_behind().await, 20, "{given_up}");
        running.kill().await;
    }
}

/// The same of what a take-over finds in the log, and answers again.
#[tokio::test(start_paused = true)]
async fn what_is_answered_after_a_take_over_lies_before_a_write_of_its_own() {
    let memory = Memory::new();
    fresh(&memory).await.close().await;
    let kv = Replicated::over(&memory);
    let running = run(kv.clone(), options(1)).await;
    let metadata = &running.metadata;
    // The drain, three attempts to make it clear, and the take-over.
    kv.given_up.store(5, Ordering::Relaxed);
    let unclear = metadata.submit(plain(1, 0)).await;
    assert!(is_unknown(&unclear), "{unclear:?}");
    let again = Submission {
        session: metadata.session(),
        sequence: 1,
        seen: 0,
        command: plain(1, 0),
    };
    let begun = Instant::now();
    let answer = loop {
        match metadata.resubmit(again.clone()).await {
            Ok(answer) => break answer,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(placed(&answer.outcome).base_offset.0, 0);
    assert_eq!(kv.found_behind().await, 10);
    running.kill().await;
}

/// As on a full disk that has room for what makes a drain clear, and none for the drain.
#[tokio::test(start_paused = true)]
async fn a_drain_that_is_known_to_be_lost_each_time_is_refused_for_the_stores_reason() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    // The drain, and what makes it clear; then both again.
    let lost = [Fault::UnknownLost, Fault::None];
    memory.faults().inject([lost, lost].concat());
    let refused = running.metadata.submit(plain(1, 0)).await;
    let Err(Error::Unavailable { happened, reason }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(reason, "the answer was lost");
    assert_eq!(happened, Happened::No);
    running.kill().await;
    assert_eq!(found(memory).await, 0);
}
