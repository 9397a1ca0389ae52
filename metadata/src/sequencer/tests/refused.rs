//! Commands that are refused: none behind them overtakes them, what is too much is given back, and nobody waits for ever.

use super::*;
use crate::command::{Answer, Rejected};
use crate::error::Happened;
use crate::kv::Fault;
use crate::queue::QUEUE_MAX;

/// A sequencer with a topic, of whose store each further commit waits until it is let through.
async fn stuck() -> (Gated, Running) {
    let memory = Memory::new();
    fresh(&memory).await.close().await;
    let gated = Gated::open(&memory);
    let running = run(gated.clone(), options(2)).await;
    gated.let_through(0);
    (gated, running)
}

fn refused(answer: &Result<Answer, Error>) -> bool {
    matches!(
        answer,
        Err(Error::TooManyWait
            | Error::Unavailable {
                happened: Happened::No,
                ..
            })
    )
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_refused_is_not_overtaken_by_one_that_was_asked_behind_it() {
    let memory = Memory::new();
    fresh(&memory).await.close().await;
    let gated = Gated::open(&memory);
    let running = run(gated.clone(), options(2)).await;
    let metadata = &running.metadata;
    // Its drain fails, and the store stays away in the middle of taking up work again.
    gated.let_through(1);
    memory.faults().inject([Fault::Unavailable]);
    let first = metadata.submit(plain(1, 0));
    seconds(1).await;
    let second = metadata.submit(plain(2, 0));
    gated.let_through(1_000);
    assert!(
        refused(&second.await),
        "its agent did not know of the first"
    );
    assert!(refused(&metadata.submit(plain(3, 0)).await), "nor now");
    assert!(refused(&first.await));
    // The agent knows of all that failed, and its producers send again what they must.
    for (number, end) in [(1, 0), (2, 10), (3, 20)] {
        assert_eq!(committed(metadata, plain(number, 0)).await, end);
    }
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_in_bytes_and_there_is_room_again_once_it_is_answered() {
    let memory = Memory::new();
    fresh(&memory).await.close().await;
    let gated = Gated::open(&memory);
    let running = run(gated.clone(), options(2)).await;
    let metadata = &running.metadata;
    let large = |number| {
        let Command::CommitObject(mut command) = plain(number, 0) else {
            unreachable!()
        };
        let blocks = 15 * 1024 * 1024 / size_of::<CommitBlock>();
        command.blocks = vec![command.blocks[0].clone(); blocks];
        for block in &mut command.blocks {
            block.batches.clear();
        }
        Command::CommitObject(command)
    };
    gated.let_through(0);
    let waiting: Vec<_> = (100..104).map(|id| metadata.submit(large(id))).collect();
    assert!(metadata.stats().queued_bytes > 60 * 1024 * 1024);
    assert!(refused(&metadata.submit(large(104)).await));
    // There is room for what is small, but its agent has not heard that the one before it was refused.
    assert!(refused(&metadata.submit(plain(1, 0)).await));
    gated.let_through(1_000);
    for answer in waiting {
        answer.await.unwrap();
    }
    assert_eq!(metadata.stats().queued_bytes, 0);
    metadata.submit(large(105)).await.unwrap();
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_keeps_nobody_waiting_for_ever() {
    let (_gated, running) = stuck().await;
    let metadata = &running.metadata;
    let (answer, bounds) = tokio::join!(
        metadata.submit(plain(1, 0)),
        metadata.bounds(vec![partition(0)]),
    );
    let unknown = matches!(
        answer,
        Err(Error::Unavailable {
            happened: Happened::Unknown,
            ..
        })
    );
    assert!(unknown, "{answer:?}");
    assert!(matches!(bounds, Err(Error::Unavailable { .. })));
    running.kill().await;
}

/// Whoever asked for a topic and stopped waiting asked again and again, until no commit found room.
#[tokio::test(start_paused = true)]
async fn commits_find_room_however_many_changes_of_topics_were_asked_for_and_given_up() {
    let (gated, running) = stuck().await;
    let metadata = &running.metadata;
    let create = |id| CreateTopic {
        name: "x".to_owned(),
        id: TopicId(id),
        partitions: 1,
        replication_factor: 1,
        configs: [].into(),
    };
    let (mut left, mut told) = (0, 0);
    for id in 100..40_100 {
        let ids = Command::AllocateProducerIds { count: 1 };
        for command in [Command::CreateTopic(create(id)), ids] {
            match futures::poll!(Box::pin(metadata.submit(command))) {
                std::task::Poll::Pending => left += 1,
                std::task::Poll::Ready(answer) => {
                    told += u32::from(matches!(answer, Err(Error::TooManyWait)));
                }
            }
        }
    }
    assert_eq!(left + told, 80_000);
    assert!(metadata.stats().queued <= QUEUE_MAX / 4);
    let mut commits = Vec::new();
    for number in 1..100 {
        let mut commit = Box::pin(metadata.submit(plain(number, 0)));
        assert!(futures::poll!(&mut commit).is_pending());
        commits.push(commit);
    }
    gated.let_through(1_000_000);
    for commit in commits {
        commit.await.unwrap();
    }
    let again = Command::CreateTopic(create(1));
    let outcome = metadata.submit(again).await.unwrap().outcome;
    assert_eq!(outcome, Outcome::Rejected(Rejected::TopicExists));
    running.close().await;
}

/// The same of those who ask and go away.
#[tokio::test(start_paused = true)]
async fn commits_find_room_however_many_questions_were_asked_and_given_up() {
    let (gated, running) = stuck().await;
    let metadata = &running.metadata;
    for _ in 0..40_000 {
        // Else tokio lets only the first hundred get on.
        let question = tokio::task::unconstrained(metadata.confirmed_catalogue());
        assert!(futures::poll!(Box::pin(question)).is_pending());
    }
    assert!(metadata.stats().queued <= QUEUE_MAX / 2);
    let mut commit = Box::pin(metadata.submit(plain(1, 0)));
    assert!(futures::poll!(&mut commit).is_pending());
    gated.let_through(1_000);
    commit.await.unwrap();
    running.close().await;
}
