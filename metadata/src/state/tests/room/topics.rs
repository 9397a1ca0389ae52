//! Topics, their partitions, and what they leave behind.

use super::*;
use crate::checkpoint::Checkpoint;
use crate::codec::{Decoder, Encoder};
use crate::command::CreatePartitions;
use crate::keys::Key;
use crate::kv::{Kv, Memory};
use crate::state::invariants;
use crate::state::tally::Mark;

#[test]
fn topics_partitions_and_what_they_leave_behind_are_bounded() {
    let limits = Limits {
        topics: 3,
        partitions: 10,
        topic_partitions: 6,
        deleted_topics: 2,
        ..Limits::default()
    };
    let mut state = with_topic(limits);
    let rejected = Outcome::Rejected;
    let many = rejected(Rejected::TooManyPartitions);
    for partitions in [7, 1_000_000, i32::MAX] {
        assert_eq!(create(&mut state, 2, partitions), many);
        let topic = TopicId(1);
        let total = partitions;
        let grow = Command::CreatePartitions(CreatePartitions { topic, total });
        assert_eq!(execute(&mut state, START, grow), many);
    }
    assert_eq!(create(&mut state, 2, 6), Outcome::TopicCreated(TopicId(2)));
    assert_eq!(create(&mut state, 3, 4), many, "eleven in the cluster");
    assert_eq!(create(&mut state, 3, 3), Outcome::TopicCreated(TopicId(3)));
    let topics = rejected(Rejected::TooManyTopics);
    let delete = |state: &mut State, id| execute(state, START, Command::DeleteTopic(TopicId(id)));
    assert_eq!(delete(&mut state, 3), Outcome::TopicDeleted);
    assert_eq!(create(&mut state, 4, 1), Outcome::TopicCreated(TopicId(4)));
    assert_eq!(create(&mut state, 5, 1), topics);
    assert_eq!(delete(&mut state, 4), Outcome::TopicDeleted);
    let left = rejected(Rejected::TooManyDeletedTopics);
    assert_eq!(
        delete(&mut state, 1),
        left,
        "until a checkpoint clears some"
    );
    let usage = state.usage();
    assert_eq!(
        (usage.topics, usage.partitions, usage.deleted_topics),
        (2, 7, 2)
    );
    invariants::check(&state);
}

/// Every agent has all of them in memory, and a process that starts loads them: their number alone bounds nothing.
#[test]
fn names_and_settings_of_all_topics_together_are_bounded() {
    let limits = Limits {
        topic_bytes: 100_000,
        ..Limits::default()
    };
    let mut state = with_topic(limits);
    let large = || [("a".to_owned(), "x".repeat(40_000))].into();
    assert_eq!(
        create_with(&mut state, 2, 1, large()),
        Outcome::TopicCreated(TopicId(2))
    );
    assert_eq!(
        create_with(&mut state, 3, 1, large()),
        Outcome::TopicCreated(TopicId(3))
    );
    let many = Outcome::Rejected(Rejected::TooManyTopics);
    assert_eq!(create_with(&mut state, 4, 1, large()), many);
    assert_eq!(create(&mut state, 4, 1), Outcome::TopicCreated(TopicId(4)));
    execute(&mut state, START, Command::DeleteTopic(TopicId(2)));
    assert_eq!(
        create_with(&mut state, 5, 1, large()),
        Outcome::TopicCreated(TopicId(5))
    );
    invariants::check(&state);
    let limits = Limits::default();
    assert!(limits.topic_bytes <= 1 << 30, "an agent can hold them");
}

/// Each takes more in a row than its text.
#[test]
fn settings_that_fit_in_no_row_are_refused() {
    let mut state = with_topic(Limits::default());
    let tiny = (0..10_000_u32).map(|number| (format!("{number:x}"), String::new()));
    let outcome = create_with(&mut state, 2, 1, tiny.collect());
    assert_eq!(outcome, Outcome::Rejected(Rejected::InvalidCommand));
}

