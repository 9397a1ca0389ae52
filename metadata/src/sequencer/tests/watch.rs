//! What readers see without asking: views only move forward, wake who waits, and end with their topic.

use super::*;
use crate::view::Look;

#[tokio::test(start_paused = true)]
async fn a_view_has_what_was_acknowledged_and_wakes_who_waits() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let metadata = &running.metadata;
    let view = metadata.view(partition(0)).await.unwrap().unwrap();
    let other = metadata.view(partition(1)).await.unwrap().unwrap();
    let again = metadata.view(partition(0)).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&view, &again));
    for number in 0..20 {
        let changed = view.changed();
        let quiet = other.changed();
        assert_eq!(
            committed(metadata, plain(number, 0)).await,
            i64::try_from(number).unwrap() * 10
        );
        tokio::time::timeout(Duration::from_secs(1), changed)
            .await
            .expect("it wakes");
        let slept = tokio::time::timeout(Duration::from_secs(1), quiet).await;
        assert!(slept.is_err(), "nothing came to the other partition");
        let end = i64::try_from(number).unwrap() * 10 + 10;
        assert_eq!(view.bounds().high_watermark, Offset(end));
        let Look::Extents { extents, .. } = view.look(Offset(0), 1 << 20) else {
            panic!("it keeps what it saw")
        };
        assert_eq!(extents.len() as u64, number + 1);
        assert_eq!(
            extents.last().unwrap().stored().unwrap().object,
            object(number)
        );
        assert!(matches!(view.look(Offset(end + 1), 1), Look::Past(_)));
    }
    assert!(metadata.view(partition(3)).await.unwrap().is_none());
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_view_never_goes_back_whatever_the_store_does() {
    for seed in 0..10 {
        let memory = Memory::new();
        let running = fresh(&memory).await;
        let metadata = running.metadata.clone();
        let view = metadata.view(partition(0)).await.unwrap().unwrap();
        memory.faults().at_random(seed, 300);
        let (mut seen, mut acknowledged) = (Offset(0), Offset(0));
        for number in 0..200 {
            if let Ok(answer) = metadata.submit(plain(number, 0)).await {
                acknowledged = Offset(placed(&answer.outcome).base_offset.0 + 10);
            } else {
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
            if number % 50 == 49 {
                seconds(15).await;
            }
            let bounds = view.bounds();
            assert!(bounds.high_watermark >= seen, "seed {seed}, {number}");
            assert!(
                bounds.high_watermark >= acknowledged,
                "seed {seed}, {number}"
            );
            seen = bounds.high_watermark;
            // Never a hole between what it shows and its end.
            match view.look(Offset(seen.0 - 10), 1) {
                Look::Extents { extents, .. } => assert_eq!(extents[0].end_offset(), seen),
                Look::Earlier(_) => {}
                Look::Past(bounds) => panic!("seed {seed}, {number}: {bounds:?}"),
            }
        }
        memory.faults().cease();
        seconds(5).await;
        assert_eq!(
            view.bounds().high_watermark.0,
            high_watermark(&metadata, 0).await
        );
        running.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_view_keeps_a_bounded_tail_and_sends_earlier_reads_away() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let metadata = &running.metadata;
    let view = metadata.view(partition(0)).await.unwrap().unwrap();
    let answers: Vec<_> = (0..1500)
        .map(|number| metadata.submit(plain(number, 0)))
        .collect();
    for answer in answers {
        answer.await.unwrap();
    }
    let bounds = view.bounds();
    assert_eq!(bounds.high_watermark, Offset(15_000));
    assert_eq!(view.look(Offset(4_759), 1), Look::Earlier(bounds));
    let Look::Extents { extents, .. } = view.look(Offset(4_765), 250) else {
        panic!("the tail is kept")
    };
    assert_eq!(
        offsets(&extents),
        [4_760..4_770, 4_770..4_780, 4_780..4_790]
    );
    assert_eq!(extents_at_end(&view, bounds.high_watermark), 0);
    running.close().await;
}

fn extents_at_end(view: &crate::View, end: Offset) -> usize {
    match view.look(end, 1) {
        Look::Extents { extents, .. } => extents.len(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_topic_ends_its_views_and_leaves_the_catalogue() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let metadata = &running.metadata;
    committed(metadata, plain(1, 0)).await;
    let view = metadata.view(partition(0)).await.unwrap().unwrap();
    let changed = view.changed();
    metadata.submit(Command::DeleteTopic(TOPIC)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), changed)
        .await
        .expect("it wakes");
    assert!(view.deleted());
    assert!(metadata.catalogue().topic("orders").is_none());
    assert!(metadata.view(partition(0)).await.unwrap().is_none());
    let located = metadata.locate(partition(0), Offset(0), 1).await.unwrap();
    assert_eq!(located, Located::UnknownPartition);
    assert_eq!(
        metadata.locate_max_timestamp(partition(0)).await.unwrap(),
        None
    );
    // The name is free again, under another id.
    create_topic(metadata, TopicId(8), "orders", 1).await;
    assert_eq!(metadata.catalogue().topic("orders").unwrap().id, TopicId(8));
    running.kill().await;
    let running = run(memory, options(2)).await;
    assert_eq!(
        running.metadata.catalogue().topic("orders").unwrap().id,
        TopicId(8)
    );
    running.close().await;
}

/// Rows of a checkpoint go with a commit's transaction, its own extents among them, which memory has no more then.
#[tokio::test(start_paused = true)]
async fn a_view_has_what_a_checkpoint_took_from_memory() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let metadata = &running.metadata;
    let view = metadata.view(partition(0)).await.unwrap().unwrap();
    for number in 0..2000 {
        let offset = Offset(committed(metadata, plain(number, 0)).await);
        for known in [offset, Offset((offset.0 - 1000).max(0))] {
            let look = view.look(known, 1);
            let Look::Extents { extents, .. } = look else {
                panic!("{number}: {known:?} is lost: {look:?}")
            };
            assert_eq!(extents[0].base_offset, known);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(metadata.stats().checkpoints > 0);
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_view_that_nobody_reads_is_let_go_of() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let metadata = &running.metadata;
    let held = metadata.view(partition(0)).await.unwrap().unwrap();
    drop(metadata.view(partition(1)).await.unwrap().unwrap());
    seconds(150).await;
    assert_eq!(metadata.shared().views.partitions(), [partition(0)]);
    committed(metadata, plain(1, 0)).await;
    committed(metadata, plain(2, 1)).await;
    assert_eq!(held.bounds().high_watermark, Offset(10));
    let again = metadata.view(partition(1)).await.unwrap().unwrap();
    assert_eq!(again.bounds().high_watermark, Offset(10));
    running.close().await;
}
