//! Stores that hold what Penstock did not write: rows that were changed, cut short or lost. A process that starts says so in
//! a sentence; it serves from none of them, and writes nothing over what is left.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::account;
use crate::command::CreatePartitions;
use crate::keys::Key;
use crate::sequencer::{check, is_empty};

/// A topic that was deleted.
const GONE: TopicId = TopicId(9);

/// Rows of every kind that a start reads, index rows of two levels, and a log.
pub(super) async fn store() -> Memory {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    create_topic(&running.metadata, GONE, "gone", 1).await;
    for round in 0..12_u64 {
        // Refused duplicates between the batches, so that each one is an extent of its own.
        let both = |index: i32| {
            let sequence = i32::try_from(round).unwrap() * 100 + index;
            [batch(1, Some((5, sequence))), batch(1, Some((5, sequence)))]
        };
        let batches = (0..100).flat_map(both).collect();
        let committed = running.metadata.submit(commit(round, 0, batches)).await;
        committed.unwrap();
    }
    create_topic(&running.metadata, TopicId(8), "others", 1).await;
    committed(
        &running.metadata,
        commit(99, 1, vec![batch(1, Some((6, 0)))]),
    )
    .await;
    let mut last = commit(100, 0, vec![batch(1, None)]);
    if let Command::CommitObject(commit) = &mut last {
        commit.blocks[0].topic = GONE;
    }
    committed(&running.metadata, last).await;
    let delete = Command::DeleteTopic(GONE);
    running.metadata.submit(delete).await.unwrap();
    running.close().await;
    let running = run(memory.clone(), options(2)).await;
    committed(&running.metadata, plain(101, 1)).await;
    committed(&running.metadata, plain(102, 0)).await;
    running.kill().await;
    memory
}

