//! Index rows given back: what is left is accounted for, objects count what lies in them, and a crash, a fault or another
//! owner leaves all of a chunk or nothing.

mod deleted;
mod histories;

use std::collections::BTreeMap;

use super::quiet::{checkpoint, fold};
use super::*;
use crate::account;
use crate::checkpoint::Steps;
use crate::codec::resealed;
use crate::command::CreatePartitions;
use crate::effect::PartitionEffect;
use crate::index::Chunk;
use crate::keys::Key;
use crate::kv::Fault;
use crate::sequencer::Sequencer;
use crate::sequencer::free::Freeing;
use crate::sequencer::takeover::examine;
use crate::state::Object;
use crate::types::Lsn;

const PARTITIONS: i32 = 2;

async fn hold(memory: &Memory, seed: u64) -> Sequencer {
    quiet::hold(memory, seed).await.1
}

async fn fresh() -> (Memory, Sequencer) {
    let (memory, _, sequencer) = quiet::fresh(PARTITIONS).await;
    (memory, sequencer)
}

/// So many partitions has the topic.
fn total(sequencer: &Sequencer) -> i32 {
    let topic = sequencer.state.topics.get(TOPIC).unwrap();
    topic.topic.partitions
}

/// The topic has one partition more.
async fn grow(sequencer: &mut Sequencer) {
    let grown = CreatePartitions {
        topic: TOPIC,
        total: total(sequencer) + 1,
    };
    let grow = Command::CreatePartitions(grown);
    sequencer.command(grow).await.unwrap();
}

/// An object with a block of one batch for each partition.
async fn add(sequencer: &mut Sequencer, number: u64) {
    let Command::CommitObject(mut first) = plain(number, 0) else {
        unreachable!()
    };
    for index in 1..total(sequencer) {
        let Command::CommitObject(more) = plain(number, index) else {
            unreachable!()
        };
        first.blocks.extend(more.blocks);
    }
    sequencer
        .command(Command::CommitObject(first))
        .await
        .unwrap();
}

fn end(sequencer: &Sequencer, index: i32) -> i64 {
    let log = sequencer.state.partitions.get(partition(index)).unwrap();
    log.bounds().high_watermark.0
}

async fn move_start(sequencer: &mut Sequencer, index: i32, to: i64) {
    let moved = PartitionEffect::LogStartMoved { to: Offset(to) };
    fold(sequencer, index, moved).await;
}

/// Frees what it can; how many chunks, and how many objects were orphaned.
async fn free_all(sequencer: &mut Sequencer, index: i32) -> (usize, usize) {
    let (mut chunks, mut objects) = (0, 0);
    while let Freeing::Freed { orphaned, .. } =
        sequencer.free_chunk(partition(index)).await.unwrap()
    {
        (chunks, objects) = (chunks + 1, objects + orphaned);
    }
    (chunks, objects)
}

fn index_rows(memory: &Memory) -> usize {
    let rows = memory.snapshot();
    let of_index = |key: &&Bytes| matches!(Key::decode(key), Ok(Key::Index(..)));
    rows.keys().filter(of_index).count()
}

/// Every offset is accounted for, and every object counts the extents that lie in it.
pub(super) async fn check(memory: &Memory) {
    account(memory).await.unwrap();
    let (_, state) = examine(memory).await.unwrap().unwrap();
    let mut lie: BTreeMap<ObjectKey, u32> = BTreeMap::new();
    let mut count = |extent: &Extent| {
        if let Some(stored) = extent.stored() {
            *lie.entry(stored.object).or_default() += 1;
        }
    };
    let mut known: BTreeMap<ObjectKey, Object> = BTreeMap::new();
    for (key, row) in memory.snapshot() {
        match Key::decode(&key).unwrap() {
            Key::Index(at, generation, 0, _) => {
                let chunk = Chunk::decode(&key, row).unwrap();
                let left = state.partitions.leaving().find(|(left, _)| *left == at);
                let log = state.partitions.get(at).or(left.map(|(_, log)| log));
                // A checkpoint that was cut short left what lies behind.
                let log = log.filter(|log| log.index_of(at).generation == generation);
                let until = log.map_or(Offset(i64::MAX), |log| log.recent_start());
                let in_rows = chunk.extents.iter().filter(|e| e.base_offset < until);
                in_rows.for_each(&mut count);
            }
            Key::Object(object) => {
                known.insert(object, Object::from_row(&key, row).unwrap());
            }
            _ => {}
        }
    }
    for (_, log) in state.logs().chain(state.partitions.leaving()) {
        log.recent().iter().for_each(&mut count);
    }
    known.extend(state.objects.iter().map(|(key, object)| (*key, *object)));
    for (key, object) in known {
        let lie = lie.remove(&key).unwrap_or(0);
        assert_eq!(object.references, lie, "{key}");
        assert_eq!(object.orphaned_since.is_some(), lie == 0, "{key}");
    }
    assert_eq!(lie, BTreeMap::new(), "of no known object");
}

