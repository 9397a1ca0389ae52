//! Wall clocks that jump, on a process that holds the order or takes it: nobody is forgotten, and nothing is refused.

use std::sync::atomic::AtomicI64;

use super::*;
use crate::command::Rejected;
use crate::sequencer::{Sequencer, Serves};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A wall clock that anybody may set, over tokio's.
#[derive(Clone, Debug, Default)]
struct Wall(Arc<AtomicI64>);

impl Wall {
    fn jump(&self, by: i64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    fn options(&self, seed: u64) -> Options {
        let (right, wrong) = (options(seed), Arc::clone(&self.0));
        let now = Arc::clone(&right.now);
        Options {
            now: Arc::new(move || Timestamp(now().0 + wrong.load(Ordering::Relaxed))),
            ..right
        }
    }
}

/// One batch of the producer that was there from the beginning, or of one that nobody knows.
async fn sent(metadata: &Metadata, number: u64, producer: (i64, i32)) -> Result<i64, Rejected> {
    let Command::CommitObject(mut command) = commit(number, 0, vec![batch(10, Some(producer))])
    else {
        unreachable!()
    };
    command.object = ObjectKey::new(metadata.naming_epoch(), number, 0);
    let answer = metadata.submit(Command::CommitObject(command)).await;
    match answer.unwrap().outcome {
        Outcome::Committed(verdicts) => verdicts[0].map(|placed| placed.base_offset.0),
        Outcome::Rejected(rejected) => Err(rejected),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_on_the_holder_forgets_nobody_and_refuses_nothing() {
    for jump in [DAY_MS + HOUR_MS, -7 * HOUR_MS, -400 * DAY_MS, 400 * DAY_MS] {
        let (memory, wall) = (Memory::new(), Wall::default());
        let running = run(memory.clone(), wall.options(1)).await;
        let metadata = running.metadata.clone();
        create_topic(&metadata, TOPIC, "orders", 1).await;
        assert_eq!(sent(&metadata, 1, (5, 0)).await, Ok(0));
        wall.jump(jump);
        // Looks for silent producers meanwhile.
        seconds(2 * 3600).await;
        assert_eq!(high_watermark(&metadata, 0).await, 10);
        let gap = sent(&metadata, 2, (5, 20)).await;
        assert_eq!(
            gap,
            Err(Rejected::OutOfOrderSequence),
            "{jump}: it is known"
        );
        assert_eq!(sent(&metadata, 3, (5, 10)).await, Ok(10), "{jump}");
        running.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_on_the_next_holder_moves_time_by_ten_minutes_and_never_back() {
    for jump in [DAY_MS + HOUR_MS, -7 * HOUR_MS] {
        let (memory, wall) = (Memory::new(), Wall::default());
        let running = run(memory.clone(), wall.options(1)).await;
        create_topic(&running.metadata, TOPIC, "orders", 1).await;
        assert_eq!(sent(&running.metadata, 1, (5, 0)).await, Ok(0));
        let named = ObjectKey::new(running.metadata.naming_epoch(), 2, 0);
        running.kill().await;
        wall.jump(jump);
        let running = run(memory, wall.options(2)).await;
        let metadata = running.metadata.clone();
        seconds(2 * 3600).await;
        let Command::CommitObject(mut command) = plain(2, 0) else {
            unreachable!()
        };
        // Named before the clock jumped.
        command.object = named;
        let command = Command::CommitObject(command);
        assert_eq!(committed(&metadata, command).await, 10, "{jump}");
        let gap = sent(&metadata, 3, (5, 20)).await;
        assert_eq!(
            gap,
            Err(Rejected::OutOfOrderSequence),
            "{jump}: it is known"
        );
        assert_eq!(sent(&metadata, 4, (5, 10)).await, Ok(20), "{jump}");
        create_topic(&metadata, TopicId(8), "later", 1).await;
        let catalogue = metadata.catalogue();
        let (first, later) = (catalogue.topic("orders"), catalogue.topic("later"));
        let passed = later.unwrap().created.0 - first.unwrap().created.0;
        let caught_up = if jump > 0 { HOUR_MS / 6 } else { 0 };
        assert_eq!(passed, 2 * HOUR_MS + caught_up, "{jump}");
        running.close().await;
    }
}

/// So many times, each with something that is written at the end.
async fn ten_minutes(metadata: &Metadata, times: u32) {
    for _ in 0..times {
        seconds(600).await;
        let command = Command::AllocateProducerIds { count: 1 };
        metadata.submit(command).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn naming_epochs_follow_each_other_for_ever_and_what_was_named_too_long_ago_is_refused() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let first = running.metadata.naming_epoch();
    ten_minutes(&running.metadata, 1).await;
    let second = running.metadata.naming_epoch();
    assert_eq!(second.0, first.0 + 1);
    running.kill().await;
    let running = run(memory, options(2)).await;
    let metadata = &running.metadata;
    assert_eq!(metadata.naming_epoch(), second, "the next one knows it");
    ten_minutes(metadata, 35).await;
    assert_eq!(
        committed(metadata, plain(1, 0)).await,
        0,
        "old, not too old"
    );
    ten_minutes(metadata, 1).await;
    let old = metadata.submit(plain(2, 0)).await.unwrap().outcome;
    assert_eq!(old, Outcome::Rejected(Rejected::ObjectTooOld));
    assert_eq!(sent(metadata, 3, (5, 0)).await, Ok(10), "named now");
    let Command::CommitObject(mut command) = plain(4, 0) else {
        unreachable!()
    };
    let ahead = NamingEpoch(metadata.naming_epoch().0 + 1);
    command.object = ObjectKey::new(ahead, 4, 0);
    let ahead = metadata.submit(Command::CommitObject(command)).await;
    assert_eq!(
        ahead.unwrap().outcome,
        Outcome::Rejected(Rejected::InvalidCommand),
        "nobody was told of that epoch"
    );
}

/// An embedded cluster in which nothing happens writes nothing, so its naming epoch stands still however long that lasts:
/// what is named in it may be committed.
#[tokio::test(start_paused = true)]
async fn what_was_named_before_a_long_silence_may_be_committed_after_it() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let metadata = &running.metadata;
    let named = metadata.naming_epoch();
    for (number, days) in [(1, 1), (2, 100), (3, 1_000)] {
        seconds(days * 86_400).await;
        assert!(metadata.naming_epoch().0 <= named.0 + 3);
        let base = i64::try_from(number - 1).unwrap() * 20;
        assert_eq!(
            committed(metadata, plain(number, 0)).await,
            base,
            "{days} days"
        );
        // And what is named after it.
        let producer = (i64::try_from(number).unwrap(), 0);
        assert_eq!(sent(metadata, number + 10, producer).await, Ok(base + 10));
    }
    running.close().await;
}

/// Agents that cannot reach the sequencer for a day come back with what they had stored before.
#[tokio::test(start_paused = true)]
async fn naming_epochs_stand_still_while_nobody_has_a_session() {
    let memory = Memory::new();
    fresh(&memory).await.close().await;
    let network = Options {
        serves: Serves::Network("127.0.0.1:1".to_owned()),
        ..options(2)
    };
    let (_, mut sequencer) = start(Arc::new(memory.clone()), network).await.unwrap();
    let tick = async |sequencer: &mut Sequencer, times: u64, each: u64| {
        for _ in 0..times {
            seconds(each).await;
            sequencer.tick().await.unwrap();
        }
        sequencer.state.cluster.naming.0
    };
    // Nobody holds the session that it began with.
    tick(&mut sequencer, 20, 1).await;
    assert_eq!(sequencer.state.sessions.len(), 0);
    let before = sequencer.state.cluster.naming.0;
    assert_eq!(tick(&mut sequencer, 24 * 60, 60).await, before);
    let open = Command::OpenSession {
        closing: Vec::new(),
        nonce: 1,
    };
    sequencer.command(open).await.unwrap();
    let named = object(1);
    assert_eq!(named.epoch(), NamingEpoch(0));
    assert!(sequencer.command(plain(1, 0)).await.unwrap());
    let log = sequencer.state.partitions.get(partition(0)).unwrap();
    assert_eq!(log.bounds().high_watermark, Offset(10), "it was taken");
}
