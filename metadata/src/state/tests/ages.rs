//! Rows of different ages under one log: whichever of several checkpoints each row comes from, what is replayed over them
//! is the truth. This is more than a crash between a checkpoint's transactions can do, which leaves them in order.

use super::history::World;
use super::replay::Portrait;
use super::*;
use crate::checkpoint::{Checkpoint, checkpoint_row};
use crate::effect::{Effect, PartitionEffect};
use crate::keys::Key;
use crate::kv::{Kv, Memory, Transaction};
use crate::sequencer::takeover::replay;
use crate::state::invariants;
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
    for (at, snapshot) in snapshots.iter().enumerate() {
        for (key, row) in snapshot.snapshot() {
            let of = group(Key::decode(&key).unwrap());
            if of.is_some_and(|of| age(of, chosen, snapshots.len()) == at) {
                transaction.set(key, row);
            }
        }
    }
    kv.commit(transaction).await.unwrap();
    kv
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn rows_of_any_ages_and_the_log_are_the_truth(
        parts in prop::collection::vec(prop::collection::vec(step(), 1..30), 2..5),
        chosen in prop::collection::vec(prop::collection::vec(0..12_usize, 1..40), 4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            let (mut snapshots, mut since) = (Vec::new(), None);
            for steps in &parts {
                for step in steps {
                    if !matches!(step, Step::Checkpoint { .. } | Step::Restart) {
                        world.step(step).await;
                    }
                }
                world.flush().await;
                snapshots.push(rows(&world.state).await);
                since.get_or_insert(world.durable);
            }
            // The effects that steps do not have: after them, for the model knows nothing of them.
            for (partition, log) in world.state.clone().logs() {
                let end = log.bounds().high_watermark;
                let moved = PartitionEffect::LogStartMoved { to: Offset(end.0 / 2) };
                let began = PartitionEffect::EpochBegan { epoch: 9, start: end };
                for what in [moved, began] {
                    world.inject(Effect::Partition { partition, what });
                }
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
