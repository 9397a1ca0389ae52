//! Producers, and what each of them says of itself.

use super::*;
use crate::state::{FORGOTTEN_AT_ONCE, PRODUCER_BYTES, invariants};

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
