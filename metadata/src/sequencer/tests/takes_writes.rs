//! Trying whether a store takes writes: nobody who serves from it notices, and nothing of it is left.

use super::*;
use crate::account;
use crate::keys::Key;
use crate::kv::Fault;
use crate::sequencer::{is_empty, takes_writes};

#[tokio::test(start_paused = true)]
async fn a_store_is_tried_beside_who_holds_the_order_and_left_as_it_was() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    committed(&running.metadata, plain(1, 0)).await;
    for round in 2..20 {
        let before = memory.snapshot();
        assert!(takes_writes(&memory).await.unwrap());
        assert_eq!(memory.snapshot(), before);
        let (tried, end) = tokio::join!(
            takes_writes(&memory),
            committed(&running.metadata, plain(round, 0))
        );
        assert!(tried.unwrap());
        assert_eq!(end, 10 * i64::try_from(round - 1).unwrap());
    }
    running.close().await;
    assert!(account(&memory).await.is_ok());
}

#[tokio::test]
async fn a_store_that_is_empty_stays_empty() {
    let memory = Memory::new();
    assert!(!takes_writes(&memory).await.unwrap());
    assert!(is_empty(&memory).await.unwrap());
    assert!(memory.snapshot().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_nothing_says_why() {
    let memory = Memory::new();
    fresh(&memory).await.close().await;
    let before = memory.snapshot();
    memory
        .faults()
        .inject([Fault::Conflict, Fault::Unavailable]);
    let refused = takes_writes(&memory).await.unwrap_err().to_string();
    assert!(refused.contains("the store is away"), "{refused}");
    assert_eq!(memory.snapshot(), before);
}

/// As when the process ends in between.
#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_trial_is_read_by_nobody_and_cleared() {
    let memory = Memory::new();
    fresh(&memory).await.close().await;
    memory.faults().inject([Fault::None, Fault::Unavailable]);
    let refused = takes_writes(&memory).await.unwrap_err().to_string();
    assert!(refused.contains("is left"), "{refused}");
    let left = Key::Log(Lsn(0), 0).encode();
    assert!(memory.snapshot().contains_key(&left));
    assert!(account(&memory).await.is_ok());
    let running = run(memory.clone(), options(2)).await;
    committed(&running.metadata, plain(1, 0)).await;
    running.close().await;
    assert!(!memory.snapshot().contains_key(&left));
}
