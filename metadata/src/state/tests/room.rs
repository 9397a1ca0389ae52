//! Partitions with more producers than are remembered.

use super::*;
use crate::command::{Command, CreateTopic, Outcome, Rejected, Submission};
use crate::state::invariants;
use crate::state::producers::PRODUCERS_MAX;
use crate::types::Lsn;

fn own(command: Command) -> Submission {
    Submission {
        session: 0,
        sequence: 0,
        seen: 0,
        command,
    }
}

fn send(state: &mut State, now: i64, producer: i64, sequence: i32) -> Outcome {
    let at = partition(1, 0);
    let (tag, number) = (producer.unsigned_abs(), sequence.unsigned_abs());
    let object = ObjectKey::new(NamingEpoch(0), tag, number);
    let batches = vec![batch(1, Timestamp(now), Some((producer, 0, sequence)))];
    let command = Command::CommitObject(commit(object, vec![(at, batches)]));
    let lsn = Lsn(state.lsn.0 + 1);
    state.execute(lsn, Timestamp(now), &own(command)).outcome
}

fn accepted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Committed(verdicts) if verdicts[0].is_ok())
}

#[test]
fn those_silent_for_longest_make_room_and_may_begin_anywhere_again() {
    let mut state = State::default();
    let create = CreateTopic {
        name: "a".to_owned(),
        id: TopicId(1),
        partitions: 1,
        replication_factor: 1,
        configs: [].into(),
    };
    state.execute(Lsn(1), Timestamp(START), &own(Command::CreateTopic(create)));
    let many = i64::try_from(PRODUCERS_MAX).unwrap();
    for producer in 0..=many {
        assert!(accepted(&send(&mut state, START + producer, producer, 0)));
    }
    invariants::check(&state);
    let log = state.topics.log(partition(1, 0)).unwrap();
    let left = log.producers().iter().len();
    assert!(left < PRODUCERS_MAX && left > PRODUCERS_MAX / 2, "{left}");
    // The newest are known, the oldest forgotten and taken at their word, and strangers are not.
    let now = START + many + 1;
    let gap = send(&mut state, now, many, 2);
    assert_eq!(
        gap,
        Outcome::Committed(vec![Err(Rejected::OutOfOrderSequence)])
    );
    assert!(accepted(&send(&mut state, now, many, 1)));
    assert!(accepted(&send(&mut state, now, 0, 7)));
    let stranger = send(&mut state, now, many + 1, 7);
    assert_eq!(
        stranger,
        Outcome::Committed(vec![Err(Rejected::OutOfOrderSequence)])
    );
}

#[test]
fn numbers_no_producer_has_are_refused() {
    let mut state = State::default();
    for claimed in [(-1, 0, 0), (0, -1, 0), (0, 0, -1)] {
        let batches = vec![batch(1, Timestamp(START), Some(claimed))];
        let object = ObjectKey::new(NamingEpoch(0), 0, 1);
        let command = Command::CommitObject(commit(object, vec![(partition(1, 0), batches)]));
        let decision = state.execute(Lsn(1), Timestamp(START), &own(command));
        assert_eq!(
            decision.outcome,
            Outcome::Rejected(Rejected::InvalidCommand)
        );
    }
    for count in [0, u32::MAX, 1 << 31] {
        let mut one = batch(1, Timestamp(START), None);
        one.record_count = count;
        let object = ObjectKey::new(NamingEpoch(0), 0, 1);
        let command = Command::CommitObject(commit(object, vec![(partition(1, 0), vec![one])]));
        let decision = state.execute(Lsn(1), Timestamp(START), &own(command));
        assert_eq!(
            decision.outcome,
            Outcome::Rejected(Rejected::InvalidCommand)
        );
    }
}
