//! Commands larger than a row or a transaction of the store: cut over log rows, whole or not at all.

use super::*;
use crate::command::Rejected;
use crate::keys::Key;
use crate::kv::Fault;

const BATCHES: u32 = 160_000;
const PRODUCERS: u32 = 900;

/// A segment of tiny batches, each of another producer.
fn wide(number: u64) -> Command {
    let batches = (0..BATCHES).map(|index| {
        batch(
            1,
            Some((
                i64::from(index % PRODUCERS) * 1_003,
                (index / PRODUCERS).cast_signed(),
            )),
        )
    });
    commit(number, 0, batches.collect())
}

fn log_rows(memory: &Memory) -> usize {
    let rows = memory.snapshot();
    let keys = rows.keys().map(|key| Key::decode(key).unwrap());
    keys.filter(|key| matches!(key, Key::Log(..))).count()
}

#[tokio::test(start_paused = true)]
async fn a_command_too_large_for_a_transaction_is_cut_over_log_rows() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let transactions = memory.transactions();
    // Others in the same drain, before and behind.
    let before = running.metadata.submit(plain(1, 0));
    let answer = running.metadata.submit(wide(2));
    let behind = running.metadata.submit(plain(3, 0));
    assert_eq!(
        placed(&before.await.unwrap().outcome).base_offset,
        Offset(0)
    );
    let Outcome::Committed(verdicts) = answer.await.unwrap().outcome else {
        panic!("committed")
    };
    assert_eq!(verdicts.len(), BATCHES as usize);
    for (offset, verdict) in (10..).zip(&verdicts) {
        assert_eq!(verdict.unwrap().base_offset, Offset(offset));
    }
    let end = i64::from(BATCHES) + 10;
    assert_eq!(
        placed(&behind.await.unwrap().outcome).base_offset,
        Offset(end)
    );
    assert!(memory.transactions() - transactions >= 3);
    assert!(log_rows(&memory) > 15);
    running.kill().await;
    let running = run(memory.clone(), options(2)).await;
    assert_eq!(high_watermark(&running.metadata, 0).await, end + 10);
    // The last of its batches are known, and the checkpoint with such an outcome in it goes through.
    let again = commit(
        4,
        0,
        vec![batch(
            1,
            Some((0, ((BATCHES - 1) / PRODUCERS).cast_signed())),
        )],
    );
    assert!(placed(&running.metadata.submit(again).await.unwrap().outcome).duplicate);
    committed(&running.metadata, plain(5, 1)).await;
    running.close().await;
    assert_eq!(log_rows(&memory), 0);
    let running = run(memory, options(3)).await;
    assert_eq!(high_watermark(&running.metadata, 0).await, end + 10);
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_holds_wide_outcomes_that_nobody_has_seen() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let session = running.metadata.session();
    let answer = running.metadata.submit(wide(1)).await.unwrap();
    seconds(20).await;
    assert_eq!(running.metadata.stats().checkpoints, 1);
    assert_eq!(log_rows(&memory), 0);
    let again = crate::command::Submission {
        session,
        sequence: 3,
        seen: 1,
        command: wide(1),
    };
    // Loads what the checkpoint wrote, as after a fail-over: the session lives on.
    memory.faults().inject([Fault::Unavailable]);
    assert!(running.metadata.submit(plain(2, 1)).await.is_err());
    seconds(5).await;
    let first = running.metadata.resubmit(again).await.unwrap();
    assert_eq!(first.outcome, answer.outcome);
    assert_eq!(
        high_watermark(&running.metadata, 0).await,
        i64::from(BATCHES)
    );
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_wide_drain_that_stops_between_its_transactions_never_was() {
    for commits in 0..8 {
        let memory = Memory::new();
        fresh(&memory).await.close().await;
        let gated = Gated::open(&memory);
        let running = run(gated.clone(), options(2)).await;
        gated.let_through(commits);
        let answer =
            tokio::time::timeout(Duration::from_secs(9), running.metadata.submit(wide(1))).await;
        running.kill().await;
        let before = log_rows(&memory);
        let running = run(memory.clone(), options(3)).await;
        let found = high_watermark(&running.metadata, 0).await;
        match answer {
            Ok(answer) => {
                answer.unwrap();
                assert_eq!(found, i64::from(BATCHES));
            }
            Err(_) => {
                assert_eq!(found, 0, "{commits}");
                assert!(
                    log_rows(&memory) <= 2,
                    "{before} rows, and {} stay",
                    log_rows(&memory)
                );
            }
        }
        assert_eq!(committed(&running.metadata, plain(2, 0)).await, found);
        running.kill().await;
        let running = run(memory, options(4)).await;
        assert_eq!(high_watermark(&running.metadata, 0).await, found + 10);
        running.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn faults_between_the_transactions_of_a_wide_drain() {
    for at in 0..6 {
        for fault in [
            Fault::Unavailable,
            Fault::UnknownLanded,
            Fault::UnknownLost,
            Fault::Conflict,
        ] {
            let memory = Memory::new();
            let running = fresh(&memory).await;
            memory
                .faults()
                .inject((0..at).map(|_| Fault::None).chain([fault]));
            let answer = running.metadata.submit(wide(1)).await;
            memory.faults().cease();
            seconds(5).await;
            let found = high_watermark(&running.metadata, 0).await;
            let expected = if answer.is_ok() {
                i64::from(BATCHES)
            } else {
                0
            };
            assert_eq!(found, expected, "{fault:?} at {at}: {:?}", answer.err());
            assert_eq!(committed(&running.metadata, plain(2, 0)).await, found);
            running.close().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_fits_no_row_is_refused() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let mut create = CreateTopic {
        name: "wide".to_owned(),
        id: TopicId(8),
        partitions: 1,
        replication_factor: 1,
        configs: [("x".to_owned(), "y".repeat(70_000))].into(),
    };
    let answer = running
        .metadata
        .submit(Command::CreateTopic(create.clone()))
        .await
        .unwrap();
    assert_eq!(answer.outcome, Outcome::Rejected(Rejected::InvalidCommand));
    create.configs = [("x".to_owned(), "y".repeat(60_000))].into();
    let answer = running
        .metadata
        .submit(Command::CreateTopic(create.clone()))
        .await
        .unwrap();
    assert_eq!(answer.outcome, Outcome::TopicCreated(TopicId(8)));
    create.partitions = i32::MAX;
    create.name = "many".to_owned();
    let answer = running
        .metadata
        .submit(Command::CreateTopic(create))
        .await
        .unwrap();
    assert_eq!(
        answer.outcome,
        Outcome::Rejected(Rejected::TooManyPartitions)
    );
    running.close().await;
    run(memory, options(2)).await.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_stops_inside_a_wide_outcome_is_read_past() {
    for commits in 0..8 {
        let memory = Memory::new();
        fresh(&memory).await.close().await;
        let gated = Gated::open(&memory);
        let running = run(gated.clone(), options(2)).await;
        // The session has a row, by which outcomes are looked for.
        committed(&running.metadata, plain(9, 1)).await;
        seconds(20).await;
        running.metadata.submit(wide(1)).await.unwrap();
        gated.let_through(commits);
        tokio::select! {
            () = running.metadata.close() => {}
            () = seconds(10) => {}
        }
        running.task.abort();
        let running = run(memory, options(3)).await;
        let found = high_watermark(&running.metadata, 0).await;
        assert_eq!(found, i64::from(BATCHES), "{commits}");
        running.close().await;
    }
}
