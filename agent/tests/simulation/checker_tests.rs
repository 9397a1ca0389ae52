//! Histories made by hand, each wrong in one way, and one that is right.

use crate::checker::{Wrong, check};
use crate::history::{Event, Kind, Place, Source, Timed, Value, timestamp};

const P: Place = (0, 0);

fn values(producer: u32, numbers: std::ops::Range<u32>) -> Vec<Value> {
    numbers.map(|number| Value { producer, number }).collect()
}

fn sent(batch: u32, numbers: std::ops::Range<u32>) -> Event {
    Event::Sent {
        batch: (1, batch),
        kind: Kind::Idempotent,
        place: P,
        values: values(1, numbers),
        wire: 1,
    }
}

fn plain(batch: u32, numbers: std::ops::Range<u32>) -> Event {
    Event::Sent {
        batch: (2, batch),
        kind: Kind::Plain,
        place: P,
        values: values(2, numbers),
        wire: 1,
    }
}

fn acked(batch: u32, base_offset: i64) -> Event {
    Event::Acked {
        batch: (1, batch),
        base_offset,
        process: 0,
    }
}

fn read(offset: i64, number: u32) -> Event {
    let value = Value {
        producer: 1,
        number,
    };
    Event::Read {
        reader: 9,
        place: P,
        offset,
        value,
    }
}

fn seek(offset: i64) -> Event {
    Event::Seek {
        reader: 9,
        place: P,
        offset,
    }
}

fn end(source: Source, began: usize, process: u32, end: i64) -> Event {
    Event::End {
        source,
        began,
        process,
        place: P,
        end,
    }
}

/// The whole log in the end, by numbers of producer 1.
fn last(numbers: &[u32]) -> Event {
    let records = (0..).zip(numbers.iter().map(|number| Value {
        producer: 1,
        number: *number,
    }));
    let end = i64::try_from(numbers.len()).expect("few");
    Event::Last {
        place: P,
        end,
        records: records.collect(),
    }
}

fn wrongs(events: Vec<Event>) -> Vec<Wrong> {
    let timed = events.into_iter().map(|event| Timed { at_ms: 0, event });
    let mut found: Vec<_> = check(&timed.collect::<Vec<_>>())
        .into_iter()
        .map(|anomaly| anomaly.wrong)
        .collect();
    found.dedup();
    found
}

#[test]
fn a_good_history_has_nothing_wrong() {
    let history = vec![
        sent(1, 0..2),
        sent(2, 2..3),
        sent(1, 0..2),
        acked(1, 0),
        read(0, 0),
        read(1, 1),
        acked(2, 2),
        end(Source::Confirmed, 7, 3, 3),
        end(Source::Fetched, 7, 3, 0),
        Event::OutOfRange {
            began: 8,
            process: 0,
            place: P,
            offset: 4,
        },
        seek(0),
        read(0, 0),
        sent(3, 3..4),
        last(&[0, 1, 2]),
    ];
    assert_eq!(wrongs(history), []);
    // Never acknowledged, and there all the same.
    assert_eq!(wrongs(vec![sent(1, 0..1), last(&[0])]), []);
}

#[test]
fn what_was_acknowledged_must_be_there() {
    assert_eq!(
        wrongs(vec![sent(1, 0..1), acked(1, 0), last(&[])]),
        [Wrong::Lost]
    );
    let other = vec![
        sent(1, 0..1),
        sent(2, 1..2),
        acked(1, 0),
        acked(2, 0),
        last(&[0]),
    ];
    assert!(wrongs(other).contains(&Wrong::Lost));
}

#[test]
fn twice_is_a_duplicate_unless_it_was_asked_for() {
    assert_eq!(
        wrongs(vec![sent(1, 0..1), sent(1, 0..1), last(&[0, 0])]),
        [Wrong::Duplicate]
    );
    let value = Value {
        producer: 2,
        number: 0,
    };
    let twice = Event::Last {
        place: P,
        end: 2,
        records: vec![(0, value), (1, value)],
    };
    assert_eq!(
        wrongs(vec![plain(1, 0..1), twice.clone()]),
        [Wrong::Duplicate]
    );
    assert_eq!(wrongs(vec![plain(1, 0..1), plain(1, 0..1), twice]), []);
}

#[test]
fn a_producers_records_keep_their_order() {
    assert_eq!(
        wrongs(vec![sent(1, 0..1), sent(2, 1..2), last(&[1, 0])]),
        [Wrong::Reordered]
    );
}

