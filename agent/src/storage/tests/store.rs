//! Retries, time-outs, deadlines, hedges, and that each request is counted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use metadata::ObjectKey;
use object_store::path::Path;
use tokio::time::Instant;

use super::faulty::{Counters, Faulty, Planned};
use crate::storage::error::Outcome;
use crate::storage::{Cause, ErrorKind, Store, StoreError};

const REQUESTS: &str = "penstock_object_store_requests_total";
const BYTES: &str = "penstock_object_store_bytes_total";

fn faulty() -> (Arc<Faulty>, Store) {
    let faulty = Arc::new(Faulty::default());
    let objects = Arc::clone(&faulty);
    let store = Store::from_object_store(objects, Path::from("p"), false);
    (faulty, store)
}

async fn put(store: &Store, key: u128) -> Result<(), StoreError> {
    let payload = vec![Bytes::from_static(b"ab"), Bytes::from_static(b"cdef")];
    store.put_segment(ObjectKey(key), payload).await
}

async fn get(store: &Store, key: u128) -> Result<Bytes, StoreError> {
    store.get_range(ObjectKey(key), 1..4, Cause::Fetch).await
}

/// Enough fast requests to know what is slow.
async fn warm_up(faulty: &Faulty, store: &Store) {
    faulty.plan([], Planned::Takes(20));
    for key in 0..30 {
        put(store, key).await.unwrap();
        get(store, key).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_put_can_be_read_until_deleted() {
    let (_, store) = faulty();
    put(&store, 1).await.unwrap();
    assert_eq!(get(&store, 1).await.unwrap(), "bcd");
    store.delete(ObjectKey(1)).await.unwrap();
    store.delete(ObjectKey(1)).await.unwrap();
    let error = get(&store, 1).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(error.outcome, Outcome::Determinate);
}

/// What was committed and is not there is damage, not an outage: one quick look more, and no 20 s of tries.
#[tokio::test(start_paused = true)]
async fn a_segment_that_is_gone_is_looked_for_once_more_and_that_is_all() {
    let (faulty, store) = faulty();
    faulty.plan([], Planned::Works);
    let began = Instant::now();
    let error = get(&store, 1).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(faulty.requests(), 2);
    assert!(began.elapsed() <= Duration::from_millis(200));
    // Only then it may still appear.
    let (read, ()) = tokio::join!(get(&store, 2), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        put(&store, 2).await.unwrap();
    });
    assert_eq!(read.unwrap(), "bcd");
}

#[tokio::test(start_paused = true)]
async fn busy_and_conflicting_buckets_are_asked_again() {
    let (faulty, store) = faulty();
    faulty.plan(
        [Planned::Busy, Planned::Conflicts, Planned::Busy],
        Planned::Works,
    );
    put(&store, 1).await.unwrap();
    assert_eq!(faulty.requests(), 4);
    faulty.plan([Planned::Busy, Planned::Busy], Planned::Works);
    assert_eq!(get(&store, 1).await.unwrap(), "bcd");
    assert_eq!(faulty.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_tried_again() {
    let (faulty, store) = faulty();
    faulty.plan([], Planned::Refused);
    let error = put(&store, 1).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(error.outcome, Outcome::Determinate);
    assert_eq!(faulty.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_silence_leaves_open_what_happened() {
    let (faulty, store) = faulty();
    faulty.plan([Planned::Silent], Planned::Refused);
    let error = put(&store, 1).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(error.outcome, Outcome::Indeterminate);
}

#[tokio::test(start_paused = true)]
async fn a_silent_bucket_is_given_up_at_the_deadline() {
    let (faulty, store) = faulty();
    faulty.plan([], Planned::Silent);
    let began = Instant::now();
    let error = put(&store, 1).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(error.outcome, Outcome::Indeterminate);
    assert!(began.elapsed() <= Duration::from_millis(25_010));
    assert!(began.elapsed() >= Duration::from_secs(23));
    // 5 s, 10 s, and what is left.
    assert_eq!(faulty.requests(), 3);

    let began = Instant::now();
    get(&store, 1).await.unwrap_err();
    assert!(began.elapsed() <= Duration::from_millis(20_010));
}

#[tokio::test(start_paused = true)]
async fn a_slow_put_is_overtaken_by_a_second_one() {
    let (faulty, store) = faulty();
    warm_up(&faulty, &store).await;
    faulty.plan([Planned::Takes(3000)], Planned::Takes(20));
    let began = Instant::now();
    put(&store, 100).await.unwrap();
    // 50 ms is the least that is waited, and 20 ms the second one takes.
    assert!(began.elapsed() < Duration::from_millis(75));
    assert_eq!(faulty.requests(), 2);
    assert_eq!(get(&store, 100).await.unwrap(), "bcd");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_fails_leaves_the_first_alone() {
    let (faulty, store) = faulty();
    warm_up(&faulty, &store).await;
    faulty.plan([Planned::Takes(400), Planned::Busy], Planned::Silent);
    assert_eq!(get(&store, 1).await.unwrap(), "bcd");
    assert_eq!(faulty.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_slow_for_long_is_not_sent_twice_the_load() {
    let (faulty, store) = faulty();
    warm_up(&faulty, &store).await;
    // Ever slower, so that each request is slower than those before it.
    faulty.plan(
        (0..300).map(|n| Planned::Takes(100 + n * 10)),
        Planned::Busy,
    );
    let mut asked = 0;
    while faulty.requests() < 280 {
        put(&store, 1000).await.unwrap();
        asked += 1;
    }
    let hedges = 280 - asked;
    assert!((8..=10 + 280 / 50 + 1).contains(&hedges), "{hedges}");
}

#[tokio::test(start_paused = true)]
async fn a_folder_is_never_hedged() {
    let faulty = Arc::new(Faulty::default());
    let objects = Arc::clone(&faulty);
    let store = Store::from_object_store(objects, Path::default(), true);
    warm_up(&faulty, &store).await;
    faulty.plan([], Planned::Takes(3000));
    put(&store, 1).await.unwrap();
    assert_eq!(faulty.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_request_is_counted_with_its_outcome() {
    let counters = Counters::default();
    let _recording = metrics::set_default_local_recorder(&counters);
    let (faulty, store) = faulty();
    faulty.plan([Planned::Busy, Planned::Silent], Planned::Works);
    put(&store, 1).await.unwrap();
    get(&store, 1).await.unwrap();
    get(&store, 2).await.unwrap_err();
    faulty.plan([], Planned::Refused);
    put(&store, 2).await.unwrap_err();
    let expected = [
        // Looked for once more.
        ("get fetch not_found", 2),
        ("get fetch ok", 1),
        ("put produce error", 1),
        ("put produce ok", 1),
        ("put produce refused", 1),
        ("put produce timeout", 1),
    ];
    assert_eq!(
        counters.of(REQUESTS),
        expected
            .map(|(labels, count)| (labels.into(), count))
            .into()
    );
    let bytes = [("get fetch".into(), 3), ("put produce".into(), 6)];
    assert_eq!(counters.of(BYTES), bytes.into());
}

#[tokio::test(start_paused = true)]
async fn both_of_a_hedged_pair_are_counted() {
    let (faulty, store) = faulty();
    warm_up(&faulty, &store).await;
    let counters = Counters::default();
    let _recording = metrics::set_default_local_recorder(&counters);
    // The second one wins, then the first.
    faulty.plan([Planned::Takes(3000), Planned::Works], Planned::Works);
    get(&store, 1).await.unwrap();
    faulty.plan([Planned::Takes(60), Planned::Takes(3000)], Planned::Works);
    get(&store, 1).await.unwrap();
    let expected = [
        ("get fetch cancelled", 1),
        ("get fetch hedge_lost", 1),
        ("get fetch ok", 2),
    ];
    assert_eq!(
        counters.of(REQUESTS),
        expected
            .map(|(labels, count)| (labels.into(), count))
            .into()
    );
}

#[tokio::test(start_paused = true)]
async fn the_check_writes_nothing_and_ends_soon() {
    let (faulty, store) = faulty();
    store.check().await.unwrap();
    let listed = object_store::ObjectStore::list(&faulty.objects, None);
    assert_eq!(listed.count().await, 0);
    faulty.plan([], Planned::Silent);
    let began = Instant::now();
    let error = store.check().await.unwrap_err();
    assert!(error.to_string().contains("does not answer"), "{error}");
    assert!(began.elapsed() <= Duration::from_secs(10));
    faulty.plan([], Planned::Refused);
    let error = store.check().await.unwrap_err();
    assert!(error.to_string().contains("refuses"), "{error}");
    assert_eq!(faulty.requests(), 1);
}
