//! How much there may be of everything, and who is refused past it.

use super::*;
use crate::checkpoint::Checkpoint;
use crate::command::{Command, CreatePartitions, CreateTopic, Outcome, Rejected, Submission};
use crate::keys::Key;
use crate::kv::{Kv, Memory};
use crate::state::{FORGOTTEN_AT_ONCE, Limits, PRODUCER_BYTES, invariants};
use crate::types::{Lsn, Offset};

pub(super) fn execute(state: &mut State, now: i64, command: Command) -> Outcome {
    let lsn = Lsn(state.lsn.0 + 1);
    let own = Submission::own(command);
    state.execute(lsn, Timestamp(now), &own).outcome
}

/// With a topic of one partition, and ids handed out after it was made, so that it takes none of them at its word.
fn with_topic(limits: Limits) -> State {
    let mut state = State {
        limits,
        ..State::default()
    };
    create(&mut state, 1, 1);
    execute(
        &mut state,
        START,
        Command::AllocateProducerIds { count: 100_000 },
    );
    state
}

pub(super) fn create(state: &mut State, id: u128, partitions: i32) -> Outcome {
    let create = CreateTopic {
        name: format!("topic-{id}"),
        id: TopicId(id),
        partitions,
        replication_factor: 1,
        configs: [].into(),
    };
    execute(state, START, Command::CreateTopic(create))
}

