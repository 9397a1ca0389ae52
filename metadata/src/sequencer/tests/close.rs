//! The end of a process, the next one, and the time in which nothing happens.

use super::*;
use crate::command::Rejected;
use crate::error::Happened;
use crate::keys::Key;
use crate::kv::Fault;
use crate::queue::QUEUE_MAX;

fn count(memory: &Memory, of: fn(Key) -> bool) -> usize {
    let rows = memory.snapshot();
    let keys = rows.keys().map(|key| Key::decode(key).unwrap());
    keys.filter(|key| of(*key)).count()
}

async fn some_history(metadata: &Metadata) {
    for number in 0..10_u64 {
        let sequence = i32::try_from(number * 5).unwrap();
        let batches = vec![batch(5, Some((5, sequence))), batch(1, None)];
        committed(metadata, commit(number, 0, batches)).await;
    }
    committed(metadata, plain(100, 2)).await;
}

/// The last five of the producer are duplicates, the sixth is too old to tell, and the next follows.
async fn same_as_before(metadata: &Metadata, fresh: u64) {
    assert_eq!(high_watermark(metadata, 0).await, 60);
    assert_eq!(high_watermark(metadata, 1).await, 0);
    assert_eq!(high_watermark(metadata, 2).await, 10);
    for number in 5..10_i32 {
        let again = commit(
            fresh + u64::try_from(number).unwrap(),
            0,
            vec![batch(5, Some((5, number * 5)))],
        );
        let answer = metadata.submit(again).await.unwrap();
        let verdict = placed(&answer.outcome);
        assert_eq!(
            (verdict.base_offset.0, verdict.duplicate),
            (i64::from(number) * 6, true)
        );
    }
    let older = commit(fresh, 0, vec![batch(5, Some((5, 20)))]);
    let answer = metadata.submit(older).await.unwrap();
    let Outcome::Committed(verdicts) = answer.outcome else {
        panic!("{answer:?}")
    };
    assert_eq!(verdicts, [Err(Rejected::OutOfOrderSequence)]);
    assert_eq!(extents(metadata, 0).await.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_close_leaves_a_checkpoint_and_no_log() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    some_history(&running.metadata).await;
    let late = running.metadata.clone();
    running.close().await;
    assert!(matches!(
        late.submit(plain(1, 0)).await,
        Err(Error::Closing)
    ));
    assert_eq!(count(&memory, |key| matches!(key, Key::Log(..))), 0);
    assert_eq!(count(&memory, |key| matches!(key, Key::Object(_))), 11);
    assert_eq!(count(&memory, |key| matches!(key, Key::Partition(_))), 2);
    let cluster_id = late.cluster_id().to_owned();
    let running = run(memory, options(2)).await;
    assert_eq!(running.metadata.cluster_id(), cluster_id);
    assert!(running.metadata.catalogue().topic("orders").is_some());
    same_as_before(&running.metadata, 200).await;
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_loses_nothing_with_or_without_checkpoints() {
    for pauses in [0, 1, 16, 60] {
        let memory = Memory::new();
        let running = fresh(&memory).await;
        some_history(&running.metadata).await;
        seconds(pauses).await;
        running.kill().await;
        for seed in 2..5 {
            let running = run(memory.clone(), options(seed)).await;
            same_as_before(&running.metadata, seed * 100).await;
            running.kill().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_stopped_at_any_commit_loses_nothing() {
    for commits in 0..8 {
        let memory = Memory::new();
        let running = fresh(&memory).await;
        some_history(&running.metadata).await;
        running.kill().await;
        let gated = Gated::open(&memory);
        let running = run(gated.clone(), options(2)).await;
        gated.let_through(commits);
        let closing = running.metadata.close();
        tokio::select! {
            () = closing => {}
            () = seconds(10) => {}
        }
        running.task.abort();
        let running = run(memory, options(3)).await;
        same_as_before(&running.metadata, 200).await;
        running.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_process_closes_the_sessions_of_the_last() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let session = running.metadata.session();
    running.kill().await;
    let running = run(memory.clone(), options(2)).await;
    assert_ne!(running.metadata.session(), session);
    let stray = crate::command::Submission {
        session,
        sequence: 2,
        seen: 1,
        command: plain(1, 0),
    };
    let answer = running.metadata.resubmit(stray).await.unwrap();
    assert_eq!(answer.outcome, Outcome::Rejected(Rejected::SessionClosed));
    assert_eq!(high_watermark(&running.metadata, 0).await, 0);
    running.close().await;
    assert_eq!(count(&memory, |key| matches!(key, Key::Session(_))), 1);
    assert!(count(&memory, |key| matches!(key, Key::Outcome(..))) <= 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_sequencer_writes_nothing() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    some_history(&running.metadata).await;
    // The checkpoint after the burst.
    seconds(20).await;
    let (rows, transactions) = (memory.snapshot(), memory.transactions());
    seconds(3 * 3600).await;
    assert_eq!(memory.transactions(), transactions);
    // Reads do not write either.
    assert_eq!(high_watermark(&running.metadata, 0).await, 60);
    assert_eq!(extents(&running.metadata, 0).await.len(), 10);
    assert_eq!(
        (memory.snapshot(), memory.transactions()),
        (rows, transactions)
    );
    running.close().await;
    assert_eq!(memory.transactions(), transactions, "nor does its end");
}

#[tokio::test(start_paused = true)]
async fn a_close_ends_it_also_while_the_store_fails() {
    for fails_before in [true, false] {
        let memory = Memory::new();
        let running = fresh(&memory).await;
        if fails_before {
            memory.faults().go_away();
            assert!(running.metadata.submit(plain(1, 0)).await.is_err());
        } else {
            memory.faults().inject([Fault::Unavailable]);
        }
        // In the queue before the request to close, so that both are taken at once.
        let answer = running.metadata.submit(plain(2, 0));
        let closed = tokio::time::timeout(Duration::from_secs(60), running.metadata.close());
        closed.await.expect("it closes");
        assert!(answer.await.is_err());
        running.task.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_keeps_its_order() {
    let memory = Memory::new();
    fresh(&memory).await.close().await;
    let (metadata, sequencer) = start(Arc::new(memory), options(2)).await.unwrap();
    let answers: Vec<_> = (0..QUEUE_MAX as u64)
        .map(|number| metadata.submit(plain(number, 0)))
        .collect();
    assert_eq!(metadata.stats().queued, QUEUE_MAX);
    for _ in 0..3 {
        let refused = metadata.submit(plain(u64::MAX, 0)).await;
        let certain = matches!(
            refused,
            Err(Error::Unavailable {
                happened: Happened::No,
                ..
            })
        );
        assert!(certain, "{refused:?}");
    }
    let script = async {
        for (number, answer) in (0..).zip(answers) {
            let outcome = answer.await.unwrap().outcome;
            assert_eq!(placed(&outcome).base_offset, Offset(number * 10));
        }
        // Group commit: far fewer transactions than commands.
        let stats = metadata.stats();
        assert!(stats.drains < 20, "{stats:?}");
        assert_eq!(stats.queued, 0);
        metadata.close().await;
    };
    let (run, ()) = tokio::join!(sequencer.run(), script);
    run.unwrap();
}

#[tokio::test(start_paused = true)]
async fn silent_producers_are_forgotten_and_may_begin_anywhere() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let metadata = &running.metadata;
    committed(metadata, commit(1, 0, vec![batch(10, Some((5, 0)))])).await;
    let day = 24 * 3600;
    seconds(day + 2 * 3600).await;
    // Names of objects grow old as well: these are named later.
    let epoch = metadata.naming_epoch();
    let named = |number: u64, sequence| {
        let Command::CommitObject(mut command) = commit(number, 0, vec![batch(10, Some(sequence))])
        else {
            unreachable!()
        };
        command.object = ObjectKey::new(epoch, number, 0);
        Command::CommitObject(command)
    };
    // The first command wakes it, after which it looks for the silent.
    assert_eq!(high_watermark(metadata, 0).await, 10);
    assert_eq!(committed(metadata, named(2, (5, 70))).await, 10);
    let stranger = metadata.submit(named(3, (6, 70))).await.unwrap();
    let Outcome::Committed(verdicts) = stranger.outcome else {
        panic!()
    };
    assert_eq!(
        verdicts,
        [Err(Rejected::OutOfOrderSequence)],
        "6 was never here"
    );
    running.kill().await;
    let running = run(memory, options(2)).await;
    let again = running.metadata.submit(named(4, (5, 70))).await.unwrap();
    assert!(placed(&again.outcome).duplicate);
    running.close().await;
}
