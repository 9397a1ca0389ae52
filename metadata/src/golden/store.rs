//! A whole store with rows of every kind.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{TOPIC, golden};
use crate::command::{BatchProducer, CommitBatch, CommitBlock, CommitObject, Outcome, Rejected};
use crate::keys::Key;
use crate::kv::{Kv, Memory, Transaction};
use crate::types::{
    BatchFlags, BlockCodec, BlockRange, BucketId, LostRange, NamingEpoch, ObjectKey, Offset,
    PartitionIndex, ProducerEpoch, ProducerId, Sequence, Share, Timestamp, TopicId, TopicPartition,
};
use crate::{Command, CreateTopic, Located, Options, start};

/// Numbers and times that come again.
pub(super) fn options() -> Options {
    let count = AtomicU64::new(0);
    Options {
        random: Arc::new(move || count.fetch_add(0x0101_0101, Ordering::Relaxed)),
        ..Options::new(Arc::new(|| Timestamp(1_790_000_000_000)))
    }
}

pub(super) fn commit(object: u32, base_sequence: i32) -> Command {
    commit_to(TOPIC, object, base_sequence)
}

fn commit_to(topic: TopicId, object: u32, base_sequence: i32) -> Command {
    let batch = CommitBatch {
        raw_length: 100,
        record_count: 10,
        max_timestamp: Timestamp(1_780_000_000_000 + i64::from(base_sequence)),
        producer: Some(BatchProducer {
            id: ProducerId(5),
            epoch: ProducerEpoch(1),
            base_sequence: Sequence(base_sequence),
            share: Share(0),
        }),
        flags: BatchFlags::default(),
        withheld: false,
    };
    let range = BlockRange {
        position: 32,
        stored_length: 90,
        raw_length: 100,
        codec: BlockCodec::Zstd,
        checksum: 7,
    };
    Command::CommitObject(CommitObject {
        object: ObjectKey::new(NamingEpoch(0), 7, object),
        size: 500,
        blocks: vec![CommitBlock {
            topic,
            partition: PartitionIndex(1),
            range,
            batches: vec![batch],
        }],
    })
}

pub(super) fn create(id: TopicId, name: &str) -> Command {
    Command::CreateTopic(CreateTopic {
        name: name.to_owned(),
        id,
        partitions: 2,
        replication_factor: 3,
        configs: [("retention.ms".to_owned(), "1000".to_owned())].into(),
    })
}

fn lost() -> LostRange {
    LostRange {
        partition: PartitionIndex(1),
        from: Offset(10),
        until: Offset(20),
    }
}

/// A store with rows of every kind: a checkpoint, and a log after it.
async fn store() -> Bytes {
    let memory = Memory::new();
    let (metadata, sequencer) = start(Arc::new(memory.clone()), options()).await.unwrap();
    let gone = TopicId(9);
    let script = async {
        for command in [
            Command::AllocateProducerIds { count: 100 },
            Command::BindBucket(Some(BucketId(7))),
            create(TOPIC, "orders"),
            create(gone, "gone"),
            commit_to(gone, 9, 0),
            Command::DeleteTopic(gone),
            commit(1, 0),
            commit(2, 10),
            Command::MarkLost {
                topic: TOPIC,
                range: lost(),
            },
        ] {
            metadata.submit(command).await.unwrap();
        }
        metadata.close().await;
    };
    let (run, ()) = tokio::join!(sequencer.run(), script);
    run.unwrap();
    let (metadata, sequencer) = start(Arc::new(memory.clone()), options()).await.unwrap();
    let script = async {
        metadata.submit(commit(3, 20)).await.unwrap();
    };
    // It stops here as if it were killed.
    tokio::select! {
        _ = sequencer.run() => unreachable!("nobody closes it"),
        () = script => {}
    }
    let rows = memory.snapshot();
    let kinds = rows.keys().map(|key| kind(Key::decode(key).unwrap()));
    let kinds: BTreeSet<usize> = kinds.collect();
    assert_eq!(kinds, (0..KINDS).collect(), "rows of every kind");
    to_bytes(&memory)
}

