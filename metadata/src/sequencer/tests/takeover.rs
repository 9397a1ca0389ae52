//! Two sequencers over one store: the deposed one writes nothing and answers nothing.

use super::*;
use crate::keys::Key;
use crate::kv::Fault;
use crate::level::Format;
use crate::sequencer::store::Head;
use crate::types::Lsn;

/// What a deposed sequencer must answer, whoever asks it.
async fn answers_nothing(metadata: &Metadata) {
    let refused = metadata.bounds(vec![partition(0)]).await;
    assert!(
        matches!(refused, Err(Error::Fenced | Error::Closing)),
        "{refused:?}"
    );
    let refused = metadata.locate(partition(0), Offset(0), 1).await;
    assert!(
        matches!(refused, Err(Error::Fenced | Error::Closing)),
        "{refused:?}"
    );
    let refused = metadata.locate_max_timestamp(partition(0)).await;
    assert!(
        matches!(refused, Err(Error::Fenced | Error::Closing)),
        "{refused:?}"
    );
    let refused = metadata.submit(plain(99, 0)).await;
    assert!(
        matches!(refused, Err(Error::Fenced | Error::Closing)),
        "{refused:?}"
    );
    assert!(!metadata.ready());
}

#[derive(Clone, Copy, Debug)]
enum First {
    Command,
    Read,
    Checkpoint,
}

