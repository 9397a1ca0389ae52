//! Every effect, in a log entry.

use bytes::{Bytes, BytesMut};

use super::outcomes::outcomes;
use super::{TOPIC, cover, golden};
use crate::codec::{Decoder, Wire};
use crate::command::{BatchProducer, Rejected};
use crate::effect::{
    Asked, Block, ClusterEffect, Committed, Effect, Judged, Judgement, LogBytes, PartitionEffect,
    ProducersEffect, SessionEffect, TopicCreated, TopicEffect, decode_entry,
};
use crate::types::{
    BatchFlags, BlockCodec, BlockRange, BucketId, HistoryId, LostRange, Lsn, NamingEpoch,
    ObjectKey, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Share, Timestamp,
    TopicId, TopicPartition,
};

/// Blocks and batches of every kind.
fn committed(asked: Option<Asked>) -> Committed {
    let accepted = |raw_length, producer: Option<(i64, i16, bool)>| Judged {
        raw_length,
        judgement: Judgement::Accepted {
            record_count: raw_length / 10,
            max_timestamp: Timestamp(1_790_000_000_000 + i64::from(raw_length)),
            flags: BatchFlags {
                transactional: producer.is_some(),
                control: producer.is_some_and(|(_, _, is_new)| is_new),
            },
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
        Effect::topic(TOPIC, TopicEffect::Deleted { held: true }),
        Effect::topic(TOPIC, TopicEffect::PartitionsCreated { total: i32::MAX }),
        Effect::topic(
            TOPIC,
            TopicEffect::MarkedLost(LostRange {
                partition: PartitionIndex(63),
                from: Offset(300),
                until: Offset(i64::MAX),
            }),
        ),
        Effect::Partition {
            partition,
            what: PartitionEffect::LogStartMoved {
                to: Offset(i64::MAX),
            },
        },
        Effect::Partition {
            partition,
            what: PartitionEffect::EpochBegan {
                epoch: i32::MAX,
                start: Offset(i64::MAX),
            },
        },
        Effect::Partition {
            partition,
            what: PartitionEffect::IndexSwapped {
                generation: u32::MAX,
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
            what: TopicEffect::Deleted { .. },
            ..
        },
        Effect::Topic {
            what: TopicEffect::PartitionsCreated { .. },
            ..
        },
        Effect::Topic {
            what: TopicEffect::MarkedLost(_),
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
        Effect::Partition {
            what: PartitionEffect::IndexSwapped { .. },
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
    let mut all = vec![
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
            leader_epoch: 7,
        },
        ClusterEffect::HoldReleased,
    ];
    // The next level's is in a file of its own: `store-2.bin`.
    all.push(ClusterEffect::Trial(0));
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
        ClusterEffect::Trial(_),
    );
    all.pop();
    all
}

/// Of the drain that they are.
const LSN: Lsn = Lsn(7);

#[test]
fn every_effect_is_written_and_read_as_ever() {
    let (now, effects) = (Timestamp(1_790_000_000_123), effects());
    let mut log = LogBytes::new(now);
    effects.iter().for_each(|effect| log.push(effect));
    let encoded = log.into_rows(LSN, usize::MAX).concat().into();
    let old = decode_entry(LSN, golden("effects-1.bin", &encoded)).unwrap();
    assert_eq!((old.now, old.effects), (now, effects));
}

#[test]
fn damage_is_refused_and_never_panics() {
    let mut log = LogBytes::new(Timestamp(0));
    effects().iter().for_each(|effect| log.push(effect));
    let whole: Bytes = log.into_rows(LSN, usize::MAX).concat().into();
    for at in 0..whole.len() {
        let mut damaged = BytesMut::from(&whole[..]);
        damaged[at] ^= 0xff;
        assert!(decode_entry(LSN, damaged.freeze()).is_err(), "{at}");
        assert!(decode_entry(LSN, whole.slice(..at)).is_err(), "{at}");
        // What the checksum does not tell is told all the same.
        let mut effects = Decoder::new(whole.slice(at..));
        while !effects.is_empty() && Effect::take(&mut effects).is_ok() {}
    }
    assert!(
        decode_entry(LSN, Bytes::from_static(&[2, 0])).is_err(),
        "a newer version"
    );
}
