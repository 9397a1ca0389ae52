//! One fault at a time: what is said of a command agrees with what became of it.

use super::*;
use crate::command::Submission;
use crate::error::Happened;
use crate::keys::Key;
use crate::kv::{Fault, ReadFault};
use crate::sequencer::store::{Head, Owner};
use crate::types::Lsn;

fn durable_lsn(memory: &Memory) -> Lsn {
    let head = memory.snapshot()[&Key::Head.encode()].clone();
    Head::decode(head).unwrap().lsn
}

pub(super) fn durable_epoch(memory: &Memory) -> u64 {
    let owner = memory.snapshot()[&Key::Owner.encode()].clone();
    Owner::decode(owner).unwrap().epoch
}

#[tokio::test(start_paused = true)]
async fn nothing_is_answered_or_shown_before_it_is_durable() {
    let memory = Memory::new();
    fresh(&memory).await.close().await;
    let gated = Gated::open(&memory);
    let running = run(gated.clone(), options(2)).await;
    let view = running.metadata.view(partition(0)).await.unwrap().unwrap();
    let before = durable_lsn(&memory);
    gated.let_through(0);
    let mut answer = Box::pin(running.metadata.submit(plain(1, 0)));
    let mut bounds = Box::pin(running.metadata.bounds(vec![partition(0)]));
    let patience = seconds(20);
    tokio::select! {
        early = &mut answer => panic!("{early:?}"),
        early = &mut bounds => panic!("{early:?}"),
        () = patience => {}
    }
    assert_eq!(view.bounds().high_watermark, Offset(0));
    assert_eq!(durable_lsn(&memory), before);
    gated.let_through(1_000);
    let answer = answer.await.unwrap();
    assert_eq!(placed(&answer.outcome).base_offset, Offset(0));
    assert_eq!(answer.lsn, durable_lsn(&memory));
    assert_eq!(view.bounds().high_watermark, Offset(10));
    assert_eq!(bounds.await.unwrap()[0].unwrap().high_watermark, Offset(10));
    running.kill().await;
}