#[test]
fn a_connection_keeps_the_order_of_what_is_sent_once() {
    let value = |number| Value {
        producer: 2,
        number,
    };
    let swapped = Event::Last {
        place: P,
        end: 2,
        records: vec![(0, value(1)), (1, value(0))],
    };
    assert_eq!(
        wrongs(vec![plain(1, 0..1), plain(2, 1..2), swapped.clone()]),
        [Wrong::Reordered]
    );
    assert_eq!(
        wrongs(vec![
            plain(1, 0..1),
            plain(2, 1..2),
            plain(1, 0..1),
            swapped
        ]),
        []
    );
}

#[test]
fn what_is_sent_after_an_ack_comes_after_it() {
    let plain_ack = Event::Acked {
        batch: (2, 1),
        base_offset: 0,
        process: 1,
    };
    let history = vec![sent(1, 0..1), acked(1, 1), plain(1, 0..1), plain_ack];
    assert_eq!(wrongs(history), [Wrong::Reordered]);
}

#[test]
fn an_offset_holds_one_value_for_ever() {
    let history = vec![
        sent(1, 0..1),
        sent(2, 1..2),
        read(0, 0),
        seek(0),
        read(0, 1),
    ];
    assert_eq!(wrongs(history), [Wrong::TwoValues]);
    let history = vec![sent(1, 0..1), sent(2, 1..2), read(0, 0), acked(2, 0)];
    assert_eq!(wrongs(history), [Wrong::Elsewhere]);
    let history = vec![sent(1, 0..1), sent(2, 1..2), acked(1, 1), last(&[1, 0])];
    assert!(wrongs(history).contains(&Wrong::Reordered));
}

#[test]
fn an_ack_names_the_offset_where_it_is() {
    let found = wrongs(vec![
        sent(1, 0..1),
        sent(2, 1..2),
        acked(2, 0),
        last(&[0, 1]),
    ]);
    assert!(found.contains(&Wrong::Elsewhere), "{found:?}");
}

#[test]
fn readers_miss_nothing_and_see_nothing_again() {
    let sents = || vec![sent(1, 0..4), read(0, 0)];
    assert_eq!(wrongs([sents(), vec![read(2, 2)]].concat()), [Wrong::Gap]);
    assert_eq!(
        wrongs([sents(), vec![read(0, 0)]].concat()),
        [Wrong::Repeated]
    );
    assert_eq!(wrongs([sents(), vec![seek(3), read(3, 3)]].concat()), []);
    assert_eq!(
        wrongs([sents(), vec![seek(2), read(3, 3)]].concat()),
        [Wrong::Gap]
    );
}

#[test]
fn the_log_is_dense_up_to_its_end() {
    let value = |number| Value {
        producer: 1,
        number,
    };
    let hole = Event::Last {
        place: P,
        end: 3,
        records: vec![(0, value(0)), (2, value(1))],
    };
    assert_eq!(
        wrongs(vec![sent(1, 0..1), sent(2, 1..2), hole]),
        [Wrong::Gap]
    );
    let short = Event::Last {
        place: P,
        end: 2,
        records: vec![(0, value(0))],
    };
    assert_eq!(wrongs(vec![sent(1, 0..1), short]), [Wrong::Gap]);
}

#[test]
fn ends_are_past_what_was_acknowledged_before_they_were_asked_for() {
    let base = || vec![sent(1, 0..2), acked(1, 0)];
    assert_eq!(
        wrongs([base(), vec![end(Source::Confirmed, 2, 7, 1)]].concat()),
        [Wrong::StaleEnd]
    );
    assert_eq!(
        wrongs([base(), vec![end(Source::Confirmed, 1, 7, 1)]].concat()),
        []
    );
    assert_eq!(
        wrongs([base(), vec![end(Source::Fetched, 2, 0, 1)]].concat()),
        [Wrong::StaleEnd]
    );
    assert_eq!(
        wrongs([base(), vec![end(Source::Fetched, 2, 7, 1)]].concat()),
        []
    );
}

#[test]
fn an_end_never_goes_back_through_one_process() {
    let told = |first, second| {
        vec![
            end(Source::Fetched, 0, first, 5),
            end(Source::Fetched, 1, second, 4),
        ]
    };
    assert_eq!(wrongs(told(1, 1)), [Wrong::EndWentBack]);
    assert_eq!(wrongs(told(1, 2)), []);
    // Asked before the other was answered.
    assert_eq!(
        wrongs(vec![
            end(Source::Fetched, 0, 1, 5),
            end(Source::Fetched, 0, 1, 4)
        ]),
        []
    );
}

