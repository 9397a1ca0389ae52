//! Random lawful histories, judged by an independent model; and replays of them.

mod ages;
mod first_batches;
mod forms;
mod history;
mod model;
mod repeated;
mod replay;
mod room;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::State;
use crate::checkpoint::Steps;
use crate::command::{BatchProducer, CommitBatch, CommitBlock, CommitObject};
use crate::types::{
    BatchFlags, BlockCodec, BlockRange, LostRange, NamingEpoch, ObjectKey, Offset, PartitionIndex,
    ProducerEpoch, ProducerId, Sequence, Share, Timestamp, TopicId, TopicPartition,
};

const START: i64 = 1_790_000_000_000;
const TOPICS: u128 = 5;
const NAMES: [&str; 4] = ["a.b", "a_b", "orders", "x"];

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Raise(u32),
    Accept(u64),
    Release,
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Create {
        name: usize,
        id: u128,
        partitions: i32,
    },
    Delete {
        id: u128,
    },
    Partitions {
        id: u128,
        total: i32,
    },
    Lose {
        id: u128,
        range: LostRange,
    },
    Commit(Segment),
    Allocate {
        count: u32,
    },
    Bind {
        bucket: u128,
    },
    /// What operators do.
    Operate(Operation),
    /// The sessions at these places of the list of all ever opened are closed.
    Open {
        closing: Vec<usize>,
    },
    Expire {
        older_than_ms: i64,
    },
    /// An earlier submission again, counted from the last one.
    Again {
        back: usize,
    },
    /// Time passes, or the clock is set back.
    Wait {
        ms: i64,
    },
    /// So many naming epochs go by.
    Name {
        epochs: u32,
    },
    /// What is decided next gets a new lsn.
    NextDrain,
    /// So many transactions of a checkpoint, which is begun if none is under way.
    Checkpoint {
        transactions: usize,
        steps: Steps,
    },
    /// The process dies, and another one loads what is in the store.
    Restart,
}

#[derive(Clone, Debug)]
struct Segment {
    /// Few, so that some come again.
    object: u64,
    /// Naming epochs since it was named; negative: in one that was never handed out.
    age: i64,
    blocks: Vec<Block>,
    /// The lengths do not add up.
    torn: bool,
}

#[derive(Clone, Debug)]
struct Block {
    topic: u128,
    partition: i32,
    batches: Vec<Sent>,
}

/// A batch by its relation to what its producer sent before; made concrete when it is its turn.
#[derive(Clone, Copy, Debug)]
struct Sent {
    count: u32,
    flags: BatchFlags,
    age_ms: i64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Next {
        producer: i64,
    },
    /// One of the last, counted from the newest.
    Again {
        producer: i64,
        back: usize,
    },
    /// As the last, but with another number of records.
    Other {
        producer: i64,
    },
    Gap {
        producer: i64,
        by: i32,
    },
    NewEpoch {
        producer: i64,
        sequence: i32,
    },
    OldEpoch {
        producer: i64,
    },
    /// Just before sequences wrap.
    NearWrap {
        producer: i64,
    },
    /// In order, but its agent holds it back.
    Withheld {
        producer: i64,
    },
}

fn kind() -> impl Strategy<Value = Kind> {
    let producer = || prop_oneof![0..4_i64, 900..902_i64];
    prop_oneof![
        3 => Just(Kind::Plain),
        8 => producer().prop_map(|producer| Kind::Next { producer }),
        3 => (producer(), 0..7_usize).prop_map(|(producer, back)| Kind::Again { producer, back }),
        1 => producer().prop_map(|producer| Kind::Other { producer }),
        1 => (producer(), -3..4).prop_map(|(producer, by)| Kind::Gap { producer, by }),
        1 => (producer(), 0..2).prop_map(|(producer, sequence)| Kind::NewEpoch { producer, sequence }),
        1 => producer().prop_map(|producer| Kind::OldEpoch { producer }),
        1 => producer().prop_map(|producer| Kind::NearWrap { producer }),
        1 => producer().prop_map(|producer| Kind::Withheld { producer }),
    ]
}

fn block() -> impl Strategy<Value = Block> {
    let flags = prop_oneof![
        4 => Just((false, false)),
        1 => any::<(bool, bool)>(),
    ];
    let sent = (1..6_u32, 0..5_000_i64, kind(), flags);
    let sent = sent.prop_map(|(count, age_ms, kind, (transactional, control))| Sent {
        count,
        flags: BatchFlags {
            transactional,
            control,
        },
        age_ms,
        kind,
    });
    let batches = prop::collection::vec(sent, 1..6);
    let partition = prop_oneof![12 => 0..3, 1 => -1..6];
    (1..=TOPICS, partition, batches).prop_map(|(topic, partition, batches)| Block {
        topic,
        partition,
        batches,
    })
}