/// Another generation of a partition's index takes the place of the one there is, as it is; but not while memory has an
/// object of it, for the log that made that would be replayed over its count.
async fn swap(sequencer: &mut Sequencer, memory: &Memory, index: i32) {
    let log = sequencer.state.partitions.get(partition(index)).unwrap();
    let now = log.index_of(partition(index)).generation;
    let mut writes = Transaction::default();
    let mut objects: BTreeMap<ObjectKey, u32> = BTreeMap::new();
    for (key, row) in memory.snapshot() {
        match Key::decode(&key).unwrap() {
            Key::Index(at, generation, level, end)
                if (at, generation) == (partition(index), now) =>
            {
                if level == 0 {
                    let chunk = Chunk::decode(&key, row.clone()).unwrap();
                    for stored in chunk.extents.iter().filter_map(Extent::stored) {
                        *objects.entry(stored.object).or_default() += 1;
                    }
                }
                let copy = Key::Index(at, now + 1, level, end).encode();
                let row = resealed(row, &key, &copy);
                writes.set(copy, row);
            }
            _ => {}
        }
    }
    let in_memory = |key: &ObjectKey| sequencer.state.objects.get(*key).is_some();
    if sequencer.checkpoint.is_some() || objects.keys().any(in_memory) {
        return;
    }
    for (object, more) in objects {
        let key = Key::Object(object).encode();
        let mut known = Object::from_row(&key, memory.snapshot()[&key].clone()).unwrap();
        known.references += more;
        let row = known.to_row(&key, sequencer.state.lsn);
        writes.set(key, row);
    }
    let options = sequencer.options.clone();
    sequencer
        .holder
        .write(memory, writes, &options)
        .await
        .unwrap();
    let swapped = PartitionEffect::IndexSwapped {
        generation: now + 1,
    };
    fold(sequencer, index, swapped).await;
}

/// A store in which so many objects are in rows.
async fn in_rows(objects: u64) -> (Memory, Sequencer) {
    let (memory, mut sequencer) = fresh().await;
    for number in 1..=objects {
        add(&mut sequencer, number).await;
    }
    checkpoint(&mut sequencer).await;
    check(&memory).await;
    (memory, sequencer)
}