/// Made and deleted again and again, as test suites do it.
#[tokio::test]
async fn topics_that_held_nothing_leave_nothing_and_others_count_until_they_are_given_back() {
    let limits = Limits {
        deleted_topics: 10,
        ..Limits::default()
    };
    let (kv, mut state) = (Memory::new(), with_topic(limits));
    let mut deleted = Vec::new();
    for round in 0..4_u128 {
        for id in 0..8 {
            let id = 100 + round * 10 + id;
            create(&mut state, id, 3);
            if id % 10 == 0 {
                let one = batch(1, Timestamp(START), None);
                let object = ObjectKey::new(NamingEpoch(0), 9, u32::try_from(id).unwrap());
                let commit = commit(object, vec![(partition(id, 1), vec![one])]);
                execute(&mut state, START, Command::CommitObject(commit));
            }
            deleted.push(execute(
                &mut state,
                START,
                Command::DeleteTopic(TopicId(id)),
            ));
        }
        checkpoint(&kv, &mut state).await;
        let left = round + 1;
        assert_eq!(u128::from(state.usage().deleted_topics), left);
        invariants::check(&state);
        let mut loaded = crate::checkpoint::load(&kv).await.unwrap();
        loaded.limits = limits;
        assert_eq!(u128::from(loaded.usage().deleted_topics), left);
    }
    let refused = deleted.iter().filter(|it| **it != Outcome::TopicDeleted);
    let refused: Vec<_> = refused.collect();
    let left = Outcome::Rejected(Rejected::TooManyDeletedTopics);
    assert!(refused.iter().all(|it| **it == left), "{refused:?}");
    assert_eq!(refused.len(), 1, "eight more where three are left");
    // Once index rows are given back, nothing is left, and nobody who starts finds anything.
    let mut given_back = 0;
    while let Some(topic) = state.topics.first_leftover(TopicId(0)) {
        state.topics.given_back(topic);
        given_back += 1;
    }
    assert_eq!((given_back, state.usage().deleted_topics), (4, 4));
    checkpoint(&kv, &mut state).await;
    assert_eq!(state.usage().deleted_topics, 0);
    invariants::check(&state);
    let loaded = crate::checkpoint::load(&kv).await.unwrap();
    assert_eq!(loaded.usage().deleted_topics, 0);
    let marks = kv.snapshot().into_keys();
    let mut marks = marks.filter(|key| matches!(Key::decode(key), Ok(Key::Deleted(_))));
    assert_eq!(marks.next(), None);
}

async fn checkpoint(kv: &Memory, state: &mut State) {
    let mut checkpoint = Checkpoint::begin(state);
    while !checkpoint.is_done() {
        let writes = checkpoint.step(kv, state).await.unwrap();
        kv.commit(writes).await.unwrap();
    }
}

/// A batch may say that it has two thousand million records, and a client may send it again and again.
#[test]
fn a_partition_whose_offsets_are_used_up_takes_nothing_more() {
    for end in [(1 << 62) + 1, i64::MAX - 1, i64::MAX] {
        let mut state = with_topic(Limits::default());
        let mut row = Encoder::default();
        row.u64(0);
        [0, end, 0].into_iter().for_each(|offset| row.i64(offset));
        [0, 0, 0].into_iter().for_each(|held| row.u64(held));
        row.u32(0);
        let key = Key::Partition(partition(1, 0));
        let row = Decoder::new(row.into_bytes());
        state.load(key, row, Mark::NONE).unwrap();
        let sent = send(&mut state, START, (0, 0), 0);
        assert_eq!(sent, Err(Rejected::InvalidCommand));
        assert_eq!(state.producers.len(), 0);
        let log = state.partitions.get(partition(1, 0)).unwrap();
        assert_eq!(log.bounds().high_watermark, Offset(end));
    }
}
