//! What is known of a bucket that takes nothing for a while, and that it is noticed when it does again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metadata::ObjectKey;
use object_store::path::Path;
use tokio::time::{Instant, sleep};

use super::faulty::{Faulty, Planned};
use crate::storage::{Store, StoreError};
use crate::tasks::Tasks;

struct Fixture {
    faulty: Arc<Faulty>,
    store: Store,
    _tasks: Tasks,
}

/// A bucket that is watched.
fn fixture() -> Fixture {
    let faulty = Arc::new(Faulty::default());
    let objects = Arc::clone(&faulty);
    let store = Store::from_object_store(objects, Path::from("p"), false);
    let tasks = Tasks::new();
    let (watched, stop) = (store.clone(), tasks.stopping());
    tasks.spawn("bucket watch", async move {
        watched.watch(stop).await;
        Ok(())
    });
    Fixture {
        faulty,
        store,
        _tasks: tasks,
    }
}

async fn put(store: &Store, key: u128) -> Result<(), StoreError> {
    let payload = vec![Bytes::from_static(b"ab")];
    store.put_segment(ObjectKey(key), payload).await
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_known_after_a_while_and_its_end_without_traffic() {
    let f = fixture();
    put(&f.store, 1).await.unwrap();
    f.faulty.plan([], Planned::Busy);
    let (store, began) = (f.store.clone(), Instant::now());
    let given_up = tokio::time::timeout(Duration::from_secs(60), put(&store, 2));
    tokio::pin!(given_up);
    let mut red = None;
    loop {
        tokio::select! {
            ended = &mut given_up => {
                ended.expect("a PUT has a deadline").unwrap_err();
                break;
            }
            () = sleep(Duration::from_millis(50)) => {
                if store.unwritable().is_some() {
                    red = red.or(Some(began.elapsed()));
                }
            }
        }
    }
    let red = red.expect("an outage is known");
    assert!((3..5).contains(&red.as_secs()), "{red:?}");
    // Nobody sends anything: it stays known for as long as it lasts.
    sleep(Duration::from_secs(60)).await;
    assert!(f.store.unwritable().is_some());
    let asked = f.faulty.requests();
    f.faulty.plan([], Planned::Works);
    assert!((60..200).contains(&asked), "{asked} requests in 85 s");
    sleep(Duration::from_secs(3)).await;
    assert!(f.store.unwritable().is_none());
    // And nothing is asked any more.
    let asked = f.faulty.requests();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(f.faulty.requests(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_says_nothing_is_out_too() {
    let f = fixture();
    f.faulty.plan([], Planned::Silent);
    let store = f.store.clone();
    let stuck = async { put(&store, 1).await };
    let seen = async {
        sleep(Duration::from_secs(6)).await;
        f.store.unwritable().is_none()
    };
    let (put, writable) = tokio::join!(stuck, seen);
    put.unwrap_err();
    assert!(!writable, "the first try has timed out");
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_an_outage() {
    let f = fixture();
    f.faulty.plan([], Planned::Refused);
    put(&f.store, 1).await.unwrap_err();
    sleep(Duration::from_secs(5)).await;
    assert!(f.store.unwritable().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_few_failures_are_no_outage() {
    let f = fixture();
    for key in 0..100 {
        f.faulty
            .plan([Planned::Busy, Planned::Busy], Planned::Works);
        put(&f.store, key).await.unwrap();
        assert!(f.store.unwritable().is_none());
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_end_with_the_outage() {
    let f = fixture();
    for key in 0..20 {
        f.faulty.plan([], Planned::Busy);
        let store = f.store.clone();
        let puts: Vec<_> = (0..5)
            .map(|each| {
                let store = store.clone();
                async move {
                    put(&store, key * 10 + each).await.unwrap();
                    Instant::now()
                }
            })
            .collect();
        // Pauses have grown to two seconds by then.
        let back = async {
            sleep(Duration::from_millis(
                10_000 + u64::try_from(key).unwrap() * 90,
            ))
            .await;
            f.faulty.plan([], Planned::Works);
            Instant::now()
        };
        let (ended, back) = tokio::join!(futures::future::join_all(puts), back);
        for ended in ended {
            let waited = ended - back;
            assert!(waited <= Duration::from_millis(1_100), "{waited:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_works_does_not_excuse_segments_that_fail() {
    let f = fixture();
    // Every second request works: some of them are the probe's.
    let store = f.store.clone();
    let failing = async {
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            f.faulty.plan([Planned::Refused], Planned::Works);
            put(&store, 1).await.unwrap_err();
            sleep(Duration::from_millis(700)).await;
        }
    };
    let seen = async {
        sleep(Duration::from_secs(15)).await;
        f.store.unwritable().is_none()
    };
    let ((), writable) = tokio::join!(failing, seen);
    assert!(!writable);
    sleep(Duration::from_secs(15)).await;
    assert!(
        f.store.unwritable().is_none(),
        "nothing has failed for long"
    );
}
