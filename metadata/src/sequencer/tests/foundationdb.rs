//! The same over FoundationDB's look-alike, or a real cluster.

use std::collections::BTreeSet;

use super::redb::keeps_what_was_answered;
use super::*;
use crate::error::Happened;
use crate::kv::foundationdb::test_cluster::TestCluster;

#[tokio::test]
async fn a_cluster_keeps_what_was_answered_through_kills_and_closes() {
    let cluster = TestCluster::any();
    let store = cluster.store();
    keeps_what_was_answered(async || store.clone()).await;
    cluster.empty().await;
}

/// Two agents' sequencers over one cluster: the second deposes the first, which answers nothing any more.
#[tokio::test]
async fn a_deposed_sequencer_answers_nothing() {
    let cluster = TestCluster::any();
    let store = cluster.store();
    let first = run(store.clone(), options(1)).await;
    create_topic(&first.metadata, TOPIC, "orders", 3).await;
    assert_eq!(committed(&first.metadata, plain(1, 0)).await, 0);
    let second = run(store.clone(), options(2)).await;
    assert_eq!(committed(&second.metadata, plain(2, 0)).await, 10);
    for number in 3..6 {
        let refused = first.metadata.submit(plain(number, 0)).await;
        let fenced = matches!(refused, Err(Error::Fenced | Error::Closing));
        assert!(fenced, "{refused:?}");
        let refused = first.metadata.bounds(vec![partition(0)]).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    assert!(matches!(first.task.await.unwrap(), Err(Error::Fenced)));
    assert_eq!(high_watermark(&second.metadata, 0).await, 20);
    second.close().await;
    cluster.empty().await;
}

/// Whoever waits hears of it only that it took longer.
#[tokio::test]
async fn a_cluster_that_throttles_is_asked_again() {
    let Some(cluster) = TestCluster::look_alike() else {
        return;
    };
    let running = run(cluster.store(), options(1)).await;
    create_topic(&running.metadata, TOPIC, "orders", 3).await;
    for (number, code) in (0..).zip([1009, 1037, 1042, 1051, 1078, 1213, 1223, 1235]) {
        cluster.control(&format!("commit refuse {code}"));
        let offset = committed(&running.metadata, plain(number, 0)).await;
        assert_eq!(offset, i64::try_from(number).unwrap() * 10, "{code}");
        assert!(running.metadata.ready(), "{code}");
    }
    running.close().await;
    cluster.empty().await;
}

/// Sends a batch in a new segment each time, until it is answered. Returns its base offset.
async fn send(
    metadata: &Metadata,
    segments: &mut u64,
    never: &mut BTreeSet<ObjectKey>,
    producer: (i64, i32),
) -> i64 {
    loop {
        *segments += 1;
        let number = *segments;
        let one = commit(number, 0, vec![batch(10, Some(producer))]);
        match metadata.submit(one).await {
            Ok(answer) => return placed(&answer.outcome).base_offset.0,
            Err(Error::Unavailable { happened, .. }) => {
                if happened == Happened::No {
                    never.insert(object(number));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

const BATCHES: i32 = 40;

/// Faults of every kind, and a new sequencer now and then; each batch is placed once, where it was said to be.
#[tokio::test]
async fn nothing_answered_is_lost_or_doubled_whatever_the_cluster_does() {
    let Some(cluster) = TestCluster::look_alike() else {
        return;
    };
    let mut refused = 0;
    for seed in 0..3_u64 {
        let store = cluster.store();
        let mut running = run(store.clone(), options(seed)).await;
        create_topic(&running.metadata, TOPIC, "orders", 3).await;
        cluster.control(&format!("random {seed} 100"));
        let (mut segments, mut never) = (0, BTreeSet::new());
        for index in 0..BATCHES {
            let producer = (5, index * 10);
            let offset = send(&running.metadata, &mut segments, &mut never, producer).await;
            assert_eq!(offset, i64::from(index) * 10, "seed {seed}");
            if index % 10 == 9 {
                running.kill().await;
                running = restart(&store, seed).await;
            }
        }
        cluster.control("cease");
        cluster.control("land");
        running.kill().await;
        let running = run(store.clone(), options(seed)).await;
        let all = extents(&running.metadata, 0).await;
        assert_eq!(all.len(), usize::try_from(BATCHES).unwrap(), "seed {seed}");
        assert!(
            all.iter()
                .all(|extent| !never.contains(&extent.stored().unwrap().object))
        );
        refused += segments - u64::from(BATCHES.unsigned_abs());
        running.close().await;
    }
    assert!(refused > 3, "{refused}: there were faults");
}

async fn restart(store: &(impl Kv + Clone + 'static), seed: u64) -> Running {
    loop {
        let mut options = options(seed);
        options.checkpoint_interval = Duration::from_millis(50);
        match try_run(Arc::new(store.clone()), options).await {
            Ok(running) => return running,
            Err(Error::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
}
