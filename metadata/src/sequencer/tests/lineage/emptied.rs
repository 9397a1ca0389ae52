//! Stores that were emptied, as in the middle of a restore: nothing of a new cluster is written where one is remembered.

use std::pin::pin;

use super::*;
use crate::sequencer::{Candidate, Found, Probe, Role};

/// It does not reach itself, and somebody else at any other address.
pub(super) fn candidate(kv: &Memory, options: Options, address: &'static str) -> Candidate {
    let probe = Probe::new(move |asked| async move {
        match asked == address {
            true => Found::Nobody,
            false => Found::Process(0),
        }
    });
    Candidate::new(Arc::new(kv.clone()), options, address.to_owned(), probe)
}

/// Holds the order until it is killed.
#[expect(clippy::disallowed_methods, reason = "the test owns its tasks")]
pub(super) async fn holding(candidate: Candidate) -> JoinHandle<Result<(), Error>> {
    let status = candidate.status();
    let running = tokio::spawn(candidate.run(std::future::pending()));
    while !status.holds() {
        assert!(!running.is_finished());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running
}

/// What ends a process.
async fn end(candidate: Candidate) -> Error {
    let ended = candidate.run(std::future::pending());
    let ended = Box::pin(tokio::time::timeout(Duration::from_secs(30), ended)).await;
    ended.expect("it ends").unwrap_err()
}

fn says(error: &Error, parts: &[&str]) {
    let said = error.to_string();
    for part in parts {
        assert!(said.contains(part), "no {part:?} in {said:?}");
    }
    assert!(!said.contains("accept-older-store"), "{said}");
}

async fn cluster(memory: &Memory) -> String {
    check(memory).await.unwrap().cluster.unwrap()
}

#[tokio::test(start_paused = true)]
async fn whoever_watched_a_store_makes_no_cluster_in_it_once_it_is_emptied() {
    for replaced in [false, true] {
        let memory = Memory::new();
        let holder = holding(candidate(&memory, options(1), "one:1")).await;
        let id = cluster(&memory).await;
        let watcher = candidate(&memory, options(2), "two:1");
        let status = watcher.status();
        let mut watching = pin!(end(watcher));
        let seen = async {
            while !matches!(status.role(), Role::Waiting { holder } if holder == "one:1") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            ended = &mut watching => panic!("{ended}"),
            () = seen => {}
        }
        holder.abort();
        put_back(&memory, []).await;
        if replaced {
            run(memory.clone(), options(3)).await.close().await;
        }
        let before = memory.snapshot();
        let found = match replaced {
            false => "is empty".to_owned(),
            true => format!("is that of cluster {}", cluster(&memory).await),
        };
        let ended = watching.await;
        assert!(matches!(ended, Error::Replaced { .. }), "{ended}");
        says(&ended, &[&found, &id, "this process", "bring back a copy"]);
        assert_eq!(memory.snapshot(), before, "nothing is written");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_makes_a_cluster_in_an_empty_store_whose_bucket_remembers_one() {
    let (memory, bucket, running) = witnessed().await;
    running.close().await;
    let (id, whole) = (cluster(&memory).await, memory.snapshot());
    put_back(&memory, []).await;
    let parts = ["is empty", "the bucket remembers", &id, "bring back a copy"];
    says(&refused(&memory, bucket.options(2)).await, &parts);
    says(
        &Box::pin(end(candidate(&memory, bucket.options(3), "a:1"))).await,
        &parts,
    );
    for said in [
        finalize(&memory, bucket.options(4)).await.map(drop),
        release_hold(&memory, bucket.options(5)).await.map(drop),
        accept_older_store(&memory, bucket.options(6))
            .await
            .map(drop),
    ] {
        says(&said.unwrap_err(), &parts);
    }
    // Nor while it cannot be asked.
    *bucket.away.lock() = true;
    let error = refused(&memory, bucket.options(7)).await;
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(memory.snapshot().is_empty(), "nothing is written");
    *bucket.away.lock() = false;
    put_back(&memory, whole).await;
    run(memory, bucket.options(8)).await.close().await;
}

/// The bucket knows it from then on: a copy that is older than what the process saw is told from the newest one.
#[tokio::test(start_paused = true)]
async fn a_holder_whose_store_is_emptied_says_so_and_leaves_word() {
    for replaced in [false, true] {
        let (memory, bucket, running) = witnessed().await;
        tokio::time::sleep(2 * WRITE_INTERVAL).await;
        let (id, older) = (cluster(&memory).await, memory.snapshot());
        committed(&running.metadata, plain(1, 0)).await;
        put_back(&memory, []).await;
        if replaced {
            run(memory.clone(), options(3)).await.close().await;
        }
        running.metadata.submit(plain(2, 0)).await.unwrap_err();
        let ended = running.task.await.unwrap().unwrap_err();
        assert!(matches!(ended, Error::Replaced { .. }), "{ended}");
        says(&ended, &[&id, "bring back a copy"]);
        put_back(&memory, older).await;
        went_back(&refused(&memory, bucket.options(2)).await);
    }
}

/// A store that goes back and comes again as it was. Somebody served the older one meanwhile, and whoever only looked at that
/// must not have the bucket remember it in place of the newer one, which nobody would take then.
#[tokio::test(start_paused = true)]
async fn who_looked_at_an_older_store_takes_the_newer_one_once_it_is_back() {
    let (memory, bucket, newer) = one_record_behind().await;
    let running = run(memory.clone(), options(3)).await;
    for number in 2..6 {
        committed(&running.metadata, plain(number, 0)).await;
    }
    running.close().await;
    *bucket.away.lock() = true;
    let watcher = candidate(&memory, bucket.options(4), "two:1");
    let status = watcher.status();
    let mut watching = pin!(end(watcher));
    tokio::select! {
        ended = &mut watching => panic!("{ended}"),
        () = tokio::time::sleep(Duration::from_secs(5)) => {}
    }
    put_back(&memory, newer).await;
    *bucket.away.lock() = false;
    let holds = async {
        while !status.holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = &mut watching => panic!("{ended}"),
        () = holds => {}
    }
}

/// An older store of the same owner comes between two looks: nobody wrote it, and what it lacks was acknowledged.
#[tokio::test(start_paused = true)]
async fn who_sees_a_store_go_back_takes_it_for_none_that_was_written() {
    let (memory, bucket, running) = witnessed().await;
    let older = memory.snapshot();
    for number in 1..6 {
        committed(&running.metadata, plain(number, 0)).await;
    }
    running.kill().await;
    *bucket.away.lock() = true;
    let watcher = candidate(&memory, bucket.options(4), "two:1");
    let status = watcher.status();
    let mut watching = pin!(end(watcher));
    for pause in [Duration::from_millis(1), Duration::from_secs(25)] {
        tokio::select! {
            ended = &mut watching => panic!("{ended}"),
            () = tokio::time::sleep(pause) => {}
        }
        put_back(&memory, older.clone()).await;
    }
    assert!(!status.holds());
}