/// Whole stores in which that row is another.
pub(super) fn changed(row: &Bytes, seed: u64) -> Vec<Bytes> {
    let mut rows = vec![Bytes::new(), [row.as_ref(), &[0]].concat().into()];
    if !row.is_empty() {
        rows.push(row.slice(..row.len() - 1));
    }
    let length = u64::try_from(row.len()).unwrap();
    for number in 0..6 {
        let bit = mix(seed + number) % (8 * length);
        let mut flipped = row.to_vec();
        flipped[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
        rows.push(flipped.into());
    }
    rows
}

#[tokio::test(start_paused = true)]
async fn a_row_that_was_changed_is_refused_or_harms_only_who_needs_it() {
    let memory = store().await;
    let truth = {
        let running = run(memory.copy(), options(3)).await;
        let truth = extents(&running.metadata, 0).await;
        running.kill().await;
        truth
    };
    let (mut refused, mut served) = (0, 0);
    for (number, (key, row)) in (0..).zip(memory.snapshot()) {
        let kind = Key::decode(&key).unwrap();
        for other in changed(&row, number * 1_000) {
            let damaged = memory.copy();
            let mut change = Transaction::default();
            change.set(key.clone(), other.clone());
            damaged.commit(change).await.unwrap();
            let before = damaged.snapshot();
            let started = try_run(Arc::new(damaged.clone()), options(4)).await;
            match (kind, started) {
                // They are read when somebody needs them.
                (Key::Index(..) | Key::Object(_), Ok(running)) => {
                    served += 1;
                    let mut next = Offset(0);
                    while next < truth.last().unwrap().end_offset() {
                        match running.metadata.locate(partition(0), next, 1 << 20).await {
                            Ok(Located::Extents { extents, .. }) => {
                                assert!(extents.iter().all(|it| truth.contains(it)), "{kind:?}");
                                next = extents.last().unwrap().end_offset();
                            }
                            Err(Error::Damaged(_)) if matches!(kind, Key::Index(..)) => break,
                            located => panic!("{kind:?}: {located:?}"),
                        }
                    }
                    running.kill().await;
                }
                (Key::Index(..) | Key::Object(_), Err(error)) => panic!("{kind:?}: {error}"),
                (_, Err(Error::Corrupt(_) | Error::NewerFormat { .. })) => {
                    refused += 1;
                    assert_eq!(damaged.snapshot(), before, "{kind:?}: nothing is written");
                }
                (_, Err(error)) => panic!("{kind:?}: {error}"),
                (_, Ok(_)) => panic!("{kind:?} is served with {other:?} in place of {row:?}"),
            }
        }
    }
    assert!(refused > 100 && served > 30, "{refused}, {served}");
}

/// Rows of one kind, between which a value may go astray. Those of which there is one are a kind together.
fn group(key: Key) -> (u8, u8) {
    match key {
        Key::Format | Key::Owner | Key::Head | Key::Lineage | Key::Checkpoint | Key::Cluster => {
            (0, 0)
        }
        Key::Index(_, _, level, _) => (b'x', level),
        key => (key.encode()[1], 0),
    }
}

/// That no start serves from a store, nor writes to it, and that it says which row it is.
async fn refused_for(damaged: &Memory, keys: &[&Bytes]) {
    let before = damaged.snapshot();
    let keys: Vec<Key> = keys.iter().map(|key| Key::decode(key).unwrap()).collect();
    let says_so = |error: Option<Error>| {
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        let names = |key: &Key| text.contains(&format!("the row {key:?} cannot be read"));
        assert!(keys.iter().any(names), "{keys:?}: {text:?}");
    };
    says_so(account(damaged).await.err());
    // Index rows are read when somebody needs them.
    if !matches!(keys[0], Key::Index(..)) {
        let started = try_run(Arc::new(damaged.clone()), options(4)).await;
        says_so(started.map(drop).err());
    }
    assert_eq!(damaged.snapshot(), before, "{keys:?}: nothing is written");
}

/// A whole row is as good as the next one of its kind: only the key tells them apart.
#[tokio::test(start_paused = true)]
async fn a_row_that_lies_under_another_ones_key_is_refused_by_name() {
    let memory = store().await;
    let mut groups: BTreeMap<_, Vec<(Bytes, Bytes)>> = BTreeMap::new();
    for (key, row) in memory.snapshot() {
        match Key::decode(&key).unwrap() {
            // Whoever frees one of its extents reads it: see the tests of `free`.
            Key::Object(_) => {}
            Key::Index(of, ..) if of.topic == GONE => {}
            known => groups.entry(group(known)).or_default().push((key, row)),
        }
    }
    let kinds: Vec<_> = groups.keys().map(|(kind, level)| kind + level).collect();
    assert_eq!(
        kinds, b"\0adlpqstxy",
        "of every kind, and two levels of the index"
    );
    for kind in b"lpqtx" {
        assert!(groups[&(*kind, 0)].len() > 1, "{}", char::from(*kind));
    }
    for (group, rows) in &groups {
        for (at, (key, row)) in rows.iter().enumerate() {
            for (other, other_row) in &rows[at + 1..] {
                let damaged = memory.copy();
                let mut swap = Transaction::default();
                swap.set(key.clone(), other_row.clone());
                swap.set(other.clone(), row.clone());
                damaged.commit(swap).await.unwrap();
                refused_for(&damaged, &[key, other]).await;
            }
            if *group == (0, 0) {
                continue;
            }
            // Where there was none: the row of another producer, session or topic.
            let mut other = key.to_vec();
            *other.last_mut().unwrap() ^= 1;
            let other = Bytes::from(other);
            if !memory.snapshot().contains_key(&other) {
                let damaged = memory.copy();
                let mut copy = Transaction::default();
                copy.set(other.clone(), row.clone());
                damaged.commit(copy).await.unwrap();
                refused_for(&damaged, &[&other, key]).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_of_which_there_is_one_is_missed_and_nothing_is_made_in_its_place() {
    let memory = store().await;
    for (key, name) in [
        (Key::Format, "the format row, which says whose store it is"),
        (Key::Owner, "the owner row, which says who may write"),
        (Key::Head, "the head row, which says how far"),
        (Key::Lineage, "the lineage row, which says who wrote"),
        (Key::Checkpoint, "the checkpoint row, which says where"),
        (Key::Cluster, "the cluster row, which has"),
    ] {
        let damaged = memory.copy();
        let mut lose = Transaction::default();
        lose.clear(key.encode());
        damaged.commit(lose).await.unwrap();
        let before = damaged.snapshot();
        let started = try_run(Arc::new(damaged.clone()), options(4)).await;
        let Err(error) = started.map(drop) else {
            panic!("it is served without {key:?}")
        };
        assert!(matches!(error, Error::Corrupt(_)), "{key:?}: {error}");
        let said = error.to_string();
        assert!(said.contains(name) && said.contains("is missing"), "{said}");
        // Nor do those who only look take it for one that is still empty, or for a good one.
        let checked = check(&damaged).await.map(drop);
        assert!(matches!(checked, Err(Error::Corrupt(_))), "{key:?}");
        assert!(account(&damaged).await.is_err(), "{key:?}");
        assert!(!matches!(is_empty(&damaged).await, Ok(true)), "{key:?}");
        assert_eq!(damaged.snapshot(), before, "{key:?}");
    }
}

/// A partition without a row is as one that was never written: what is missing is counted.
#[tokio::test(start_paused = true)]
async fn a_partitions_row_is_missed_whatever_the_log_says() {
    let memory = store().await;
    // Once with a log behind the rows, once with all of it in rows.
    let quiet = memory.copy();
    run(quiet.clone(), options(3)).await.close().await;
    for store in [memory, quiet] {
        for index in 0..2 {
            let damaged = store.copy();
            let mut lose = Transaction::default();
            lose.clear(Key::Partition(partition(index)).encode());
            damaged.commit(lose).await.unwrap();
            let before = damaged.snapshot();
            let started = try_run(Arc::new(damaged.clone()), options(4)).await;
            let Err(error) = started.map(drop) else {
                panic!("{index}: it is served")
            };
            let text = error.to_string();
            assert!(matches!(error, Error::Corrupt(_)), "{text}");
            assert!(text.contains("rows of partitions"), "{text}");
            assert!(check(&damaged).await.is_err() && account(&damaged).await.is_err());
            assert_eq!(damaged.snapshot(), before, "{index}");
        }
    }
}

/// As where an operator brings back a part of a store: each row is whole, and says what was true.
#[tokio::test(start_paused = true)]
async fn a_row_that_is_older_than_the_last_one_written_or_gone_is_missed() {
    let memory = store().await;
    run(memory.clone(), options(3)).await.close().await;
    let before = memory.snapshot();
    let running = run(memory.clone(), options(4)).await;
    let more = commit(200, 0, vec![batch(1, Some((5, 1200)))]);
    committed(&running.metadata, more).await;
    let grow = Command::CreatePartitions(CreatePartitions {
        topic: TOPIC,
        total: 50,
    });
    running.metadata.submit(grow).await.unwrap();
    create_topic(&running.metadata, TopicId(12), "unused", 1).await;
    running.close().await;
    let now = memory.snapshot();
    let (mut older, mut lost) = (BTreeSet::new(), BTreeSet::new());
    for key in before.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
        let kind = match Key::decode(key).unwrap() {
            Key::Topic(_) | Key::Deleted(_) => "rows of topics",
            Key::Partition(_) => "rows of partitions",
            Key::Producer(..) => "rows of producers",
            Key::Session(_) | Key::Outcome(..) => "rows of sessions",
            _ => continue,
        };
        for row in [None, before.get(key)] {
            if row == now.get(key) {
                continue;
            }
            let damaged = memory.copy();
            let mut change = Transaction::default();
            match row {
                Some(row) => change.set(key.clone(), row.clone()),
                None => change.clear(key.clone()),
            }
            damaged.commit(change).await.unwrap();
            let said = refused(&damaged).await;
            // Partitions without their topic are not even read.
            assert!(
                said.contains(kind) || said.contains("cannot be read"),
                "{said}"
            );
            match row {
                Some(_) => older.insert(kind),
                None => lost.insert(kind),
            };
        }
    }
    let kinds = ["rows of partitions", "rows of producers", "rows of topics"];
    for kind in kinds {
        assert!(older.contains(kind) && lost.contains(kind), "{kind}");
    }
    assert!(lost.contains("rows of sessions"), "{lost:?}");
    for key in [Key::Topic(TopicId(12)), Key::Deleted(TopicId(9))] {
        let damaged = memory.copy();
        let mut lose = Transaction::default();
        lose.clear(key.encode());
        damaged.commit(lose).await.unwrap();
        let said = refused(&damaged).await;
        assert!(said.contains("rows of topics were written"), "{said}");
    }
}

/// That nobody serves from a store, nor writes to it, nor finds it well. What is said.
async fn refused(damaged: &Memory) -> String {
    let before = damaged.snapshot();
    let started = try_run(Arc::new(damaged.clone()), options(5)).await;
    let Err(error) = started.map(drop) else {
        panic!("it is served")
    };
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
    let checked = check(damaged).await.map(drop);
    assert!(matches!(checked, Err(Error::Corrupt(_))));
    assert!(account(damaged).await.is_err());
    assert_eq!(damaged.snapshot(), before);
    error.to_string()
}
