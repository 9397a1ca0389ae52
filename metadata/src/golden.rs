//! Bytes that must stay readable for ever: the files under `tests/golden/`. A test fails when this version would write
//! other bytes, or reads something else from the old ones. A missing file is written when `PENSTOCK_WRITE_GOLDEN` is
//! set; one that exists is never written over: what is encoded anew gets a new version and a new file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::codec::{Decoder, Encoder, Wire};
use crate::command::{BatchProducer, CommitBatch, CommitBlock, CommitObject, Outcome, Rejected};
use crate::command::{Placed, Verdict};
use crate::effect::{
    Asked, Block, ClusterEffect, Committed, Effect, Judged, Judgement, LogBytes, PartitionEffect,
    ProducersEffect, SessionEffect, TopicCreated, TopicEffect, decode_entry,
};
use crate::index::Chunk;
use crate::keys::Key;
use crate::kv::{Kv, Memory, Transaction};
use crate::types::{
    BlockCodec, BlockRange, BucketId, Content, Extent, ExtentFlags, HistoryId, Marker, NamingEpoch,
    ObjectKey, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Share, Stored,
    Timestamp, TopicId, TopicPartition,
};
use crate::{Command, CreateTopic, Located, Options, start};

/// The file's bytes, which must be `encoded`.
#[expect(
    clippy::disallowed_methods,
    reason = "only a person who adds an encoding sets the variable"
)]
pub(crate) fn golden(name: &str, encoded: &Bytes) -> Bytes {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = folder.join(name);
    if !path.exists() && std::env::var("PENSTOCK_WRITE_GOLDEN").is_ok() {
        fs::write(&path, encoded).unwrap();
    }
    let old = Bytes::from(fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}")));
    let same = old.iter().zip(encoded).take_while(|(a, b)| a == b).count();
    assert!(
        old == encoded,
        "{name} would be written otherwise from byte {same} on"
    );
    old
}

/// Fails to compile when a variant is missing, and fails when none of the samples is of a variant.
macro_rules! cover {
    ($samples:expr, $kind:ty, $($pattern:pat),+ $(,)?) => {
        fn exhaustive(sample: &$kind) {
            match sample { $($pattern => (),)+ }
        }
        $samples.iter().for_each(exhaustive);
        $(assert!($samples.iter().any(|sample: &$kind| matches!(sample, $pattern)),
            "no sample of {}", stringify!($pattern));)+
    };
}
pub(crate) use cover;

const TOPIC: TopicId = TopicId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

fn rejections() -> Vec<Rejected> {
    let all = vec![
        Rejected::UnknownTopic,
        Rejected::UnknownPartition,
        Rejected::TopicExists,
        Rejected::TopicNameCollides,
        Rejected::InvalidPartitions,
        Rejected::OutOfOrderSequence,
        Rejected::InvalidProducerEpoch,
        Rejected::ObjectTooOld,
        Rejected::ObjectCommitted,
        Rejected::SessionClosed,
        Rejected::InvalidCommand,
        Rejected::Withheld,
        Rejected::UnknownProducerId,
        Rejected::TooManyProducers,
        Rejected::TooManyTopics,
        Rejected::TooManyPartitions,
        Rejected::TooManySessions,
        Rejected::TooManyOutcomes,
        Rejected::TooManyDeletedTopics,
        Rejected::LevelTooHigh,
    ];
    cover!(
        all,
        Rejected,
        Rejected::UnknownTopic,
        Rejected::UnknownPartition,
        Rejected::TopicExists,
        Rejected::TopicNameCollides,
        Rejected::InvalidPartitions,
        Rejected::OutOfOrderSequence,
        Rejected::InvalidProducerEpoch,
        Rejected::ObjectTooOld,
        Rejected::ObjectCommitted,
        Rejected::SessionClosed,
        Rejected::InvalidCommand,
        Rejected::Withheld,
        Rejected::LevelTooHigh,
        Rejected::UnknownProducerId,
        Rejected::TooManyProducers,
        Rejected::TooManyTopics,
        Rejected::TooManyPartitions,
        Rejected::TooManySessions,
        Rejected::TooManyOutcomes,
        Rejected::TooManyDeletedTopics,
    );
    all
}

