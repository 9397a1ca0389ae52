//! Rows of different ages under one log: whichever of several checkpoints each row comes from, what is replayed over them
//! is the truth. This is more than a crash between a checkpoint's transactions can do, which leaves them in order.

use std::collections::BTreeSet;

use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::history::World;
use super::replay::Portrait;
use super::*;
use crate::checkpoint::{Checkpoint, checkpoint_row};
use crate::codec::resealed;
use crate::effect::{
    ClusterEffect, Effect, PartitionEffect, ProducersEffect, SessionEffect, TopicEffect,
};
use crate::keys::Key;
use crate::kv::{Kv, Memory, Transaction};
use crate::level::As;
use crate::sequencer::takeover::replay;
use crate::state::invariants;
use crate::state::table::{Page, Table, Tails, open_row};
use crate::state::tally::Mark;
use crate::types::{Lsn, Offset};

/// What is written together, and so is of one age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Topic(TopicId),
    /// With its index.
    Partition(TopicPartition),
    Producer(TopicPartition, ProducerId),
    /// With the outcomes that it has not seen.
    Session(u64),
    Cluster,
}

fn group(key: Key) -> Option<Group> {
    Some(match key {
        Key::Topic(topic) | Key::Deleted(topic) => Group::Topic(topic),
        Key::Partition(partition) | Key::Index(partition, ..) => Group::Partition(partition),
        Key::Producer(partition, id) => Group::Producer(partition, id),
        Key::Session(session) | Key::Outcome(session, ..) => Group::Session(session),
        Key::Cluster => Group::Cluster,
        _ => return None,
    })
}

/// All rows of a state, as of now.
async fn rows(state: &State) -> Memory {
    let (kv, mut state) = (Memory::new(), state.clone());
    let mut checkpoint = Checkpoint::begin(&mut state);
    while !checkpoint.is_done() {
        let transaction = checkpoint.step(&kv, &mut state).await.unwrap();
        kv.commit(transaction).await.unwrap();
    }
    kv
}

/// The age of a group's rows, `0..ages`: no topic's row is older than those of its partitions, for they need it.
fn age(group: Group, chosen: &[usize], ages: usize) -> usize {
    let draw = |salt: u128| {
        let at = usize::try_from(salt % chosen.len() as u128).unwrap();
        chosen[at] % ages
    };
    let index = |of: TopicPartition| u128::from(of.partition.0.unsigned_abs());
    let topic = |topic: TopicId| draw(topic.0);
    match group {
        Group::Topic(id) => topic(id),
        Group::Partition(of) => draw(100 + of.topic.0 * 7 + index(of)).min(topic(of.topic)),
        Group::Producer(of, id) => {
            let salt = of.topic.0 * 7 + index(of) + u128::from(id.0.unsigned_abs()) * 31;
            draw(200 + salt).min(topic(of.topic))
        }
        Group::Session(id) => draw(300 + u128::from(id)),
        Group::Cluster => draw(400),
    }
}

/// One that every partition has had: a leader epoch began, and another generation took the place of the index.
fn inject(world: &mut World, number: u32) {
    for (partition, log) in world.state.clone().logs() {
        let began = PartitionEffect::EpochBegan {
            epoch: number.cast_signed() * 10,
            start: log.bounds().high_watermark,
        };
        let swapped = PartitionEffect::IndexSwapped { generation: number };
        for what in [began, swapped] {
            world.inject(Effect::Partition { partition, what });
        }
    }
}

/// Rows of all ages, and the log since the oldest.
async fn mixed(world: &World, since: Lsn, snapshots: &[Memory], chosen: &[usize]) -> Memory {
    let kv = Memory::new();
    let mut transaction = Transaction::default();
    transaction.set(Key::Checkpoint.encode(), checkpoint_row(since));
    for (key, row) in world.kv.snapshot() {
        if matches!(Key::decode(&key), Ok(Key::Log(lsn, _)) if lsn > since) {
            transaction.set(key, row);
        }
    }
    let mut rows = Vec::new();
    for (at, snapshot) in snapshots.iter().enumerate() {
        for (key, row) in snapshot.snapshot() {
            let known = Key::decode(&key).unwrap();
            if group(known).is_some_and(|of| age(of, chosen, snapshots.len()) == at) {
                let place = in_place(world, known);
                let row = resealed(row, &key, &place.encode());
                rows.push((place, row));
            }
        }
    }
    let topics = rows.iter().filter_map(|(key, _)| match key {
        Key::Topic(topic) | Key::Deleted(topic) => Some(*topic),
        _ => None,
    });
    let topics: BTreeSet<_> = topics.collect();
    for (key, row) in rows {
        // They go with their topic's, in one transaction, if it leaves nothing else.
        if !matches!(key, Key::Partition(at) if !topics.contains(&at.topic)) {
            transaction.set(key.encode(), row);
        }
    }
    kv.commit(transaction).await.unwrap();
    recount(&kv).await;
    kv
}