#[test]
fn a_confirmed_end_is_not_behind_what_anybody_knew() {
    let other = |source| Event::End {
        source,
        began: 0,
        process: 7,
        place: P,
        end: 5,
    };
    for source in [Source::Confirmed, Source::Fetched] {
        let after = |began, end_told| {
            wrongs(vec![
                other(source),
                end(Source::Confirmed, began, 1, end_told),
            ])
        };
        assert_eq!(after(1, 4), [Wrong::EndWentBack]);
        assert_eq!(after(1, 5), []);
        // Asked before the other was answered.
        assert_eq!(after(0, 4), []);
    }
    let seen = vec![sent(1, 0..1), read(0, 0), end(Source::Confirmed, 2, 1, 0)];
    assert_eq!(wrongs(seen), [Wrong::EndWentBack]);
}

#[test]
fn the_first_record_of_a_time_is_found() {
    // Batch 1 lies at 0 and 1, batch 2 at 2.
    let asked = |began, wanted: usize, found: Option<(i64, usize)>| {
        let by_time = Event::ByTime {
            began,
            process: 0,
            place: P,
            wanted: timestamp((1, 1), wanted),
            found: found.map(|(offset, index)| (offset, timestamp((1, 1), index))),
        };
        let sends = vec![sent(1, 0..2), sent(2, 2..3), acked(1, 0), acked(2, 2)];
        wrongs([sends, vec![by_time, last(&[0, 1, 2])]].concat())
    };
    assert_eq!(asked(4, 0, Some((0, 0))), []);
    assert_eq!(asked(4, 1, Some((1, 1))), []);
    assert_eq!(asked(4, 2, None), []);
    // A later one, another timestamp, and none where one was known.
    assert_eq!(asked(4, 0, Some((1, 1))), [Wrong::OtherTime]);
    assert_eq!(asked(4, 1, Some((1, 0))), [Wrong::OtherTime]);
    assert_eq!(asked(4, 1, None), [Wrong::OtherTime]);
    // Asked before the ack of the batch that has it.
    assert_eq!(asked(2, 1, None), []);
}

#[test]
fn offsets_up_to_the_next_one_are_in_range() {
    let refused = |began, offset| {
        wrongs(vec![
            sent(1, 0..2),
            acked(1, 0),
            Event::OutOfRange {
                began,
                process: 0,
                place: P,
                offset,
            },
        ])
    };
    assert_eq!(refused(2, 1), [Wrong::OutOfRange]);
    assert_eq!(refused(2, 2), [Wrong::OutOfRange]);
    assert_eq!(refused(2, 3), []);
    assert_eq!(refused(1, 2), []);
}

#[test]
fn what_was_read_stays() {
    assert_eq!(
        wrongs(vec![sent(1, 0..1), read(0, 0), last(&[])]),
        [Wrong::Vanished]
    );
}

#[test]
fn batches_are_there_whole_or_not_at_all() {
    assert_eq!(wrongs(vec![sent(1, 0..3), last(&[0, 1])]), [Wrong::Torn]);
    assert_eq!(
        wrongs(vec![sent(1, 0..2), sent(2, 2..3), last(&[0, 2, 1])]),
        [Wrong::Reordered, Wrong::Torn]
    );
}

#[test]
fn nothing_comes_from_nowhere() {
    assert_eq!(wrongs(vec![read(0, 0)]), [Wrong::Foreign]);
    let elsewhere = Event::Read {
        reader: 9,
        place: (0, 1),
        offset: 0,
        value: Value {
            producer: 1,
            number: 0,
        },
    };
    assert_eq!(wrongs(vec![sent(1, 0..1), elsewhere]), [Wrong::Foreign]);
    assert_eq!(wrongs(vec![acked(1, 0)]), [Wrong::Foreign]);
}

#[test]
fn refusals_garbage_and_broken_things_are_told() {
    let events = vec![
        Event::Refused {
            batch: (1, 1),
            code: "X".into(),
        },
        Event::Garbage {
            place: P,
            offset: 0,
            what: "X".into(),
        },
        Event::Broken("X".into()),
    ];
    assert_eq!(
        wrongs(events),
        [Wrong::Refused, Wrong::Garbage, Wrong::Broken]
    );
}