fn outcomes() -> Vec<Outcome> {
    let placed = |base_offset, duplicate| {
        Ok(Placed {
            base_offset: Offset(base_offset),
            log_start_offset: Offset(base_offset / 2),
            duplicate,
        })
    };
    let mut verdicts: Vec<Verdict> = vec![placed(0, false), placed(i64::MAX, true)];
    verdicts.extend(rejections().into_iter().map(Err));
    let mut all = vec![
        Outcome::Committed(Vec::new()),
        Outcome::Committed(verdicts),
        Outcome::TopicCreated(TOPIC),
        Outcome::TopicDeleted,
        Outcome::PartitionsCreated,
        Outcome::ProducerIds {
            first: ProducerId(1000),
            count: u32::MAX,
        },
        Outcome::SessionOpened(300),
        Outcome::ProducersExpired,
        Outcome::SessionClosed,
        Outcome::FeatureLevel(2),
        Outcome::OlderStoreAccepted,
        Outcome::HoldReleased,
        Outcome::BucketBound(None),
        Outcome::BucketBound(Some(BucketId(u128::MAX - 1))),
    ];
    all.extend(rejections().into_iter().map(Outcome::Rejected));
    cover!(
        all,
        Outcome,
        Outcome::Committed(_),
        Outcome::TopicCreated(_),
        Outcome::TopicDeleted,
        Outcome::PartitionsCreated,
        Outcome::ProducerIds { .. },
        Outcome::SessionOpened(_),
        Outcome::ProducersExpired,
        Outcome::SessionClosed,
        Outcome::BucketBound(_),
        Outcome::FeatureLevel(_),
        Outcome::OlderStoreAccepted,
        Outcome::HoldReleased,
        Outcome::Rejected(_),
    );
    all
}

fn extents() -> Vec<Extent> {
    let extent = |base_offset, record_count, codec| Extent {
        base_offset: Offset(base_offset),
        offset_span: record_count,
        record_count,
        max_timestamp: Timestamp(1_790_000_000_000),
        flags: ExtentFlags::default(),
        content: Content::Stored(Stored {
            object: ObjectKey(u128::MAX - 7),
            block: BlockRange {
                position: 0,
                stored_length: 1_000_000,
                raw_length: u32::MAX,
                codec,
                checksum: 0xdead_beef,
            },
            raw_start: 61,
            raw_length: 70,
        }),
    };
    let all = vec![
        extent(0, 1, BlockCodec::Raw),
        extent(1, u32::MAX, BlockCodec::Zstd),
    ];
    let codecs: Vec<_> = all
        .iter()
        .map(|extent| extent.stored().unwrap().block.codec)
        .collect();
    cover!(codecs, BlockCodec, BlockCodec::Raw, BlockCodec::Zstd);
    all
}

/// Blocks and batches of every kind.
fn committed(asked: Option<Asked>) -> Committed {
    let accepted = |raw_length, producer: Option<(i64, i16, bool)>| Judged {
        raw_length,
        judgement: Judgement::Accepted {
            record_count: raw_length / 10,
            max_timestamp: Timestamp(1_790_000_000_000 + i64::from(raw_length)),
            producer: producer.map(|(id, epoch, is_new)| BatchProducer {
                id: ProducerId(id),
                epoch: ProducerEpoch(epoch),
                base_sequence: Sequence(i32::MAX - i32::from(epoch)),
                share: Share(if is_new { u16::MAX } else { 0 }),
            }),
            is_new: producer.is_some_and(|(_, _, is_new)| is_new),
        },
    };
    let refused = |judgement| Judged {
        raw_length: 61,
        judgement,
    };
    let block = |topic, partition, range: (u32, u32, BlockCodec), batches| {
        let (position, raw_length, codec) = range;
        Block {
            partition: TopicPartition {
                topic,
                partition: PartitionIndex(partition),
            },
            range: BlockRange {
                position,
                stored_length: 90,
                raw_length,
                codec,
                checksum: 0xdead_beef,
            },
            batches,
            base_offset: Offset(1 << 40),
            log_start: Offset(i64::from(partition) / 8),
        }
    };
    Committed {
        object: ObjectKey(u128::MAX - 7),
        size: u64::MAX,
        asked,
        blocks: vec![
            block(TOPIC, 7, (32, 100, BlockCodec::Zstd), 1),
            block(TOPIC, 8, (122, 100, BlockCodec::Zstd), 1),
            block(TopicId(3), 63, (300, 322, BlockCodec::Raw), 4),
            block(TOPIC, i32::MAX, (390, 1, BlockCodec::Raw), 0),
        ],
        batches: vec![
            accepted(100, None),
            accepted(100, Some((5, 0, true))),
            accepted(100, Some((i64::MAX, i16::MAX, false))),
            refused(Judgement::Duplicate(Offset(1 << 50))),
            accepted(100, Some((4, 1, true))),
            refused(Judgement::Refused(Rejected::OutOfOrderSequence)),
        ],
    }
}

