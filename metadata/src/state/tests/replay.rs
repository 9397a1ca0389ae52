//! A state with its rows, as something to compare: two that answer alike are equal, whatever lies in memory or in rows.

use std::collections::BTreeSet;

use super::history::World;
use super::*;
use crate::catalogue::Topic;
use crate::command::{Command, CreateTopic, Outcome};
use crate::index::{CHUNKS_PER_READ, Lookup};
use crate::kv::Memory;
use crate::state::cluster;
use crate::state::objects::Object;
use crate::state::partitions::Held;
use crate::state::producers::Window;
use crate::types::{Bounds, Extent, Lsn, Offset};

#[derive(Debug, PartialEq)]
pub(super) struct Portrait {
    lsn: Lsn,
    cluster: cluster::Known,
    pub(super) topics: BTreeMap<TopicId, (Topic, ProducerId, Vec<PartitionPortrait>)>,
    pub(super) deleted: BTreeSet<TopicId>,
    pub(super) objects: BTreeMap<ObjectKey, Object>,
    pub(super) sessions: BTreeMap<u64, (u64, BTreeMap<u64, Outcome>)>,
}

#[derive(Debug, PartialEq)]
pub(super) struct PartitionPortrait {
    bounds: Bounds,
    generation: u32,
    held: Held,
    producers: Vec<ProducerPortrait>,
    extents: Vec<Extent>,
}

type ProducerPortrait = (ProducerId, ProducerEpoch, Window, Timestamp, Share);

impl Portrait {
    pub(super) async fn of(state: &State, kv: &Memory) -> Self {
        let mut topics = BTreeMap::new();
        for topic in state.topics.iter() {
            let mut logs = Vec::new();
            for (at, log) in state.partitions.of(topic.topic.id) {
                let producers = state.producers.of(at).into_iter();
                let producers = producers.map(|(id, known)| {
                    let (epoch, batches) = (known.epoch, known.batches);
                    (id, epoch, batches, known.last_seen, known.share)
                });
                logs.push(PartitionPortrait {
                    bounds: log.bounds(),
                    generation: log.index_of(at).generation,
                    held: log.held(),
                    producers: producers.collect(),
                    extents: extents(state, kv, at).await,
                });
            }
            let portrait = (Topic::clone(&topic.topic), topic.first_producer, logs);
            topics.insert(topic.topic.id, portrait);
        }
        let session = |id| {
            let session = state.sessions.get(id).unwrap();
            (id, (session.last, session.outcomes.clone()))
        };
        Self {
            lsn: state.lsn,
            cluster: *state.cluster,
            topics,
            deleted: state.topics.deleted().collect(),
            objects: state
                .objects
                .iter()
                .map(|(key, object)| (*key, *object))
                .collect(),
            sessions: state.sessions.ids().map(session).collect(),
        }
    }
}

/// All extents of a partition: from index rows what memory does not have.
pub(super) async fn extents(state: &State, kv: &Memory, at: TopicPartition) -> Vec<Extent> {
    let log = state.partitions.get(at).unwrap();
    let lookup = Lookup::new(kv, log.index_of(at));
    let mut indexed: Vec<Extent> = Vec::new();
    loop {
        let next = indexed.last().map_or(Offset(0), Extent::end_offset);
        let chunks = lookup.chunks(next, CHUNKS_PER_READ).await.unwrap();
        if chunks.is_empty() {
            break;
        }
        indexed.extend(chunks.into_iter().flat_map(|chunk| chunk.extents));
    }
    let indexed = indexed.into_iter();
    let indexed = indexed.filter(|extent| extent.base_offset < log.recent_start());
    indexed.chain(log.recent().iter().copied()).collect()
}

fn create(id: u128, name: &str) -> Command {
    Command::CreateTopic(CreateTopic {
        name: name.to_owned(),
        id: TopicId(id),
        partitions: 2,
        replication_factor: 1,
        configs: [].into(),
    })
}

/// A topic deleted and made anew under its name, both before a checkpoint that stops between their rows: the log is
/// replayed over the newer row of one and the older row of the other.
#[tokio::test]
async fn a_name_outlives_the_replay_of_an_earlier_topics_end() {
    for (first, second) in [(1, 2), (2, 1)] {
        for (transactions, first_has_a_row) in (1..8).flat_map(|n| [(n, true), (n, false)]) {
            let mut world = World::new().await;
            world.submit(create(first, "orders"));
            if first_has_a_row {
                world.checkpoint(20, SMALL_STEPS).await;
            }
            world.submit(Command::DeleteTopic(TopicId(first)));
            world.flush().await;
            world.submit(create(second, "orders"));
            // It compares with what a new process finds.
            world.checkpoint(transactions, SMALL_STEPS).await;
        }
    }
}

/// Counters move while a checkpoint is under way; a topic made then knows its first producer all the same.
#[tokio::test]
async fn counters_newer_than_the_checkpoint_change_nothing() {
    let mut world = World::new().await;
    world.submit(create(1, "a"));
    for _ in 0..20 {
        world.checkpoint(1, SMALL_STEPS).await;
        world.submit(Command::AllocateProducerIds { count: 10 });
        world.flush().await;
    }
    world.checkpoint(1, SMALL_STEPS).await;
    world.submit(create(2, "b"));
    world.flush().await;
    world.submit(Command::AllocateProducerIds { count: 10 });
    for _ in 0..20 {
        world.checkpoint(1, SMALL_STEPS).await;
    }
}

fn send(object: u64, kinds: &[Kind]) -> Step {
    let sent = kinds.iter().map(|kind| Sent {
        count: 1,
        flags: BatchFlags::default(),
        age_ms: 0,
        kind: *kind,
    });
    let block = Block {
        topic: 1,
        partition: 0,
        batches: sent.collect(),
    };
    Step::Commit(Segment {
        object,
        age: 0,
        blocks: vec![block],
        torn: false,
    })
}

/// No agent names two objects alike. Where it happens once a name is forgotten, blocks that lie where another one lay are
/// not joined with it.
#[tokio::test]
async fn a_name_that_comes_again_joins_nothing_of_before() {
    let mut world = World::new().await;
    world.submit(Command::AllocateProducerIds { count: 10 });
    world.submit(create(1, "a"));
    world.step(&send(1, &[Kind::Plain])).await;
    world.checkpoint(20, SMALL_STEPS).await;
    let withheld = Kind::Withheld { producer: 0 };
    world.step(&send(1, &[withheld, Kind::Plain])).await;
    world.checkpoint(20, SMALL_STEPS).await;
}

/// A clock that was set back: a producer came again after it was forgotten, at a time before that. Its partition's row
/// knows it, and the log that forgets it is replayed over the row.
#[tokio::test]
async fn what_a_newer_row_remembers_is_not_forgotten_again() {
    for transactions in 1..6 {
        let mut world = World::new().await;
        world.submit(Command::AllocateProducerIds { count: 10 });
        world.submit(create(1, "a"));
        let next = [Kind::Next { producer: 0 }];
        let older_than_ms = 1_000;
        for step in [
            send(1, &next),
            Step::Wait { ms: 20_000 },
            Step::Expire { older_than_ms },
            Step::Wait { ms: -10_000 },
            send(2, &next),
            Step::Checkpoint {
                transactions,
                steps: SMALL_STEPS,
            },
        ] {
            world.step(&step).await;
        }
    }
}