/// A batch of one record; what became of it.
pub(super) fn send(
    state: &mut State,
    now: i64,
    (producer, sequence): (i64, i32),
    share: u16,
) -> Result<(i64, bool), Rejected> {
    let mut one = batch(1, Timestamp(now), Some((producer, 0, sequence)));
    one.producer.as_mut().unwrap().share = Share(share);
    let number = u32::try_from(state.lsn.0).unwrap();
    let object = ObjectKey::new(NamingEpoch(0), 7, number);
    let command = Command::CommitObject(commit(object, vec![(partition(1, 0), vec![one])]));
    match execute(state, now, command) {
        Outcome::Committed(verdicts) => {
            verdicts[0].map(|placed| (placed.base_offset.0, placed.duplicate))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn six_thousand_producers_in_turn_are_told_of_every_repetition() {
    let mut state = with_topic(Limits::default());
    for producer in 0..6_000 {
        let placed = send(&mut state, START + producer, (producer, 0), 0);
        assert_eq!(placed, Ok((producer, false)));
    }
    for producer in 0..6_000 {
        let again = send(&mut state, START + 7_000, (producer, 0), 0);
        assert_eq!(again, Ok((producer, true)));
    }
    let log = state.partitions.get(partition(1, 0)).unwrap();
    assert_eq!(log.bounds().high_watermark, Offset(6_000));
    invariants::check(&state);
}

#[test]
fn an_id_that_was_never_handed_out_is_refused_and_changes_nothing() {
    let mut state = with_topic(Limits::default());
    for invented in [100_000, i64::MAX - 1, i64::MAX] {
        for sequence in [0, 7] {
            let sent = send(&mut state, START, (invented, sequence), 0);
            assert_eq!(sent, Err(Rejected::UnknownProducerId));
        }
    }
    assert_eq!(state.producers.len(), 0);
    let before = Timestamp(START + 1);
    execute(&mut state, START, Command::ExpireProducers { before });
    // Gaps are told as ever.
    let gap = send(&mut state, START, (99_999, 7), 0);
    assert_eq!(gap, Err(Rejected::OutOfOrderSequence));
    assert_eq!(send(&mut state, START, (99_999, 0), 0), Ok((0, false)));
    let gap = send(&mut state, START, (99_999, 2), 0);
    assert_eq!(gap, Err(Rejected::OutOfOrderSequence));
}

/// How many new producers a share may send for, one after the other, before it is refused.
fn fill(state: &mut State, first: i64, share: u16) -> i64 {
    let mut next = first;
    while send(state, START, (next, 0), share).is_ok() {
        next += 1;
    }
    let refused = send(state, START, (next, 0), share);
    assert_eq!(refused, Err(Rejected::TooManyProducers));
    // What was sent behind it hears the same, not that it is out of order.
    let behind = send(state, START, (next, 1), share);
    assert_eq!(behind, Err(Rejected::TooManyProducers));
    next - first
}

#[test]
fn one_share_cannot_fill_the_room_of_all_and_nobody_is_forgotten_for_it() {
    let limits = Limits {
        producer_bytes: 1_000 * PRODUCER_BYTES,
        ..Limits::default()
    };
    let mut state = with_topic(limits);
    let greedy = fill(&mut state, 0, 1);
    assert_eq!(greedy, 500, "half of the room");
    let second = fill(&mut state, 10_000, 2);
    assert_eq!(second, 250, "half of what is left");
    assert_eq!(fill(&mut state, 20_000, 3), 125);
    // Those that are there go on.
    for (producer, share) in [(0, 1), (greedy - 1, 9), (10_000, 2)] {
        assert!(send(&mut state, START, (producer, 1), share).is_ok());
        let again = send(&mut state, START, (producer, 0), share);
        assert!(matches!(again, Ok((_, true))), "{again:?}");
    }
    assert_eq!(state.usage().producers, 875);
    assert!(state.usage().producer_bytes <= limits.producer_bytes);
    invariants::check(&state);
    // A day later there is room.
    let before = Timestamp(START + 1);
    execute(&mut state, START + 2, Command::ExpireProducers { before });
    assert_eq!(state.usage().producers, 0);
    assert_eq!(fill(&mut state, 30_000, 1), 500);
    invariants::check(&state);
}

#[test]
fn a_hundred_thousand_producers_find_room_in_a_partition() {
    let limits = Limits::default();
    let one_share = limits.producer_bytes / PRODUCER_BYTES / 2;
    assert!(one_share >= 100_000, "{one_share}");
    let size = size_of::<(ProducerId, crate::state::Producer)>() as u64;
    // A map's nodes are half empty at worst.
    assert!(2 * size <= PRODUCER_BYTES, "{size}");
}

#[test]
fn numbers_no_producer_has_are_refused() {
    let mut state = with_topic(Limits::default());
    for claimed in [(-1, 0, 0), (0, -1, 0), (0, 0, -1)] {
        let batches = vec![batch(1, Timestamp(START), Some(claimed))];
        let object = ObjectKey::new(NamingEpoch(0), 0, 1);
        let command = Command::CommitObject(commit(object, vec![(partition(1, 0), batches)]));
        let refused = Outcome::Rejected(Rejected::InvalidCommand);
        assert_eq!(execute(&mut state, START, command), refused);
    }
    for count in [0, u32::MAX, 1 << 31] {
        let mut one = batch(1, Timestamp(START), None);
        one.record_count = count;
        let object = ObjectKey::new(NamingEpoch(0), 0, 1);
        let command = Command::CommitObject(commit(object, vec![(partition(1, 0), vec![one])]));
        let refused = Outcome::Rejected(Rejected::InvalidCommand);
        assert_eq!(execute(&mut state, START, command), refused);
    }
}

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

#[test]
fn sessions_and_outcomes_that_nobody_has_seen_are_bounded() {
    let limits = Limits {
        sessions: 2,
        session_outcomes: 3,
        ..Limits::default()
    };
    let mut state = with_topic(limits);
    let open = |state: &mut State, closing| {
        execute(state, START, Command::OpenSession { closing, nonce: 1 })
    };
    assert_eq!(open(&mut state, vec![]), Outcome::SessionOpened(1));
    assert_eq!(open(&mut state, vec![]), Outcome::SessionOpened(2));
    let many = Outcome::Rejected(Rejected::TooManySessions);
    assert_eq!(open(&mut state, vec![]), many);
    assert_eq!(open(&mut state, vec![1]), Outcome::SessionOpened(3));
    let ask = |state: &mut State, sequence, seen| {
        let asked = Submission {
            session: 3,
            sequence,
            seen,
            command: Command::AllocateProducerIds { count: 1 },
        };
        let lsn = Lsn(state.lsn.0 + 1);
        state.execute(lsn, Timestamp(START), &asked)
    };
    for sequence in 1..=3 {
        assert!(!ask(&mut state, sequence, 1).effects.is_empty());
    }
    let full = ask(&mut state, 4, 1);
    assert_eq!(full.outcome, Outcome::Rejected(Rejected::TooManyOutcomes));
    assert_eq!(full.effects, [], "it was not decided");
    assert!(!ask(&mut state, 4, 2).effects.is_empty(), "one was seen");
}

fn create_with(state: &mut State, id: u128, configs: BTreeMap<String, String>) -> Outcome {
    let create = CreateTopic {
        name: format!("topic-{id}"),
        id: TopicId(id),
        partitions: 1,
        replication_factor: 1,
        configs,
    };
    execute(state, START, Command::CreateTopic(create))
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
        create_with(&mut state, 2, large()),
        Outcome::TopicCreated(TopicId(2))
    );
    assert_eq!(
        create_with(&mut state, 3, large()),
        Outcome::TopicCreated(TopicId(3))
    );
    let many = Outcome::Rejected(Rejected::TooManyTopics);
    assert_eq!(create_with(&mut state, 4, large()), many);
    assert_eq!(create(&mut state, 4, 1), Outcome::TopicCreated(TopicId(4)));
    execute(&mut state, START, Command::DeleteTopic(TopicId(2)));
    assert_eq!(
        create_with(&mut state, 5, large()),
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
    let outcome = create_with(&mut state, 2, tiny.collect());
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

#[test]
fn outcomes_are_bounded_in_bytes_and_one_session_leaves_room_to_others() {
    let limits = Limits {
        outcome_bytes: 100_000,
        ..Limits::default()
    };
    let mut state = with_topic(limits);
    for _ in 0..2 {
        let closing = Vec::new();
        execute(
            &mut state,
            START,
            Command::OpenSession { closing, nonce: 1 },
        );
    }
    let mut number = 0;
    let mut ask = |state: &mut State, session, sequence, seen| {
        number += 1;
        let batches = vec![batch(1, Timestamp(START), None); 100];
        let object = ObjectKey::new(NamingEpoch(0), 3, number);
        let commit = commit(object, vec![(partition(1, 0), batches)]);
        let asked = Submission {
            session,
            sequence,
            seen,
            command: Command::CommitObject(commit),
        };
        let lsn = Lsn(state.lsn.0 + 1);
        let decision = state.execute(lsn, Timestamp(START), &asked);
        invariants::check(state);
        decision.outcome != Outcome::Rejected(Rejected::TooManyOutcomes)
    };
    let mut fill = |state: &mut State, session| {
        let first = state.sessions.get(session).unwrap().last + 1;
        let took = (first..).take_while(|sequence| ask(state, session, *sequence, 1));
        u64::try_from(took.count()).unwrap()
    };
    let (greedy, second) = (fill(&mut state, 1), fill(&mut state, 2));
    assert!((10..30).contains(&greedy), "half of the room: {greedy}");
    assert!((5..20).contains(&second), "half of the rest: {second}");
    assert!(ask(&mut state, 1, greedy + 1, greedy), "one was seen");
    assert!(ask(&mut state, 2, second + 1, second + 1), "all were");
}

/// A batch may say that it has two thousand million records, and a client may send it again and again.
#[test]
fn a_partition_whose_offsets_are_used_up_takes_nothing_more() {
    use crate::codec::{Decoder, Encoder};
    use crate::state::tally::Mark;
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

#[test]
fn producers_are_forgotten_some_at_a_time() {
    let mut state = with_topic(Limits::default());
    let many = i64::try_from(FORGOTTEN_AT_ONCE).unwrap() * 2 + 7;
    for first in (0..many).step_by(1_000) {
        let end = many.min(first + 1_000);
        let one = |producer| {
            let mut one = batch(1, Timestamp(START), Some((producer, 0, 0)));
            one.producer.as_mut().unwrap().share = Share(u16::try_from(producer % 7).unwrap());
            one
        };
        let object = ObjectKey::new(NamingEpoch(0), 7, u32::try_from(first).unwrap());
        let blocks = vec![(partition(1, 0), (first..end).map(one).collect())];
        execute(
            &mut state,
            START,
            Command::CommitObject(commit(object, blocks)),
        );
    }
    let before = Timestamp(START + 1);
    let mut left = Vec::new();
    while state.usage().producers > 0 {
        execute(&mut state, START, Command::ExpireProducers { before });
        left.push(state.usage().producers);
        invariants::check(&state);
    }
    assert_eq!(left, [FORGOTTEN_AT_ONCE as u64 + 7, 7, 0]);
}

/// A session may always have a small outcome that it has not seen, not one of megabytes: there may be ten thousand sessions.
#[test]
fn sessions_that_have_seen_nothing_take_no_more_room_than_there_is() {
    let outcome_bytes = 4 * 1024 * 1024;
    let mut state = with_topic(Limits {
        outcome_bytes,
        ..Limits::default()
    });
    let mut session = 0;
    let mut ask = |state: &mut State, batches: usize| {
        session += 1;
        let nonce = session;
        let closing = Vec::new();
        let opened = execute(state, START, Command::OpenSession { closing, nonce });
        let Outcome::SessionOpened(id) = opened else {
            panic!("{opened:?}")
        };
        let lsn = Lsn(state.lsn.0 + 1);
        let object = ObjectKey::new(NamingEpoch(0), id, 1);
        let blocks = vec![(
            partition(1, 0),
            vec![batch(1, Timestamp(START), None); batches],
        )];
        let asked = Submission {
            session: id,
            sequence: 1,
            seen: 0,
            command: Command::CommitObject(commit(object, blocks)),
        };
        state.execute(lsn, Timestamp(START), &asked).outcome
    };
    let large: Vec<_> = (0..50).map(|_| ask(&mut state, 20_000)).collect();
    let refused = Outcome::Rejected(Rejected::TooManyOutcomes);
    assert!(matches!(large[0], Outcome::Committed(_)));
    assert_eq!(large[49], refused);
    assert!(
        state.sessions.bytes() <= outcome_bytes,
        "{}",
        state.sessions.bytes()
    );
    // Agents that ask for what agents ask go on.
    assert!(matches!(ask(&mut state, 10), Outcome::Committed(_)));
    invariants::check(&state);
}