fn effects() -> Vec<Effect> {
    let partition = TopicPartition {
        topic: TOPIC,
        partition: PartitionIndex(63),
    };
    let created = TopicCreated {
        name: "orders.\u{e9}".to_owned(),
        partitions: 100_000,
        replication_factor: -1,
        configs: [
            ("retention.ms".to_owned(), "-1".to_owned()),
            (String::new(), String::new()),
        ]
        .into(),
        first_producer: ProducerId(64),
        created: Timestamp(1_790_000_000_000),
    };
    let asked = Asked {
        session: 128,
        sequence: 300,
        seen: 299,
    };
    let answered = (1..).zip(outcomes()).map(|(sequence, outcome)| {
        let answered = SessionEffect::Answered {
            sequence,
            seen: sequence - 1,
            outcome,
        };
        Effect::session(128, answered)
    });
    let mut all = vec![
        Effect::Committed(committed(None)),
        Effect::Committed(committed(Some(asked))),
        Effect::topic(TOPIC, TopicEffect::Created(created)),
        Effect::topic(TOPIC, TopicEffect::Deleted),
        Effect::topic(TOPIC, TopicEffect::PartitionsCreated { total: i32::MAX }),
        Effect::Partition {
            partition,
            what: PartitionEffect::LogStartMoved {
                to: Offset(i64::MAX),
            },
        },
        Effect::Partition {
            partition,
            what: PartitionEffect::EpochBegan {
                start: Offset(i64::MAX),
            },
        },
        Effect::Producers {
            partition,
            what: ProducersEffect::Forgotten(vec![ProducerId(0), ProducerId(i64::MAX)]),
        },
        Effect::session(u64::MAX, SessionEffect::Opened { nonce: 77 }),
        Effect::session(0, SessionEffect::Closed),
    ];
    all.extend(cluster_effects().into_iter().map(Effect::Cluster));
    all.extend(answered);
    cover!(
        all,
        Effect,
        Effect::Committed(_),
        Effect::Topic {
            what: TopicEffect::Created(_),
            ..
        },
        Effect::Topic {
            what: TopicEffect::Deleted,
            ..
        },
        Effect::Topic {
            what: TopicEffect::PartitionsCreated { .. },
            ..
        },
        Effect::Partition {
            what: PartitionEffect::LogStartMoved { .. },
            ..
        },
        Effect::Partition {
            what: PartitionEffect::EpochBegan { .. },
            ..
        },
        Effect::Producers {
            what: ProducersEffect::Forgotten(_),
            ..
        },
        Effect::Session {
            what: SessionEffect::Opened { .. },
            ..
        },
        Effect::Session {
            what: SessionEffect::Closed,
            ..
        },
        Effect::Session {
            what: SessionEffect::Answered { .. },
            ..
        },
        Effect::Cluster(_),
    );
    all
}

fn cluster_effects() -> Vec<ClusterEffect> {
    let all = vec![
        ClusterEffect::ProducerIdsAllocated {
            next: ProducerId(i64::MAX),
        },
        ClusterEffect::ProducersForgottenBefore {
            end: ProducerId(1000),
        },
        ClusterEffect::SessionNumbered { last: u64::MAX },
        ClusterEffect::BucketBound(BucketId(u128::MAX - 1)),
        ClusterEffect::NamingAdvanced {
            epoch: NamingEpoch(u32::MAX),
            now: Timestamp(i64::MAX),
        },
        ClusterEffect::FeatureLevelRaised { level: 300 },
        ClusterEffect::OlderStoreAccepted {
            history: HistoryId(u64::MAX),
            since: Timestamp(1_790_000_000_000),
            last_session: 1 << 32,
            next_producer: ProducerId(1 << 40),
        },
        ClusterEffect::HoldReleased,
    ];
    // The next level's has no bytes to be kept.
    #[cfg(not(feature = "level-2"))]
    cover!(
        all,
        ClusterEffect,
        ClusterEffect::ProducerIdsAllocated { .. },
        ClusterEffect::ProducersForgottenBefore { .. },
        ClusterEffect::SessionNumbered { .. },
        ClusterEffect::BucketBound(_),
        ClusterEffect::NamingAdvanced { .. },
        ClusterEffect::FeatureLevelRaised { .. },
        ClusterEffect::OlderStoreAccepted { .. },
        ClusterEffect::HoldReleased,
    );
    all
}

#[test]
fn every_effect_is_written_and_read_as_ever() {
    let (now, effects) = (Timestamp(1_790_000_000_123), effects());
    let mut log = LogBytes::new(now);
    effects.iter().for_each(|effect| log.push(effect));
    let encoded = log.into_rows(usize::MAX).concat().into();
    let old = decode_entry(golden("effects-1.bin", &encoded)).unwrap();
    assert_eq!((old.now, old.effects), (now, effects));
}

#[test]
fn every_outcome_is_written_and_read_as_ever() {
    let mut encoded = Encoder::default();
    outcomes().put(&mut encoded);
    let mut old = Decoder::new(golden("outcomes-1.bin", &encoded.into_bytes()));
    assert_eq!(Wire::take(&mut old), Ok(outcomes()));
    assert_eq!(old.end(), Ok(()));
}