/// All rows, each behind the lengths of its key and of itself.
pub(super) fn to_bytes(memory: &Memory) -> Bytes {
    let mut bytes = BytesMut::new();
    for (key, row) in memory.snapshot() {
        bytes.put_u32(u32::try_from(key.len()).unwrap());
        bytes.put_u32(u32::try_from(row.len()).unwrap());
        bytes.extend_from_slice(&key);
        bytes.extend_from_slice(&row);
    }
    bytes.freeze()
}

pub(super) async fn of_bytes(mut bytes: Bytes) -> Memory {
    let memory = Memory::new();
    let mut transaction = Transaction::default();
    while bytes.has_remaining() {
        let (key, row) = (bytes.get_u32() as usize, bytes.get_u32() as usize);
        transaction.set(bytes.split_to(key), bytes.split_to(row));
    }
    memory.commit(transaction).await.unwrap();
    memory
}

const KINDS: usize = 15;

fn kind(key: Key) -> usize {
    match key {
        Key::Format => 0,
        Key::Owner => 1,
        Key::Head => 2,
        Key::Checkpoint => 3,
        Key::Log(..) => 4,
        Key::Topic(_) => 5,
        Key::Partition(_) => 6,
        Key::Producer(..) => 7,
        Key::Index(..) => 8,
        Key::Object(_) => 9,
        Key::Session(_) => 10,
        Key::Outcome(..) => 11,
        Key::Lineage => 12,
        Key::Cluster => 13,
        Key::Deleted(_) => KINDS - 1,
    }
}

/// On a clock that stands still, for the time is in the bytes.
#[tokio::test(start_paused = true)]
async fn a_whole_store_is_written_and_read_as_ever() {
    let memory = of_bytes(golden("store-1.bin", &Box::pin(store()).await)).await;
    let (metadata, sequencer) = start(Arc::new(memory), options()).await.unwrap();
    let script = async {
        let topic = metadata.catalogue().topic("orders").cloned().unwrap();
        assert_eq!(
            (topic.id, topic.partitions, topic.replication_factor),
            (TOPIC, 2, 3)
        );
        assert_eq!(topic.configs["retention.ms"], "1000");
        assert_eq!(topic.created, Timestamp(1_790_000_000_000));
        assert_eq!(topic.lost.ranges(), [lost()]);
        assert!(metadata.catalogue().topic("gone").is_none());
        let partition = TopicPartition {
            topic: TOPIC,
            partition: PartitionIndex(1),
        };
        for offset in [0, 10, 20] {
            let located = metadata.locate(partition, Offset(offset), 1).await.unwrap();
            let Located::Extents { bounds, extents } = located else {
                panic!("{located:?}")
            };
            assert_eq!(bounds.high_watermark, Offset(30));
            assert_eq!(extents[0].base_offset, Offset(offset));
        }
        // The last of the window, and the next one.
        for (object, sequence, base_offset, duplicate) in [(4, 0, 0, true), (5, 30, 30, false)] {
            let answer = metadata.submit(commit(object, sequence)).await.unwrap();
            let Outcome::Committed(verdicts) = answer.outcome else {
                panic!("{answer:?}")
            };
            let placed = verdicts[0].unwrap();
            assert_eq!(
                (placed.base_offset.0, placed.duplicate),
                (base_offset, duplicate)
            );
        }
        let ids = metadata
            .submit(Command::AllocateProducerIds { count: 1 })
            .await
            .unwrap();
        assert_eq!(
            ids.outcome,
            Outcome::ProducerIds {
                first: ProducerId(100),
                count: 1
            }
        );
        let again = metadata.submit(create(TopicId(9), "again")).await.unwrap();
        assert_eq!(
            again.outcome,
            Outcome::Rejected(Rejected::InvalidCommand),
            "deleted ids stay so"
        );
        metadata.close().await;
    };
    let (run, ()) = tokio::join!(sequencer.run(), script);
    run.unwrap();
}