#[tokio::test(start_paused = true)]
async fn one_fault_of_a_drain_is_not_noticed() {
    let late = |operations| Fault::UnknownLate { operations };
    for fault in [
        Fault::Conflict,
        Fault::TooOld,
        Fault::UnknownLanded,
        Fault::UnknownLost,
        Fault::Delay { yields: 9 },
        late(0),
        late(1),
        late(2),
        late(3),
        late(10),
    ] {
        let memory = Memory::new();
        let running = fresh(&memory).await;
        assert_eq!(committed(&running.metadata, plain(1, 0)).await, 0);
        memory.faults().inject([fault]);
        assert_eq!(
            committed(&running.metadata, plain(2, 0)).await,
            10,
            "{fault:?}"
        );
        assert_eq!(
            committed(&running.metadata, plain(3, 0)).await,
            20,
            "{fault:?}"
        );
        memory.faults().land();
        running.kill().await;
        let running = run(memory, options(3)).await;
        let all = extents(&running.metadata, 0).await;
        assert_eq!(offsets(&all), [0..10, 10..20, 20..30], "{fault:?}");
        running.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn resolving_an_unknown_drain_meets_faults_as_well() {
    let late = |operations| Fault::UnknownLate { operations };
    let kinds = [
        Fault::None,
        Fault::Unavailable,
        Fault::UnknownLanded,
        Fault::UnknownLost,
        Fault::Conflict,
        late(0),
        late(2),
        late(4),
    ];
    for first in [
        Fault::UnknownLanded,
        Fault::UnknownLost,
        late(1),
        late(3),
        late(6),
    ] {
        for second in kinds {
            for third in kinds {
                let memory = Memory::new();
                let running = fresh(&memory).await;
                memory.faults().inject([first, second, third]);
                let context = format!("{first:?}, {second:?}, {third:?}");
                let answer = running.metadata.submit(plain(1, 0)).await;
                memory.faults().cease();
                memory.faults().land();
                seconds(10).await;
                let found = high_watermark(&running.metadata, 0).await;
                match answer {
                    Ok(answer) => {
                        assert_eq!(placed(&answer.outcome).base_offset, Offset(0), "{context}");
                        assert_eq!(found, 10, "{context}");
                    }
                    Err(Error::Unavailable {
                        happened: Happened::No,
                        ..
                    }) => {
                        assert_eq!(found, 0, "{context}");
                    }
                    Err(Error::Unavailable { .. }) => assert!(found == 0 || found == 10),
                    Err(error) => panic!("{context}: {error}"),
                }
                let next = committed(&running.metadata, plain(2, 0)).await;
                assert_eq!(next, found, "{context}");
                running.kill().await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_refuses_and_work_goes_on_when_it_is_back() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let metadata = &running.metadata;
    assert_eq!(
        committed(metadata, commit(1, 0, vec![batch(10, Some((5, 0)))])).await,
        0
    );
    memory.faults().go_away();
    let rows = memory.snapshot();
    for number in 2..5 {
        let refused = metadata.submit(plain(number, 0)).await;
        let certain = matches!(
            refused,
            Err(Error::Unavailable {
                happened: Happened::No,
                ..
            })
        );
        assert!(certain, "{refused:?}");
        let refused = metadata.bounds(vec![partition(0)]).await;
        assert!(
            matches!(refused, Err(Error::Unavailable { .. })),
            "{refused:?}"
        );
        assert!(!metadata.ready());
        seconds(3).await;
    }
    assert_eq!(memory.snapshot(), rows);
    memory.faults().cease();
    seconds(3).await;
    assert!(metadata.ready());
    // The same batch again, and the next one: state and session are as they were.
    let again = metadata
        .submit(commit(9, 0, vec![batch(10, Some((5, 0)))]))
        .await
        .unwrap();
    assert!(placed(&again.outcome).duplicate);
    assert_eq!(
        committed(metadata, commit(10, 0, vec![batch(1, Some((5, 10)))])).await,
        10
    );
    running.close().await;
}

/// Also where something unclear has to be made clear first.
#[tokio::test(start_paused = true)]
async fn a_busy_store_is_asked_again_before_anything_is_loaded_anew() {
    for first in [None, Some(Fault::UnknownLost)] {
        let memory = Memory::new();
        let running = fresh(&memory).await;
        let (metadata, epoch) = (&running.metadata, durable_epoch(&memory));
        assert_eq!(committed(metadata, plain(1, 0)).await, 0);
        let before = memory.transactions();
        let faults = first.into_iter().chain([Fault::Busy; 6]);
        memory.faults().inject(faults);
        assert_eq!(committed(metadata, plain(2, 0)).await, 10, "{first:?}");
        assert!(memory.transactions() - before >= 7, "{first:?}");
        assert!(metadata.ready(), "{first:?}");
        assert_eq!(durable_epoch(&memory), epoch, "{first:?}");
        running.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_busy_refuses_in_time_and_for_certain() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let metadata = &running.metadata;
    let begun = Instant::now();
    memory.faults().inject([Fault::Busy; 100]);
    let refused = metadata.submit(plain(1, 0)).await;
    let certain = matches!(
        refused,
        Err(Error::Unavailable {
            happened: Happened::No,
            ..
        })
    );
    assert!(certain, "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(!metadata.ready());
    memory.faults().cease();
    seconds(3).await;
    assert_eq!(committed(metadata, plain(2, 0)).await, 0);
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_unclear_outcome_is_learned_by_asking_again() {
    for (fault, lands) in [(Fault::UnknownLanded, true), (Fault::UnknownLost, false)] {
        let memory = Memory::new();
        let running = fresh(&memory).await;
        let metadata = &running.metadata;
        memory.faults().inject([fault]);
        memory.faults().inject_reads([ReadFault::Unavailable; 3]);
        let batches = vec![batch(10, Some((5, 0)))];
        let unclear = metadata.submit(commit(1, 0, batches.clone())).await;
        let unknown = matches!(
            unclear,
            Err(Error::Unavailable {
                happened: Happened::Unknown,
                ..
            })
        );
        assert!(unknown, "{unclear:?}");
        seconds(5).await;
        assert_eq!(
            high_watermark(metadata, 0).await,
            if lands { 10 } else { 0 }
        );
        let again = Submission {
            session: metadata.session(),
            sequence: 3,
            seen: 1,
            command: commit(1, 0, batches),
        };
        for _ in 0..3 {
            let answer = metadata.resubmit(again.clone()).await.unwrap();
            let verdict = placed(&answer.outcome);
            assert_eq!((verdict.base_offset.0, verdict.duplicate), (0, false));
            assert_eq!(high_watermark(metadata, 0).await, 10);
        }
        running.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_claim_of_its_own_does_not_depose_it() {
    for operations in 0..12 {
        let memory = Memory::new();
        let running = fresh(&memory).await;
        // The drain fails for certain; taking up work again is unclear, and lands later or never.
        let claim = Fault::UnknownLate { operations };
        memory
            .faults()
            .inject([Fault::Unavailable, claim, claim, Fault::Conflict]);
        assert!(running.metadata.submit(plain(1, 0)).await.is_err());
        seconds(20).await;
        assert_eq!(
            committed(&running.metadata, plain(2, 0)).await,
            0,
            "{operations}"
        );
        memory.faults().land();
        assert_eq!(
            committed(&running.metadata, plain(3, 0)).await,
            10,
            "{operations}"
        );
        running.close().await;
    }
}

/// A slow store is no quarrel about rows.
#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_called_slow() {
    for (fault, says) in [
        (Fault::TooOld, "took too long"),
        (Fault::Conflict, "conflict again and again"),
    ] {
        let memory = Memory::new();
        let running = fresh(&memory).await;
        memory.faults().inject([fault, fault]);
        let refused = running.metadata.submit(plain(1, 0)).await.unwrap_err();
        assert!(refused.to_string().contains(says), "{refused}");
        running.kill().await;
    }
}