fn segment() -> impl Strategy<Value = Segment> {
    let age = prop_oneof![20 => Just(0_i64), 1 => 35..38_i64, 1 => Just(-1_i64)];
    let blocks = prop::collection::vec(block(), 0..4);
    let torn = prop::bool::weighted(0.03);
    (0..40_u64, age, blocks, torn).prop_map(|(object, age, blocks, torn)| Segment {
        object,
        age,
        blocks,
        torn,
    })
}

/// Each bound apart from the others: what goes wrong where one is reached and another is not hides otherwise.
fn steps() -> impl Strategy<Value = Steps> {
    let bytes = prop_oneof![Just(1_usize), 1..2_000_usize, Just(usize::MAX)];
    let extents = prop_oneof![1..5_usize, Just(usize::MAX)];
    let cleared = prop_oneof![1..5_i32, Just(i32::MAX)];
    (bytes, extents, cleared).prop_map(|(bytes, extents, cleared)| Steps {
        bytes,
        extents,
        cleared,
    })
}

/// A checkpoint that can stop between any two rows.
const SMALL_STEPS: Steps = Steps {
    bytes: 1,
    extents: 2,
    cleared: 1,
};

fn lost() -> impl Strategy<Value = LostRange> {
    (0..3_i32, -1..12_i64, 0..6_i64).prop_map(|(partition, from, length)| LostRange {
        partition: PartitionIndex(partition),
        from: Offset(from),
        until: Offset(from + length),
    })
}

fn step() -> impl Strategy<Value = Step> {
    let closing = prop::collection::vec(0..6_usize, 0..3);
    prop_oneof![
        3 => (0..NAMES.len(), 1..=TOPICS, 0..4).prop_map(|(name, id, partitions)| Step::Create {
            name,
            id,
            partitions,
        }),
        1 => (1..=TOPICS).prop_map(|id| Step::Delete { id }),
        1 => (1..=TOPICS, 0..6).prop_map(|(id, total)| Step::Partitions { id, total }),
        1 => (1..=TOPICS, lost()).prop_map(|(id, range)| Step::Lose { id, range }),
        12 => segment().prop_map(Step::Commit),
        1 => (0..700_u32).prop_map(|count| Step::Allocate { count }),
        1 => (0..3_u128).prop_map(|bucket| Step::Bind { bucket }),
        1 => prop_oneof![
            (0..9_u32).prop_map(Operation::Raise),
            (1..9_u64).prop_map(Operation::Accept),
            Just(Operation::Release),
        ].prop_map(Step::Operate),
        1 => closing.prop_map(|closing| Step::Open { closing }),
        1 => prop_oneof![0..2_000_i64, 0..20_000_i64].prop_map(|older_than_ms| Step::Expire { older_than_ms }),
        2 => (0..12_usize).prop_map(|back| Step::Again { back }),
        3 => prop_oneof![0..6_000_i64, -3_000..0_i64].prop_map(|ms| Step::Wait { ms }),
        1 => prop_oneof![1..3_u32, 30..40_u32].prop_map(|epochs| Step::Name { epochs }),
        6 => Just(Step::NextDrain),
        3 => (1..4_usize, steps()).prop_map(|(transactions, steps)| Step::Checkpoint {
            transactions,
            steps,
        }),
        1 => Just(Step::Restart),
    ]
}

fn partition(topic: u128, index: i32) -> TopicPartition {
    TopicPartition {
        topic: TopicId(topic),
        partition: PartitionIndex(index),
    }
}

/// A segment whose batches are given; each has 100 bytes and one more for each record.
fn commit(object: ObjectKey, blocks: Vec<(TopicPartition, Vec<CommitBatch>)>) -> CommitObject {
    let mut position = 0;
    let block = |(partition, batches): (TopicPartition, Vec<CommitBatch>)| {
        let raw_length = batches.iter().map(|batch| batch.raw_length).sum();
        let range = BlockRange {
            position,
            stored_length: raw_length,
            raw_length,
            codec: BlockCodec::Raw,
            checksum: 0,
        };
        position += raw_length;
        CommitBlock {
            topic: partition.topic,
            partition: partition.partition,
            range,
            batches,
        }
    };
    let blocks: Vec<_> = blocks.into_iter().map(block).collect();
    CommitObject {
        object,
        size: position.into(),
        blocks,
    }
}

fn batch(count: u32, time: Timestamp, producer: Option<(i64, i16, i32)>) -> CommitBatch {
    CommitBatch {
        raw_length: 100 + count,
        record_count: count,
        max_timestamp: time,
        producer: producer.map(|(id, epoch, base_sequence)| BatchProducer {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(base_sequence),
            share: Share(0),
        }),
        flags: BatchFlags::default(),
        withheld: false,
    }
}
