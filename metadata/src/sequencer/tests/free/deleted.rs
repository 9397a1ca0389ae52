//! Topics that are deleted, before and amid checkpoints: what they leave is written once, and given back.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_deleted_gives_back_what_no_index_row_had_yet() {
    for in_rows_before in [0, 700] {
        let (memory, mut sequencer) = in_rows(in_rows_before).await;
        for number in 1..=600 {
            add(&mut sequencer, in_rows_before + number).await;
        }
        delete(&mut sequencer).await;
        check(&memory).await;
        checkpoint(&mut sequencer).await;
        check(&memory).await;
        let mut orphaned = 0;
        for index in 0..PARTITIONS {
            orphaned += free_all(&mut sequencer, index).await.1;
        }
        let left = (sequencer.state.objects.iter().count(), index_rows(&memory));
        assert_eq!(left, (0, 0));
        assert_eq!(orphaned as u64, in_rows_before + 600);
    }
}

/// The checkpoint may have written the topic's row, its partitions' or none of its rows when the topic goes, and may end
/// or be cut off after any step.
#[tokio::test(start_paused = true)]
async fn a_topic_may_be_deleted_amid_a_checkpoint_that_is_cut_off() {
    let steps = Steps {
        bytes: 1,
        extents: 7,
        cleared: 1,
    };
    for (before, after) in (0..8).flat_map(|before| (0..12).map(move |after| (before, after))) {
        let (memory, mut sequencer) = fresh().await;
        sequencer.options.checkpoint_steps = steps;
        for number in 1..=20 {
            add(&mut sequencer, number).await;
        }
        sequencer.begin_checkpoint();
        let step = async |sequencer: &mut Sequencer| {
            if sequencer.is_checkpointing() {
                sequencer.step_and_wait().await.unwrap();
            }
        };
        for _ in 0..before {
            step(&mut sequencer).await;
        }
        add(&mut sequencer, 21).await;
        delete(&mut sequencer).await;
        for _ in 0..after {
            step(&mut sequencer).await;
        }
        drop(sequencer);
        check(&memory).await;
        let mut sequencer = hold(&memory, 5).await;
        checkpoint(&mut sequencer).await;
        check(&memory).await;
    }
}

/// The checkpoint wrote the topic's row before the topic went, and no row of its partitions. What the next process replays
/// must not write extents once more, in the index that there was before.
#[tokio::test(start_paused = true)]
async fn extents_are_written_once_where_a_topic_is_deleted_amid_a_checkpoint() {
    let steps = Steps {
        bytes: 1,
        extents: 1,
        cleared: 1,
    };
    for (before, grows) in (0..6).flat_map(|before| [(before, false), (before, true)]) {
        let (memory, mut sequencer) = fresh().await;
        sequencer.options.checkpoint_steps = steps;
        for number in 1..=3 {
            add(&mut sequencer, number).await;
        }
        swap(&mut sequencer, &memory, 0).await;
        sequencer.begin_checkpoint();
        for _ in 0..before {
            sequencer.step_and_wait().await.unwrap();
        }
        if grows {
            // The topic's row may not know of it yet.
            grow(&mut sequencer).await;
        }
        add(&mut sequencer, 4).await;
        delete(&mut sequencer).await;
        check(&memory).await;
        while sequencer.is_checkpointing() {
            sequencer.step_and_wait().await.unwrap();
            check(&memory).await;
        }
        drop(sequencer);
        let mut sequencer = hold(&memory, 5).await;
        checkpoint(&mut sequencer).await;
        check(&memory).await;
        let mut orphaned = 0;
        for index in 0..=PARTITIONS {
            orphaned += free_all(&mut sequencer, index).await.1;
        }
        assert_eq!((orphaned, index_rows(&memory)), (4, 0), "{before}, {grows}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_rows_of_a_topic_that_is_gone_are_freed_once_it_is_cleared() {
    let (memory, mut sequencer) = in_rows(1_000).await;
    sequencer
        .command(Command::DeleteTopic(TOPIC))
        .await
        .unwrap();
    let found = sequencer.free_chunk(partition(0)).await.unwrap();
    assert_eq!(found, Freeing::Nothing, "a checkpoint clears it first");
    checkpoint(&mut sequencer).await;
    let mut orphans = 0;
    for index in 0..PARTITIONS {
        orphans += free_all(&mut sequencer, index).await.1;
        check(&memory).await;
    }
    assert_eq!((index_rows(&memory), orphans), (0, 1_000));
}

/// Nothing of it is written any more. Checkpoints may follow each other without end.
#[tokio::test(start_paused = true)]
async fn the_rows_of_a_topic_that_is_gone_are_freed_beside_checkpoints() {
    let (memory, mut sequencer) = in_rows(1_000).await;
    delete(&mut sequencer).await;
    checkpoint(&mut sequencer).await;
    sequencer.begin_checkpoint();
    let mut orphans = 0;
    for index in 0..PARTITIONS {
        orphans += free_all(&mut sequencer, index).await.1;
        check(&memory).await;
    }
    assert!(sequencer.checkpoint.is_some());
    assert_eq!((index_rows(&memory), orphans), (0, 1_000));
    checkpoint(&mut sequencer).await;
    drop(sequencer);
    hold(&memory, 2).await;
    check(&memory).await;
}

/// A start knows rows of producers by the topic's mark. What a checkpoint writes of a topic it writes before it clears them,
/// and the mark of one may be written by an earlier checkpoint than the one that clears its producers.
#[tokio::test(start_paused = true)]
async fn the_mark_of_a_topic_stays_for_as_long_as_rows_of_its_producers() {
    let (memory, mut sequencer) = fresh().await;
    let ids = Command::AllocateProducerIds { count: 10 };
    sequencer.command(ids).await.unwrap();
    let produced = commit(1, 0, vec![batch(10, Some((0, 0)))]);
    sequencer.command(produced).await.unwrap();
    checkpoint(&mut sequencer).await;
    // Listed for the next one, which marks it therefore, though it goes only then.
    grow(&mut sequencer).await;
    sequencer.options.checkpoint_steps = Steps {
        bytes: 1,
        extents: 1,
        cleared: 1,
    };
    sequencer.begin_checkpoint();
    delete(&mut sequencer).await;
    while sequencer.is_checkpointing() {
        sequencer.step_and_wait().await.unwrap();
        check(&memory).await;
    }
    for _ in 0..10 {
        sequencer.leftovers.due().await;
        sequencer.give_back().await.unwrap();
    }
    for _ in 0..3 {
        sequencer.begin_checkpoint();
        while sequencer.is_checkpointing() {
            sequencer.step_and_wait().await.unwrap();
            check(&memory).await;
        }
        seconds(3600).await;
        for _ in 0..10 {
            sequencer.leftovers.due().await;
            sequencer.give_back().await.unwrap();
        }
    }
    assert_eq!(sequencer.state.usage().deleted_topics, 0);
    let of_topic = |key: &Bytes| {
        let key = Key::decode(key).unwrap();
        matches!(key, Key::Deleted(_) | Key::Producer(..) | Key::Index(..))
    };
    let left: Vec<Bytes> = memory.snapshot().into_keys().filter(of_topic).collect();
    assert_eq!(left, Vec::<Bytes>::new());
}