#[tokio::test(start_paused = true)]
async fn a_chunk_goes_together_with_the_counts_of_its_objects() {
    let (memory, mut sequencer) = in_rows(3_000).await;
    let whole = index_rows(&memory);
    assert!(whole > 10, "{whole}");
    assert_eq!(free_all(&mut sequencer, 0).await, (0, 0), "all can be read");
    move_start(&mut sequencer, 0, 15_000).await;
    let mut freed = 0;
    while let Freeing::Freed {
        rows_start,
        orphaned,
    } = sequencer.free_chunk(partition(0)).await.unwrap()
    {
        assert!(rows_start <= Offset(15_000));
        assert_eq!(orphaned, 0, "the other partition's lie there");
        check(&memory).await;
        freed += 1;
    }
    assert!(freed > 1, "{freed}");
    let last = end(&sequencer, 1);
    move_start(&mut sequencer, 1, last).await;
    let (chunks, objects) = free_all(&mut sequencer, 1).await;
    check(&memory).await;
    assert!(chunks > 3 && objects > 1_000, "{chunks} {objects}");
    move_start(&mut sequencer, 0, last).await;
    free_all(&mut sequencer, 0).await;
    assert_eq!(index_rows(&memory), 0);
    check(&memory).await;
    // And it begins anew.
    for number in 4_000..4_500 {
        add(&mut sequencer, number).await;
    }
    checkpoint(&mut sequencer).await;
    check(&memory).await;
    drop(sequencer);
    hold(&memory, 2).await;
    check(&memory).await;
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_one_since_now_and_not_since_the_last_drain() {
    let (memory, mut sequencer) = in_rows(10).await;
    for index in 0..PARTITIONS {
        let last = end(&sequencer, index);
        move_start(&mut sequencer, index, last).await;
    }
    seconds(3600).await;
    let now = sequencer.time.now();
    for index in 0..PARTITIONS {
        free_all(&mut sequencer, index).await;
    }
    let key = Key::Object(object(1)).encode();
    let orphan = Object::from_row(&key, memory.snapshot()[&key].clone()).unwrap();
    assert_eq!(orphan.orphaned_since, Some(now));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_freed_that_a_checkpoint_or_a_replay_would_bring_back() {
    let (memory, mut sequencer) = in_rows(1_000).await;
    sequencer.options.checkpoint_steps = Steps {
        bytes: 1,
        ..Steps::default()
    };
    add(&mut sequencer, 2_000).await;
    sequencer.begin_checkpoint();
    // In index rows with this checkpoint, and among the objects with the next one.
    add(&mut sequencer, 2_001).await;
    let last = end(&sequencer, 0);
    move_start(&mut sequencer, 0, last).await;
    while sequencer.checkpoint.is_some() {
        let before = memory.transactions();
        let found = sequencer.free_chunk(partition(0)).await.unwrap();
        assert_eq!((found, memory.transactions()), (Freeing::NotYet, before));
        sequencer.step_and_wait().await.unwrap();
    }
    let found = loop {
        match sequencer.free_chunk(partition(0)).await.unwrap() {
            Freeing::Freed { .. } => check(&memory).await,
            found => break found,
        }
    };
    assert_eq!(found, Freeing::NotYet, "the last chunk");
    let log = sequencer.state.partitions.get(partition(0)).unwrap();
    assert_eq!(log.recent_start(), Offset(last), "it is whole in rows");
    drop(sequencer);
    let mut sequencer = hold(&memory, 3).await;
    let found = sequencer.free_chunk(partition(0)).await.unwrap();
    assert_eq!(found, Freeing::NotYet, "nor by the next process");
    checkpoint(&mut sequencer).await;
    assert!(free_all(&mut sequencer, 0).await.0 > 0);
    check(&memory).await;
}

async fn delete(sequencer: &mut Sequencer) {
    let delete = Command::DeleteTopic(TOPIC);
    sequencer.command(delete).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deposed_owner_frees_nothing() {
    let (memory, mut deposed) = in_rows(1_000).await;
    move_start(&mut deposed, 0, 5_000).await;
    let mut owner = hold(&memory, 2).await;
    let before = memory.snapshot();
    let freed = deposed.free_chunk(partition(0)).await;
    assert!(matches!(freed, Err(Error::Fenced)), "{freed:?}");
    assert_eq!(memory.snapshot(), before);
    assert!(free_all(&mut owner, 0).await.0 > 0);
    check(&memory).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_the_commit_a_chunk_is_there_or_gone() {
    let late = |operations| Fault::UnknownLate { operations };
    let kinds = [
        Fault::None,
        Fault::Conflict,
        Fault::TooOld,
        Fault::Unavailable,
        Fault::UnknownLanded,
        Fault::UnknownLost,
        late(0),
        late(2),
        late(5),
    ];
    let (rows, mut sequencer) = in_rows(700).await;
    move_start(&mut sequencer, 0, 5_000).await;
    drop(sequencer);
    for (first, second, third) in kinds
        .iter()
        .flat_map(|a| kinds.iter().map(move |b| (*a, *b)))
        .flat_map(|(a, b)| [Fault::None, Fault::Unavailable, late(9)].map(|c| (a, b, c)))
    {
        let context = format!("{first:?}, {second:?}, {third:?}");
        let memory = rows.copy();
        let mut sequencer = hold(&memory, 2).await;
        let before = index_rows(&memory);
        memory.faults().inject([first, second, third]);
        let freed = sequencer.free_chunk(partition(0)).await;
        memory.faults().cease();
        drop(sequencer);
        let mut sequencer = hold(&memory, 3).await;
        memory.faults().land();
        check(&memory).await;
        let gone = before - index_rows(&memory);
        match freed {
            Ok(Freeing::Freed { .. }) => assert_eq!(gone, 1, "{context}"),
            Err(Error::Unavailable { .. }) => assert!(gone <= 1, "{context}"),
            other => panic!("{context}: {other:?}"),
        }
        free_all(&mut sequencer, 0).await;
        check(&memory).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_agree_is_damage_and_stays_as_it_is() {
    let (rows, mut sequencer) = in_rows(1_500).await;
    move_start(&mut sequencer, 0, 10_000).await;
    drop(sequencer);
    let wrong = Object {
        size: 1,
        references: 0,
        orphaned_since: None,
    };
    let first_row = |memory: &Memory, level| {
        let is = |key: &Bytes| matches!(Key::decode(key), Ok(Key::Index(_, _, l, _)) if l == level);
        memory.snapshot().into_keys().find(is).unwrap()
    };
    let one = Key::Object(object(1)).encode();
    let of_another = rows.snapshot()[&Key::Object(object(2)).encode()].clone();
    let garbage = Bytes::from_static(&[1, 2, 3]);
    for (key, row) in [
        (one.clone(), None),
        (one.clone(), Some(garbage.clone())),
        (one.clone(), Some(of_another)),
        (one.clone(), Some(wrong.to_row(&one, Lsn(1)))),
        (first_row(&rows, 0), Some(garbage.clone())),
        (first_row(&rows, 1), Some(garbage)),
    ] {
        let memory = rows.copy();
        let mut sequencer = hold(&memory, 2).await;
        let mut damage = Transaction::default();
        match row {
            Some(row) => damage.set(key.clone(), row),
            None => damage.clear(key.clone()),
        }
        memory.commit(damage).await.unwrap();
        let before = memory.snapshot();
        let freed = sequencer.free_chunk(partition(0)).await;
        assert!(matches!(freed, Err(Error::Damaged(_))), "{freed:?}");
        assert_eq!(memory.snapshot(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_that_another_took_the_place_of_is_freed_whole() {
    let (memory, mut sequencer) = in_rows(1_000).await;
    let rows = index_rows(&memory);
    swap(&mut sequencer, &memory, 0).await;
    check(&memory).await;
    add(&mut sequencer, 2_000).await;
    checkpoint(&mut sequencer).await;
    check(&memory).await;
    let (chunks, orphans) = free_all(&mut sequencer, 0).await;
    assert!(chunks > 1, "{chunks}");
    assert_eq!(orphans, 0, "the new one has them all");
    check(&memory).await;
    assert_eq!(index_rows(&memory), rows);
    // One that is being built.
    let mut writes = Transaction::default();
    for (key, row) in memory.snapshot() {
        if let Ok(Key::Index(at, 1, level, end)) = Key::decode(&key) {
            let copy = Key::Index(at, 2, level, end).encode();
            let row = resealed(row, &key, &copy);
            writes.set(copy, row);
        }
    }
    memory.commit(writes).await.unwrap();
    let last = end(&sequencer, 0);
    move_start(&mut sequencer, 0, last).await;
    free_all(&mut sequencer, 0).await;
    let rows = memory.snapshot();
    let left = |generation| {
        let of = |key: &&Bytes| matches!(Key::decode(key), Ok(Key::Index(at, g, ..)) if (at, g) == (partition(0), generation));
        rows.keys().filter(of).count()
    };
    assert_eq!((left(0), left(1), left(2) > 0), (0, 0, true));
}