/// The cluster's row goes with each transaction, and so is never older than the rows that it counts.
async fn recount(kv: &Memory) {
    let mut state = State::default();
    for kind in State::KINDS {
        let rows = kv.snapshot().into_iter();
        for (key, row) in rows.filter(|(key, _)| key.get(1) == Some(kind)) {
            let stored = Mark::of(&key, &row);
            let row = open_row(&key, row).unwrap();
            let key = Key::decode(&key).unwrap();
            state.load(key, row, stored).unwrap();
        }
    }
    state.cluster.counted(state.tallies());
    let mut tails = Tails::new();
    let mut page = Page::new(state.cluster.as_of(), Steps::default(), &mut tails);
    state.cluster.write(&mut page).unwrap();
    kv.commit(page.writes).await.unwrap();
}

/// Whoever makes another generation of an index copies rows: those of any age are in the one that is read in the end.
fn in_place(world: &World, key: Key) -> Key {
    match key {
        Key::Index(partition, generation, level, end) => {
            let log = world.state.partitions.get(partition);
            let now = log.map_or(generation, |log| log.index_of(partition).generation);
            Key::Index(partition, now, level, end)
        }
        key => key,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn rows_of_any_ages_and_the_log_are_the_truth(
        parts in prop::collection::vec(prop::collection::vec(step(), 1..30), 2..5),
        chosen in prop::collection::vec(prop::collection::vec(0..12_usize, 1..40), 4),
    ) {
        // The dummy effects of the next level are effects, too.
        let _level = As::level(2);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            let (mut snapshots, mut since) = (Vec::new(), None);
            for (number, steps) in (1..).zip(&parts) {
                for (at, step) in steps.iter().enumerate() {
                    if !matches!(step, Step::Checkpoint { .. } | Step::Restart) {
                        world.step(step).await;
                    }
                    // In the middle, so that rows are written on both sides of it.
                    if at == steps.len() / 2 {
                        inject(&mut world, number);
                    }
                }
                world.flush().await;
                snapshots.push(rows(&world.state).await);
                since.get_or_insert(world.durable);
            }
            // After all steps, for the model knows nothing of it.
            for (partition, log) in world.state.clone().logs() {
                let end = log.bounds().high_watermark;
                let what = PartitionEffect::LogStartMoved { to: Offset(end.0 / 2) };
                world.inject(Effect::Partition { partition, what });
            }
            world.flush().await;
            snapshots.push(rows(&world.state).await);
            let since = since.unwrap();
            for chosen in &chosen {
                let kv = mixed(&world, since, &snapshots, chosen).await;
                let (loaded, _) = replay(&kv, world.durable).await.unwrap();
                invariants::check(&loaded);
                let found = Portrait::of(&loaded, &kv).await;
                let mut truth = Portrait::of(&world.state, &world.kv).await;
                // Those before the oldest rows lie in the store only.
                truth.objects.retain(|key, _| found.objects.contains_key(key));
                assert_eq!(found, truth);
            }
        });
    }
}

/// A number for each kind of effect: one that is new must be named here, and come into these histories.
fn kind(effect: &Effect) -> usize {
    match effect {
        Effect::Committed(_) => 0,
        Effect::Topic { what, .. } => match what {
            TopicEffect::Created(_) => 1,
            TopicEffect::Deleted { .. } => 2,
            TopicEffect::PartitionsCreated { .. } => 3,
            TopicEffect::MarkedLost(_) => 20,
        },
        Effect::Partition { what, .. } => match what {
            PartitionEffect::LogStartMoved { .. } => 4,
            PartitionEffect::EpochBegan { .. } => 5,
            PartitionEffect::IndexSwapped { .. } => 6,
        },
        Effect::Producers { what, .. } => match what {
            ProducersEffect::Forgotten(_) => 7,
        },
        Effect::Session { what, .. } => match what {
            SessionEffect::Opened { .. } => 8,
            SessionEffect::Closed => 9,
            SessionEffect::Answered { .. } => 10,
        },
        Effect::Cluster(what) => match what {
            ClusterEffect::ProducerIdsAllocated { .. } => 11,
            ClusterEffect::ProducersForgottenBefore { .. } => 12,
            ClusterEffect::SessionNumbered { .. } => 13,
            ClusterEffect::BucketBound(_) => 14,
            ClusterEffect::NamingAdvanced { .. } => 15,
            ClusterEffect::OlderStoreAccepted { .. } => 16,
            ClusterEffect::HoldReleased => 17,
            ClusterEffect::FeatureLevelRaised { .. } => 18,
            ClusterEffect::Trial(_) => 19,
        },
    }
}

const KINDS: usize = 21;

#[tokio::test]
async fn every_effect_comes_into_these_histories() {
    let _level = As::level(2);
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::from([kind(&Effect::Partition {
        partition: partition(1, 0),
        what: PartitionEffect::LogStartMoved { to: Offset(0) },
    })]);
    for number in 1..300 {
        if seen.len() >= KINDS {
            break;
        }
        let steps = prop::collection::vec(step(), 60);
        let steps = steps.new_tree(&mut runner).unwrap().current();
        let mut world = World::new().await;
        for step in &steps {
            if !matches!(step, Step::Checkpoint { .. } | Step::Restart) {
                world.step(step).await;
            }
        }
        inject(&mut world, number);
        world.flush().await;
        seen.extend(world.kinds_in_log(kind));
    }
    assert_eq!(seen, (0..KINDS).collect());
}