/// Extents of every kind, in a row that names two agents.
fn index_extents() -> Vec<Extent> {
    let mut all = extents();
    let marker = Marker {
        producer: ProducerId(i64::MAX),
        epoch: ProducerEpoch(i16::MAX),
        committed: true,
    };
    let stored = Content::Stored(Stored {
        object: ObjectKey(7 << 96),
        ..*all[0].stored().unwrap()
    });
    for content in [
        stored,
        Content::Marker(marker),
        Content::Compacted,
        Content::Lost,
    ] {
        all.push(Extent {
            base_offset: all.last().map_or(Offset(0), Extent::end_offset),
            offset_span: 100,
            record_count: 3,
            max_timestamp: Timestamp(-1),
            flags: ExtentFlags {
                offsets_in_bytes: true,
                transactional: true,
                control: true,
            },
            content,
        });
    }
    let contents: Vec<_> = all.iter().map(|extent| extent.content).collect();
    cover!(
        contents,
        Content,
        Content::Stored(_),
        Content::Marker(_),
        Content::Compacted,
        Content::Lost,
    );
    all
}

#[test]
fn an_index_row_is_written_and_read_as_ever() {
    let chunk = Chunk {
        first: true,
        extents: index_extents(),
    };
    let old = golden("index-1.bin", &chunk.encode());
    assert_eq!(Chunk::decode(old), Ok(chunk));
}

#[test]
fn damage_is_refused_and_never_panics() {
    let mut log = LogBytes::new(Timestamp(0));
    effects().iter().for_each(|effect| log.push(effect));
    let whole: Bytes = log.into_rows(usize::MAX).concat().into();
    for at in 0..whole.len() {
        let mut damaged = BytesMut::from(&whole[..]);
        damaged[at] ^= 0xff;
        assert!(decode_entry(damaged.freeze()).is_err(), "{at}");
        assert!(decode_entry(whole.slice(..at)).is_err(), "{at}");
        // What the checksum does not tell is told all the same.
        let mut effects = Decoder::new(whole.slice(at..));
        while !effects.is_empty() && Effect::take(&mut effects).is_ok() {}
    }
    let row = Chunk {
        first: true,
        extents: index_extents(),
    }
    .encode();
    for at in 0..row.len() {
        let _ = Chunk::decode(row.slice(..at));
    }
    assert!(
        Chunk::decode(Bytes::from_static(&[2, 0])).is_err(),
        "a newer version"
    );
    assert!(
        decode_entry(Bytes::from_static(&[2, 0])).is_err(),
        "a newer version"
    );
}

/// Numbers and times that come again.
fn options() -> Options {
    let count = AtomicU64::new(0);
    Options {
        random: Arc::new(move || count.fetch_add(0x0101_0101, Ordering::Relaxed)),
        ..Options::new(Arc::new(|| Timestamp(1_790_000_000_000)))
    }
}

fn commit(object: u32, base_sequence: i32) -> Command {
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

fn create(id: TopicId, name: &str) -> Command {
    Command::CreateTopic(CreateTopic {
        name: name.to_owned(),
        id,
        partitions: 2,
        replication_factor: 3,
        configs: [("retention.ms".to_owned(), "1000".to_owned())].into(),
    })
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
    let mut kinds = BTreeSet::new();
    let mut bytes = BytesMut::new();
    for (key, row) in memory.snapshot() {
        kinds.insert(kind(Key::decode(&key).unwrap()));
        bytes.put_u32(u32::try_from(key.len()).unwrap());
        bytes.put_u32(u32::try_from(row.len()).unwrap());
        bytes.extend_from_slice(&key);
        bytes.extend_from_slice(&row);
    }
    assert_eq!(kinds, (0..KINDS).collect(), "rows of every kind");
    bytes.freeze()
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

#[tokio::test]
async fn a_whole_store_is_written_and_read_as_ever() {
    let mut old = golden("store-1.bin", &store().await);
    let memory = Memory::new();
    let mut transaction = Transaction::default();
    while old.has_remaining() {
        let (key, row) = (old.get_u32() as usize, old.get_u32() as usize);
        transaction.set(old.split_to(key), old.split_to(row));
    }
    memory.commit(transaction).await.unwrap();
    let (metadata, sequencer) = start(Arc::new(memory), options()).await.unwrap();
    let script = async {
        let topic = metadata.catalogue().topic("orders").cloned().unwrap();
        assert_eq!(
            (topic.id, topic.partitions, topic.replication_factor),
            (TOPIC, 2, 3)
        );
        assert_eq!(topic.configs["retention.ms"], "1000");
        assert_eq!(topic.created, Timestamp(1_790_000_000_000));
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
