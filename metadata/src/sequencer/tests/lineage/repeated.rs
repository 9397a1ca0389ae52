//! An older store is accepted once, however often that is said, and however late what is written for it lands.

use super::*;

/// It may end anywhere, and is said again.
#[tokio::test(start_paused = true)]
async fn an_acceptance_that_stops_half_way_is_repeated() {
    for commits in 0..4 {
        let (memory, bucket, _) = one_record_behind().await;
        let gated = Gated::open(&memory);
        gated.let_through(commits);
        tokio::select! {
            done = accept_older_store(&gated, bucket.options(3)) => {
                assert_eq!(commits, 3, "{done:?}");
            }
            () = seconds(30) => {
                assert!(commits < 3);
                went_back(&refused(&memory, bucket.options(4)).await);
                accept_older_store(&memory, bucket.options(5)).await.unwrap();
            }
        }
        run(memory, bucket.options(6)).await.close().await;
    }
}

/// The transaction that begins the history lands late, after so many operations.
#[tokio::test(start_paused = true)]
async fn a_history_that_begins_late_begins_once() {
    for operations in 0..14 {
        let (memory, bucket, _) = one_record_behind().await;
        let late = Fault::UnknownLate { operations };
        memory.faults().inject([Fault::None, Fault::None, late]);
        let accepted = accept_older_store(&memory, bucket.options(3)).await;
        memory.faults().land();
        let running = run(memory, bucket.options(4)).await;
        let leader_epoch = running.metadata.leader_epoch();
        let bounds = running.metadata.bounds(vec![partition(0)]).await.unwrap();
        let starts = bounds[0].unwrap().epochs.starts().to_vec();
        let began = starts.last().map(|start| start.epoch);
        assert_eq!(began, Some(leader_epoch), "{operations}: {accepted:?}");
        running.close().await;
    }
}

/// The bucket still remembers the history that was given up.
#[tokio::test(start_paused = true)]
async fn what_was_accepted_and_the_bucket_not_told_is_not_accepted_again() {
    let (memory, bucket, _) = one_record_behind().await;
    let before = bucket.remembered.lock().clone();
    let accepted = accept_older_store(&memory, bucket.options(3)).await;
    assert!(matches!(accepted, Ok(Acceptance::Accepted { .. })));
    *bucket.remembered.lock() = before;
    let rows = memory.snapshot();
    let again = accept_older_store(&memory, bucket.options(4)).await;
    assert_eq!(again.unwrap(), Acceptance::Needless);
    assert_eq!(memory.snapshot(), rows, "nothing is taken over");
    run(memory, bucket.options(5)).await.close().await;
}
