//! A producer's first batch that found no room: what was sent behind it is told the same, whenever room comes.

use super::room::{create, execute, send};
use super::*;
use crate::command::{Command, Rejected};
use crate::state::{Limits, PRODUCER_BYTES, invariants};

const FULL: Result<(i64, bool), Rejected> = Err(Rejected::TooManyProducers);

/// Room for one producer, which another topic's takes. Topic 1 takes an id at its word if it was handed out `before` it
/// was made: it may have forgotten that producer.
fn full(before: bool) -> State {
    let limits = Limits {
        producer_bytes: 2 * PRODUCER_BYTES,
        ..Limits::default()
    };
    let mut state = State {
        limits,
        ..State::default()
    };
    let ids = || Command::AllocateProducerIds { count: 1_000 };
    if before {
        execute(&mut state, START, ids());
    }
    create(&mut state, 1, 1);
    create(&mut state, 2, 1);
    if !before {
        execute(&mut state, START, ids());
    }
    let other = batch(1, Timestamp(START), Some((999, 0, 0)));
    let object = ObjectKey::new(NamingEpoch(0), 8, 0);
    let commit = commit(object, vec![(partition(2, 0), vec![other])]);
    execute(&mut state, START, Command::CommitObject(commit));
    assert_eq!(state.producers.len(), 1);
    state
}

fn make_room(state: &mut State) {
    execute(state, START, Command::DeleteTopic(TopicId(2)));
    assert_eq!(state.producers.len(), 0);
}

#[test]
fn room_that_comes_between_two_batches_does_not_swap_them() {
    for before in [true, false] {
        // Also of one that goes on where it was forgotten.
        for first in [0, 50].into_iter().filter(|first| before || *first == 0) {
            let mut state = full(before);
            let ask = |state: &mut State, after, sequence| {
                send(state, START + after, (5, first + sequence), 0)
            };
            assert_eq!(ask(&mut state, 0, 0), FULL);
            make_room(&mut state);
            assert_eq!(ask(&mut state, 1, 1), FULL, "it was sent behind the first");
            assert_eq!(ask(&mut state, 2, 2), FULL);
            for sequence in 0..3 {
                let placed = ask(&mut state, 100, sequence);
                assert_eq!(placed, Ok((sequence.into(), false)));
            }
            invariants::check(&state);
        }
    }
}

#[test]
fn others_are_not_held_back_by_a_batch_that_found_no_room() {
    let mut state = full(true);
    assert_eq!(send(&mut state, START, (5, 0), 0), FULL);
    make_room(&mut state);
    assert_eq!(send(&mut state, START, (6, 7), 0), Ok((0, false)));
}

/// It did not come again, so what comes now was not sent behind it.
#[test]
fn a_batch_that_found_no_room_is_forgotten_when_its_producer_gave_up() {
    let mut state = full(true);
    assert_eq!(send(&mut state, START, (5, 0), 0), FULL);
    make_room(&mut state);
    let later = START + 120_000;
    assert_eq!(send(&mut state, later, (5, 1), 0), Ok((0, false)));
}
