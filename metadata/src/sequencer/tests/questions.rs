//! Questions, many at once or large ones: whoever wants something written does not wait for them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::*;
use crate::sequencer::reads::{PARTITIONS_MAX, Read};
use crate::sequencer::times::TimeQuery;

/// Each as large as one may be, about the same partition: that is as much work as any.
#[tokio::test(start_paused = true)]
async fn an_acknowledgement_does_not_wait_for_all_questions_that_were_asked_before() {
    const QUESTIONS: usize = 200;
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut asking = JoinSet::new();
    for _ in 0..QUESTIONS {
        let (metadata, answered) = (running.metadata.clone(), Arc::clone(&answered));
        asking.spawn(async move {
            let bounds = metadata.bounds(vec![partition(0); PARTITIONS_MAX]).await;
            assert_eq!(bounds.unwrap().len(), PARTITIONS_MAX);
            answered.fetch_add(1, Ordering::Relaxed);
        });
    }
    // All of them ask before the sequencer has looked.
    tokio::task::yield_now().await;
    committed(&running.metadata, plain(1, 0)).await;
    let before = answered.load(Ordering::Relaxed);
    assert!(
        before <= QUESTIONS / 4,
        "{before} of {QUESTIONS} came first"
    );
    while asking.join_next().await.is_some() {}
    assert_eq!(answered.load(Ordering::Relaxed), QUESTIONS);
    running.close().await;
}

/// It would be work for nobody, before what others wait for.
#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_waits_for_any_more_is_not_answered() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let metadata = &running.metadata;
    let mut asked = Box::pin(metadata.view(partition(0)));
    assert!(futures::poll!(&mut asked).is_pending());
    drop(asked);
    // After the next drain.
    metadata.confirmed_catalogue().await.unwrap();
    assert!(metadata.shared().views.partitions().is_empty());
    assert!(metadata.view(partition(0)).await.unwrap().is_some());
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_question_about_more_partitions_than_one_may_name_is_asked_in_parts() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    committed(&running.metadata, plain(1, 1)).await;
    let mut wanted = vec![partition(0); 3 * PARTITIONS_MAX];
    wanted.push(partition(1));
    let found = running.metadata.bounds(wanted).await.unwrap();
    assert_eq!(found.len(), 3 * PARTITIONS_MAX + 1);
    let ends = found.iter().map(|it| it.unwrap().high_watermark.0);
    assert_eq!(ends.filter(|end| *end == 10).count(), 1);
    assert_eq!(found.last().unwrap().unwrap().high_watermark, Offset(10));
    running.close().await;
}

/// One commit makes them all, and each question looks at a part.
#[tokio::test(start_paused = true)]
async fn a_time_is_looked_for_in_many_extents_a_part_at_a_time() {
    const COUNT: i64 = 50_000;
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let at = |index: i64| match index {
        // The largest lies in the middle, twice.
        30_000 | 30_001 => Timestamp(START + 1_000_000),
        other => Timestamp(START + other),
    };
    let batches = (0..COUNT).map(|index| CommitBatch {
        max_timestamp: at(index),
        // Neighbours that differ are extents of their own.
        flags: BatchFlags {
            transactional: index % 2 == 0,
            control: false,
        },
        ..batch(1, None)
    });
    let answer = running.metadata.submit(commit(1, 0, batches.collect()));
    placed(&answer.await.unwrap().outcome);
    let metadata = &running.metadata;
    let asked = metadata.read(|reply| Read::ByTime {
        partition: partition(0),
        wanted: TimeQuery::Largest,
        from: Offset(0),
        found: None,
        reply,
    });
    let first = asked.await.unwrap().unwrap();
    assert!(
        first.is_a_part(),
        "the sequencer looked at all of them at once"
    );
    let base = |extent: Option<Extent>| extent.map(|extent| extent.base_offset.0);
    let largest = metadata.locate_max_timestamp(partition(0)).await.unwrap();
    assert_eq!(base(largest), Some(30_000));
    for (time, offset) in [
        (0, Some(0)),
        (29_999, Some(29_999)),
        (30_000, Some(30_000)),
        (40_000, Some(30_000)),
        (1_000_000, Some(30_000)),
        (1_000_001, None),
    ] {
        let found = metadata.locate_timestamp(partition(0), Timestamp(START + time));
        assert_eq!(base(found.await.unwrap()), offset, "{time}");
    }
    running.close().await;
}
