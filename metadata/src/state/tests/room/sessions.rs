//! Sessions, and outcomes that nobody has seen.

use super::*;
use crate::state::invariants;

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