#[tokio::test(start_paused = true)]
async fn a_deposed_sequencer_writes_and_answers_nothing() {
    for first in [First::Command, First::Read, First::Checkpoint] {
        let memory = Memory::new();
        let old = fresh(&memory).await;
        assert_eq!(committed(&old.metadata, plain(1, 0)).await, 0);
        let new = run(memory.clone(), options(2)).await;
        assert_eq!(committed(&new.metadata, plain(2, 0)).await, 10);
        let rows = memory.snapshot();
        match first {
            First::Command => {
                let refused = old.metadata.submit(plain(3, 0)).await;
                assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
            }
            First::Read => {
                let refused = old.metadata.bounds(vec![partition(0)]).await;
                assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
            }
            // The new one's is due as well, but later: its process started later.
            First::Checkpoint => tokio::time::sleep(Duration::from_millis(14_999)).await,
        }
        if let First::Checkpoint = first {
            tokio::time::advance(Duration::from_millis(1)).await;
        } else {
            assert_eq!(memory.snapshot(), rows, "{first:?}");
        }
        let ended = old.task.await.unwrap();
        assert!(matches!(ended, Err(Error::Fenced)), "{ended:?}");
        answers_nothing(&old.metadata).await;
        assert_eq!(high_watermark(&new.metadata, 0).await, 20);
        assert_eq!(committed(&new.metadata, plain(4, 0)).await, 20);
        new.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_on_its_way_while_another_takes_over_never_lands() {
    for operations in [0, 1, 2, 5, 50] {
        let memory = Memory::new();
        let old = fresh(&memory).await;
        memory.faults().inject([Fault::UnknownLate { operations }]);
        let late = {
            let answer = old.metadata.submit(plain(1, 0));
            // It is handed to the store, and the process stops there.
            tokio::task::yield_now().await;
            answer
        };
        old.task.abort();
        let new = run(memory.clone(), options(2)).await;
        let start = high_watermark(&new.metadata, 0).await;
        assert_eq!(committed(&new.metadata, plain(2, 0)).await, start);
        memory.faults().land();
        assert_eq!(committed(&new.metadata, plain(3, 0)).await, start + 10);
        let landed = match late.await {
            Ok(answer) => Some(placed(&answer.outcome).base_offset.0),
            Err(_) => None,
        };
        if let Some(offset) = landed {
            assert_eq!((offset, start), (0, 10));
        }
        new.kill().await;
        let reborn = run(memory, options(3)).await;
        assert_eq!(high_watermark(&reborn.metadata, 0).await, start + 20);
        reborn.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_was_away_while_another_took_over_stops() {
    let memory = Memory::new();
    let old = fresh(&memory).await;
    memory.faults().inject([Fault::Unavailable]);
    assert!(old.metadata.submit(plain(1, 0)).await.is_err());
    // Before it tries to take up work again.
    let new = run(memory.clone(), options(2)).await;
    let ended = old.task.await.unwrap();
    assert!(matches!(ended, Err(Error::Fenced)), "{ended:?}");
    answers_nothing(&old.metadata).await;
    assert_eq!(committed(&new.metadata, plain(2, 0)).await, 0);
    new.close().await;
}

#[tokio::test(start_paused = true)]
async fn many_that_start_at_once_leave_one_that_writes() {
    let memory = Memory::new();
    let first = fresh(&memory).await;
    let mut all = vec![first];
    for seed in 2..6 {
        all.push(run(memory.clone(), options(seed)).await);
    }
    let mut answered = 0;
    for (number, running) in (1..).zip(&all) {
        match running.metadata.submit(plain(number, 0)).await {
            Ok(answer) => {
                answered += 1;
                assert_eq!(placed(&answer.outcome).base_offset, Offset(0));
            }
            Err(error) => assert!(matches!(error, Error::Fenced), "{error}"),
        }
    }
    assert_eq!(answered, 1);
    all.pop().unwrap().close().await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_format_is_refused_with_nothing_written() {
    let memory = Memory::new();
    fresh(&memory).await.close().await;
    let mut transaction = Transaction::default();
    let format = Format {
        writer: 9,
        reader_min: 8,
        ..Format::new("of a cluster".to_owned())
    };
    transaction.set(Key::Format.encode(), format.encode());
    memory.commit(transaction).await.unwrap();
    let (rows, transactions) = (memory.snapshot(), memory.transactions());
    let refused = start(Arc::new(memory.clone()), options(2))
        .await
        .unwrap_err();
    let text = refused.to_string();
    assert!(matches!(refused, Error::NewerFormat { .. }), "{text}");
    assert!(
        text.contains("level 8") && text.contains("newer Penstock"),
        "{text}"
    );
    assert_eq!(
        (memory.snapshot(), memory.transactions()),
        (rows, transactions)
    );
}

#[tokio::test(start_paused = true)]
async fn a_damaged_store_is_refused_and_not_written_over() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    committed(&running.metadata, plain(1, 0)).await;
    running.kill().await;
    let log: Vec<_> = memory
        .snapshot()
        .into_keys()
        .filter(|key| matches!(Key::decode(key), Ok(Key::Log(..))))
        .collect();
    assert!(log.len() >= 3);
    for row in log {
        let damaged = Memory::new();
        let mut transaction = Transaction::default();
        for (key, value) in memory.snapshot() {
            transaction.set(key, value);
        }
        transaction.clear(row.clone());
        damaged.commit(transaction).await.unwrap();
        let rows = damaged.snapshot();
        let refused = start(Arc::new(damaged.clone()), options(2))
            .await
            .unwrap_err();
        assert!(matches!(refused, Error::Corrupt(_)), "{refused}");
        assert_eq!(damaged.snapshot(), rows);
    }
}

/// The new one holds the owner row and reads the log; what the old one wrote now it would never see.
#[tokio::test(start_paused = true)]
async fn a_deposed_sequencer_writes_nothing_while_the_new_one_still_loads() {
    let memory = Memory::new();
    let old = fresh(&memory).await;
    assert_eq!(committed(&old.metadata, plain(1, 0)).await, 0);
    let gated = Gated::open(&memory);
    gated.let_through(1);
    let mut starting = Box::pin(run(gated.clone(), options(2)));
    tokio::select! {
        _ = &mut starting => panic!("it has a session to open"),
        () = seconds(1) => {}
    }
    let rows = memory.snapshot();
    let refused = old.metadata.submit(plain(2, 0)).await;
    assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
    assert_eq!(memory.snapshot(), rows);
    gated.let_through(1_000);
    let new = starting.await;
    assert_eq!(committed(&new.metadata, plain(3, 0)).await, 10);
    new.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_take_over_from_an_owner_that_others_succeeded_long_ago_is_none() {
    let memory = Memory::new();
    let first = fresh(&memory).await;
    let row = memory.get(&Key::Owner.encode()).await.unwrap().unwrap();
    committed(&first.metadata, plain(1, 0)).await;
    for seed in 2..5 {
        let next = run(memory.clone(), options(seed)).await;
        committed(&next.metadata, plain(seed, 0)).await;
    }
    let rows = memory.snapshot();
    let late = crate::sequencer::takeover::succeed(&memory, &options(9), row, &[]).await;
    assert!(matches!(late, Ok(None)));
    assert_eq!(memory.snapshot(), rows, "it wrote nothing");
}

/// What a version of the next level would leave: everything else is as this one wrote it.
async fn with_row(memory: &Memory, key: impl Into<Bytes>, row: impl Into<Bytes>) -> Memory {
    let newer = Memory::new();
    let mut transaction = Transaction::default();
    for (key, row) in memory.snapshot() {
        transaction.set(key, row);
    }
    transaction.set(key.into(), row.into());
    newer.commit(transaction).await.unwrap();
    newer
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_kind_that_is_not_known_are_refused_and_not_skipped() {
    let memory = Memory::new();
    fresh(&memory).await.close().await;
    for key in [[0, b'e'], [0, b'z'], [1, b'f'], [0, b'a' - 1]] {
        let newer = with_row(&memory, key.to_vec(), "of a newer version").await;
        let rows = newer.snapshot();
        let refused = start(Arc::new(newer.clone()), options(2))
            .await
            .unwrap_err();
        assert!(matches!(refused, Error::NewerFormat { .. }), "{refused}");
        assert_eq!(newer.snapshot(), rows);
    }
}

/// The log of a cluster whose level was raised: in the log, and once a checkpoint has it.
#[tokio::test(start_paused = true)]
async fn who_cannot_read_the_feature_level_takes_over_from_nobody() {
    use crate::effect::{ClusterEffect, Effect, LogBytes};
    let memory = Memory::new();
    let holder = fresh(&memory).await;
    committed(&holder.metadata, plain(1, 0)).await;
    let raised = Effect::Cluster(ClusterEffect::FeatureLevelRaised { level: 9 });
    let mut log = LogBytes::new(Timestamp(START));
    log.push(&raised);
    let head = Head::decode(memory.snapshot()[&Key::Head.encode()].clone()).unwrap();
    let lsn = Lsn(head.lsn.0 + 1);
    let row = log.into_rows(lsn, 1 << 20).remove(0);
    let newer = with_row(&memory, Key::Log(lsn, 0).encode(), row).await;
    // What follows is not readable at all.
    let newer = with_row(&newer, Key::Log(Lsn(lsn.0 + 1), 0).encode(), "not known").await;
    let next = Head {
        lsn: Lsn(lsn.0 + 1),
        ..head
    };
    let newer = with_row(&newer, Key::Head.encode(), next.encode()).await;
    let rows = newer.snapshot();
    let refused = start(Arc::new(newer.clone()), options(2))
        .await
        .unwrap_err();
    let text = refused.to_string();
    assert!(matches!(refused, Error::NewerFormat { .. }), "{text}");
    assert!(
        text.contains("level 9") && text.contains("newer Penstock"),
        "{text}"
    );
    assert_eq!(newer.snapshot(), rows, "nobody is deposed");
    holder.close().await;
}

/// A holder that commits and writes checkpoints all the while; what is read beside it fits together, or is not taken.
#[tokio::test]
async fn rows_read_beside_a_holder_fit_together() {
    let memory = Memory::new();
    let mut options = options(1);
    options.checkpoint_interval = Duration::from_millis(3);
    let running = run(memory.clone(), options).await;
    create_topic(&running.metadata, TOPIC, "orders", 3).await;
    let writing = async {
        for number in 0..3000_u64 {
            let index = i32::try_from(number % 3).unwrap();
            let sequence = i32::try_from(number / 3).unwrap();
            committed(
                &running.metadata,
                commit(number, index, vec![batch(1, Some((5, sequence)))]),
            )
            .await;
            if number % 500 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let reading = async {
        let mut read = 0;
        loop {
            match super::super::check(&memory).await {
                Ok(_) => read += 1,
                Err(Error::Unavailable { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            tokio::task::yield_now().await;
            if read == 0 {
                continue;
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    };
    tokio::select! {
        () = writing => {}
        () = reading => {}
    }
    // One more takes over in the middle of it, and goes on with the same producers.
    let next = run(memory, super::options(2)).await;
    assert_eq!(high_watermark(&next.metadata, 0).await, 1000);
    let again = commit(9999, 0, vec![batch(1, Some((5, 999)))]);
    let again = next.metadata.submit(again).await.unwrap();
    assert!(placed(&again.outcome).duplicate);
    next.close().await;
}
