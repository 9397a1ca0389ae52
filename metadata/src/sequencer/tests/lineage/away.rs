//! The bucket is away when the holder dies: who takes over without asking it, and who must not.

use std::pin::Pin;

use super::emptied::candidate;
use super::*;
use crate::kv::ReadFault;
use crate::sequencer::tests::silent::own;
use crate::sequencer::{Role, Status};

/// A process that is alive only while it is polled, so that it can be frozen.
struct Process {
    status: Status,
    running: Pin<Box<dyn Future<Output = Result<(), Error>>>>,
}

impl Process {
    /// It runs for so long, and does not end.
    async fn runs(&mut self, time: Duration) {
        tokio::select! {
            ended = &mut self.running => panic!("it ended: {ended:?}"),
            () = tokio::time::sleep(time) => {}
        }
    }

    /// It holds the order within some seconds.
    async fn takes_over(&mut self) -> Metadata {
        for _ in 0..200 {
            if let Role::Holding(metadata) = self.status.role() {
                return metadata;
            }
            self.runs(Duration::from_millis(50)).await;
        }
        panic!("it does not take over");
    }

    async fn ends(self) -> Error {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.running).await;
        ended.expect("it ends").unwrap_err()
    }
}

/// A store in which a holder at one:1 is idle, and the holder.
#[expect(clippy::disallowed_methods, reason = "the test owns its tasks")]
async fn idle() -> (Memory, Bucket, Metadata, JoinHandle<Result<(), Error>>) {
    let (memory, bucket, running) = witnessed().await;
    running.close().await;
    let holder = candidate(&memory, bucket.options(2), "one:1");
    let status = holder.status();
    let task = tokio::spawn(holder.run(std::future::pending()));
    loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if let Role::Holding(metadata) = status.role() {
            // Sessions from before are closed then, and there is nothing left to write.
            seconds(60).await;
            return (memory, bucket, metadata, task);
        }
    }
}

/// One that watches it.
fn watcher(memory: &Memory, bucket: &Bucket) -> Process {
    let watcher = candidate(memory, bucket.options(3), "two:1");
    let status = watcher.status();
    let running = Box::pin(watcher.run(std::future::pending()));
    Process { status, running }
}

async fn commit_one(metadata: &Metadata, number: u64) {
    placed(&own(metadata, plain(number, 0)).await);
}

const SOME: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn who_agreed_with_the_bucket_takes_an_idle_order_while_it_is_away() {
    let (memory, bucket, _, holder) = idle().await;
    let mut watcher = watcher(&memory, &bucket);
    watcher.runs(SOME).await;
    *bucket.away.lock() = true;
    // A look that fails is none that was not tried.
    memory.faults().inject_reads([ReadFault::Unavailable; 2]);
    watcher.runs(SOME).await;
    let waits = matches!(watcher.status.role(), Role::Waiting { holder } if holder == "one:1");
    assert!(waits && !holder.is_finished(), "the holder lives");
    holder.abort();
    let taken = watcher.takes_over().await;
    watcher.runs(SOME).await;
    assert_eq!(taken.catalogue().len(), 1);
}

/// Nor does one that started while it was away have to wait for a holder to write, once the bucket was back.
#[tokio::test(start_paused = true)]
async fn who_never_asked_the_bucket_waits_for_it_and_agrees_once_it_is_back() {
    for back_before in [true, false] {
        let (memory, bucket, _, holder) = idle().await;
        *bucket.away.lock() = true;
        let mut watcher = watcher(&memory, &bucket);
        watcher.runs(SOME).await;
        if back_before {
            *bucket.away.lock() = false;
            watcher.runs(2 * WRITE_INTERVAL).await;
            *bucket.away.lock() = true;
        }
        holder.abort();
        if !back_before {
            watcher.runs(3 * WRITE_INTERVAL).await;
            assert!(!watcher.status.holds(), "nobody vouches for the store");
            *bucket.away.lock() = false;
        }
        watcher.takes_over().await;
    }
}

/// What was acknowledged while it was frozen, the bucket knows; a store that is newer than what it saw may lack that.
#[tokio::test(start_paused = true)]
async fn who_did_not_look_all_the_while_takes_nothing_over_while_the_bucket_is_away() {
    for wrote in [false, true] {
        let (memory, bucket, metadata, holder) = idle().await;
        let mut watcher = watcher(&memory, &bucket);
        watcher.runs(SOME).await;
        if wrote {
            commit_one(&metadata, 1).await;
            watcher.runs(SOME).await;
        }
        for number in 2..5 {
            commit_one(&metadata, number).await;
        }
        let older = memory.snapshot();
        commit_one(&metadata, 5).await;
        seconds(2 * WRITE_INTERVAL.as_secs()).await;
        holder.abort();
        put_back(&memory, older).await;
        *bucket.away.lock() = true;
        watcher.runs(3 * WRITE_INTERVAL).await;
        assert!(!watcher.status.holds(), "wrote: {wrote}");
        *bucket.away.lock() = false;
        went_back(&watcher.ends().await);
    }
}

/// Also where it was frozen between its last look and what it does by it.
#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "the test owns its tasks")]
async fn who_was_frozen_while_it_asked_the_bucket_takes_nothing_over_by_what_it_saw_before() {
    let (memory, bucket, _, holder) = idle().await;
    let mut watcher = watcher(&memory, &bucket);
    watcher.runs(SOME).await;
    let older = memory.snapshot();
    bucket.silent.send_replace(true);
    holder.abort();
    // It saw the head stand still, and asks.
    watcher.runs(SOME).await;
    assert!(!watcher.status.holds());
    let of_the_other = Bucket {
        remembered: Arc::clone(&bucket.remembered),
        ..Bucket::default()
    };
    let other = candidate(&memory, of_the_other.options(4), "three:1");
    let status = other.status();
    let task = tokio::spawn(other.run(std::future::pending()));
    seconds(10).await;
    let Role::Holding(metadata) = status.role() else {
        panic!("the other one takes over");
    };
    commit_one(&metadata, 1).await;
    seconds(2 * WRITE_INTERVAL.as_secs()).await;
    task.abort();
    put_back(&memory, older).await;
    watcher.runs(3 * WRITE_INTERVAL).await;
    assert!(!watcher.status.holds());
    bucket.silent.send_replace(false);
    went_back(&watcher.ends().await);
}
