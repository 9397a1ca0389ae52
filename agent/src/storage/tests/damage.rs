//! Blocks that are not what was committed: who is told, and when they are looked at again. Time stands still.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use metadata::BlockRange;
use tokio::time::{sleep, timeout};

use super::cache::{OBJECT, block, fixture, owner};
use super::faulty::Planned;
use crate::storage::segment::{Compression, encode};
use crate::storage::{Cause, Coming, ErrorKind, Place, Source};

/// As a proxy may send them: damage is what stays.
#[tokio::test(start_paused = true)]
async fn other_bytes_that_came_once_are_asked_for_again() {
    let f = fixture(&[1000, 1000], 1 << 20).await;
    let _tasks = f.run();
    f.faulty.plan([Planned::OtherBytes], Planned::Works);
    assert_eq!(f.read(&[0, 1]).await, [Source::Store; 2]);
    assert_eq!(f.faulty.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn damage_is_said_and_not_kept() {
    let f = fixture(&[1000], 1 << 20).await;
    let other = vec![Bytes::from(vec![9; 2000])];
    f.store.put_segment(OBJECT, other).await.unwrap();
    let wanted = [f.place(0)];
    f.faulty.plan([], Planned::Takes(100));
    for _ in 0..2 {
        let error = f.cache.blocks(&wanted).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
    }
    assert_eq!(f.cache.bytes(), 0);
    assert_eq!(
        f.faulty.requests(),
        2,
        "it was read just now, and once more"
    );
}

/// It is looked at anew after some seconds: somebody may have brought the object back.
#[tokio::test(start_paused = true)]
async fn damage_that_was_mended_is_read() {
    let f = fixture(&[1000], 1 << 20).await;
    f.store.delete(OBJECT).await.unwrap();
    for _ in 0..3 {
        let error = f.cache.blocks(&[f.place(0)]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
    }
    let whole = encode(&[block((0, &1000))], &[], Compression::Off);
    f.store.put_segment(OBJECT, whole.payload).await.unwrap();
    assert!(f.cache.blocks(&[f.place(0)]).await.is_err());
    sleep(Duration::from_secs(6)).await;
    assert_eq!(f.read(&[0]).await, [Source::Store]);
}

/// What is damaged is found out also where nobody waited for it, and remembered for a bounded number of blocks.
#[tokio::test(start_paused = true)]
async fn damage_that_nobody_waited_for_is_known_to_the_next() {
    let f = fixture(&[1000], 1 << 20).await;
    let tasks = f.run();
    f.store.delete(OBJECT).await.unwrap();
    f.faulty.plan([], Planned::Takes(700));
    let wanted = [f.place(0)];
    let asked = timeout(Duration::from_millis(500), f.cache.blocks(&wanted));
    assert!(asked.await.is_err(), "it takes longer");
    sleep(Duration::from_secs(2)).await;
    let next = f.cache.begin(&wanted);
    assert!(matches!(next[..], [Coming::Damaged(_)]), "{next:?}");
    tasks.stop();
    tasks.wait(Duration::from_secs(5)).await;
}

/// An object that ends in the middle of a run: what lies before its end is good.
#[tokio::test(start_paused = true)]
async fn a_cut_object_serves_what_it_still_holds() {
    let f = fixture(&[1000; 3], 1 << 20).await;
    let object = f.store.get_range(OBJECT, 0..1500, Cause::Fetch).await;
    f.store
        .put_segment(OBJECT, vec![object.unwrap()])
        .await
        .unwrap();
    let all = [f.place(0), f.place(1), f.place(2)];
    let coming = f.cache.begin(&all).into_iter().map(Coming::block);
    let read = join_all(coming).await;
    let served: Vec<_> = read.iter().map(Result::is_ok).collect();
    assert_eq!(served, [true, false, false]);
}

/// What is damaged, or somebody else's, is not served; what lies beside it in the same download is.
#[tokio::test(start_paused = true)]
async fn damage_does_not_spread() {
    let f = fixture(&[1000; 3], 1 << 20).await;
    let object = f.store.get_range(OBJECT, 0..3100, Cause::Fetch).await;
    let mut object = object.unwrap().to_vec();
    let damaged = (f.ranges[1].position + 500) as usize;
    object[damaged] ^= 1;
    f.store
        .put_segment(OBJECT, vec![object.into()])
        .await
        .unwrap();
    let all = [f.place(0), f.place(1), f.place(2)];
    let coming = f.cache.begin(&all);
    let read = join_all(coming.into_iter().map(Coming::block)).await;
    let served: Vec<_> = read.iter().map(Result::is_ok).collect();
    assert_eq!(served, [true, false, true]);
    assert_eq!(f.read(&[0, 2]).await, [Source::Cache; 2]);
    // Under another name it is not served, whether it is in memory or not.
    let place = f.place(0);
    for stranger in [
        Place {
            owner: owner(2),
            ..place
        },
        Place {
            range: BlockRange {
                checksum: place.range.checksum ^ 1,
                ..place.range
            },
            ..place
        },
    ] {
        let error = f.cache.blocks(&[stranger]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
    }
    assert_eq!(f.read(&[0]).await, [Source::Cache]);
}

/// An object that is shorter than what was committed of it: what is asked for lies behind its end.
#[tokio::test(start_paused = true)]
async fn an_object_that_is_too_short_is_damage_and_asked_for_once_more() {
    let f = fixture(&[1000; 2], 1 << 20).await;
    let short = vec![Bytes::from(vec![9; 500])];
    f.store.put_segment(OBJECT, short).await.unwrap();
    for index in 0..2 {
        f.faulty.plan([], Planned::Works);
        let error = f.cache.blocks(&[f.place(index)]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(f.faulty.requests() <= 2);
    }
}
