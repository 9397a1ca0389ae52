//! Everything that can happen: the only content of the log. Effects say what was decided, so replay never decides again.
//! Their encoding is versioned; `tests/golden/` holds bytes that must stay readable for ever.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::codec::{Decoder, Encoder, Unreadable};
use crate::command::{Outcome, Placed, Rejected, Verdict};
use crate::history::HistoryId;
use crate::types::{
    BlockCodec, BlockRange, BucketId, Content, Extent, ExtentFlags, Marker, NamingEpoch, ObjectKey,
    Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Stored, Timestamp, TopicId,
    TopicPartition,
};

/// The version that log rows are written in.
const VERSION: u8 = 1;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    TopicCreated(TopicCreated),
    TopicDeleted(TopicId),
    PartitionsCreated {
        topic: TopicId,
        total: i32,
    },
    ProducerIdsAllocated {
        next: ProducerId,
    },
    /// An object became part of the metadata; `references` extents follow.
    ObjectCommitted {
        object: ObjectKey,
        size: u64,
        references: u32,
    },
    Appended(Appended),
    /// Producers silent since then were forgotten.
    ProducersExpired {
        before: Timestamp,
    },
    SessionOpened {
        session: u64,
        /// Tells it from another one that had this id.
        nonce: u64,
    },
    SessionClosed {
        session: u64,
    },
    /// What the cluster as a whole agreed on.
    Cluster(ClusterEffect),
    /// A partition's present leader epoch began: records from there on are of a history that was begun anew.
    EpochBegan {
        partition: TopicPartition,
        start: Offset,
    },
    /// Segments lie in that bucket, from now on and for ever.
    BucketBound(BucketId),
    /// A command of a session was answered; it has seen all outcomes up to `seen`, exclusive.
    Answered {
        session: u64,
        sequence: u64,
        seen: u64,
        outcome: Outcome,
    },
    /// Objects are named in this epoch from now on.
    NamingAdvanced {
        epoch: NamingEpoch,
    },
}

/// See `state::cluster`. Numbers are those after it, so that folding it again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClusterEffect {
    FeatureLevelRaised {
        level: u32,
    },
    /// An operator accepted a store that had gone back in time.
    OlderStoreAccepted {
        history: HistoryId,
        since: Timestamp,
        next_session: u64,
        next_producer: ProducerId,
    },
    /// Objects that are not known may be deleted again.
    HoldReleased,
    /// Says nothing: it is there to be met by versions that do not know it.
    #[cfg(feature = "level-2")]
    Trial(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicCreated {
    pub(crate) id: TopicId,
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) replication_factor: i16,
    pub(crate) configs: BTreeMap<String, String>,
    /// Producer ids from here on were handed out after the topic was made.
    pub(crate) first_producer: ProducerId,
}

/// A run of record batches joined a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) partition: TopicPartition,
    pub(crate) extent: Extent,
    /// The run's batches of idempotent producers, in order.
    pub(crate) producers: Vec<ProducerBatch>,
}

/// What an accepted batch says of its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerBatch {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    pub(crate) base_sequence: Sequence,
    pub(crate) record_count: u32,
    pub(crate) base_offset: Offset,
}

/// The effects of a drain with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogEntry {
    pub(crate) now: Timestamp,
    pub(crate) effects: Vec<Effect>,
}

/// The effects of a drain as bytes, growing.
#[derive(Debug)]
pub(crate) struct LogBytes(Encoder);

impl LogBytes {
    pub(crate) fn new(now: Timestamp) -> Self {
        let mut bytes = Encoder::versioned(VERSION);
        bytes.i64(now.0);
        Self(bytes)
    }

    pub(crate) fn push(&mut self, effect: &Effect) {
        effect.encode(&mut self.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Cut into rows, for stores limit values; joined again they are what [`decode_entry`] reads.
    pub(crate) fn into_rows(self, row_bytes_max: usize) -> Vec<Bytes> {
        cut(self.0.into_bytes(), row_bytes_max)
    }
}

/// Bytes in pieces, of which only the last may be shorter.
pub(crate) fn cut(mut bytes: Bytes, piece_bytes: usize) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while bytes.len() > piece_bytes {
        pieces.push(bytes.split_to(piece_bytes));
    }
    pieces.push(bytes);
    pieces
}

/// The rows of one drain, joined.
pub(crate) fn decode_entry(bytes: Bytes) -> Result<LogEntry, Unreadable> {
    let mut bytes = Decoder::versioned(bytes, VERSION)?;
    let now = Timestamp(bytes.i64()?);
    let mut effects = Vec::new();
    while !bytes.is_empty() {
        effects.push(Effect::decode(&mut bytes)?);
    }
    Ok(LogEntry { now, effects })
}

impl Effect {
    fn encode(&self, row: &mut Encoder) {
        match self {
            Self::TopicCreated(created) => {
                row.u8(1);
                created.encode(row);
            }
            Self::TopicDeleted(topic) => {
                row.u8(2);
                row.topic(*topic);
            }
            Self::PartitionsCreated { topic, total } => {
                row.u8(3);
                row.topic(*topic);
                row.i64((*total).into());
            }
            Self::ProducerIdsAllocated { next } => {
                row.u8(4);
                row.i64(next.0);
            }
            Self::ObjectCommitted {
                object,
                size,
                references,
            } => {
                row.u8(5);
                row.object(*object);
                row.u64(*size);
                row.u32(*references);
            }
            Self::Appended(appended) => {
                row.u8(6);
                appended.encode(row);
            }
            Self::ProducersExpired { before } => {
                row.u8(7);
                row.i64(before.0);
            }
            Self::SessionOpened { session, nonce } => {
                row.u8(8);
                row.u64(*session);
                row.u64(*nonce);
            }
            Self::SessionClosed { session } => {
                row.u8(9);
                row.u64(*session);
            }
            Self::Answered {
                session,
                sequence,
                seen,
                outcome,
            } => {
                row.u8(10);
                row.u64(*session);
                row.u64(*sequence);
                row.u64(*seen);
                encode_outcome(outcome, row);
            }
            Self::Cluster(effect) => {
                row.u8(20);
                effect.encode(row);
            }
            Self::EpochBegan { partition, start } => {
                row.u8(21);
                row.topic(partition.topic);
                row.i64(partition.partition.0.into());
                row.i64(start.0);
            }
            Self::BucketBound(bucket) => {
                row.u8(11);
                row.u128(bucket.0);
            }
            Self::NamingAdvanced { epoch } => {
                row.u8(12);
                row.u32(epoch.0);
            }
        }
    }

    fn decode(row: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(match row.u8()? {
            1 => Self::TopicCreated(TopicCreated::decode(row)?),
            2 => Self::TopicDeleted(row.topic()?),
            3 => Self::PartitionsCreated {
                topic: row.topic()?,
                total: row.i32()?,
            },
            4 => Self::ProducerIdsAllocated {
                next: ProducerId(row.i64()?),
            },
            5 => Self::ObjectCommitted {
                object: row.object()?,
                size: row.u64()?,
                references: row.u32()?,
            },
            6 => Self::Appended(Appended::decode(row)?),
            7 => Self::ProducersExpired {
                before: Timestamp(row.i64()?),
            },
            8 => Self::SessionOpened {
                session: row.u64()?,
                nonce: row.u64()?,
            },
            9 => Self::SessionClosed {
                session: row.u64()?,
            },
            10 => Self::Answered {
                session: row.u64()?,
                sequence: row.u64()?,
                seen: row.u64()?,
                outcome: decode_outcome(row)?,
            },
            11 => Self::BucketBound(BucketId(row.u128()?)),
            12 => Self::NamingAdvanced {
                epoch: NamingEpoch(row.u32()?),
            },
            20 => Self::Cluster(ClusterEffect::decode(row)?),
            21 => Self::EpochBegan {
                partition: TopicPartition {
                    topic: row.topic()?,
                    partition: PartitionIndex(row.i32()?),
                },
                start: Offset(row.i64()?),
            },
            _ => return Err(Unreadable),
        })
    }
}

impl ClusterEffect {
    fn encode(&self, row: &mut Encoder) {
        match self {
            Self::FeatureLevelRaised { level } => {
                row.u8(1);
                row.u32(*level);
            }
            Self::OlderStoreAccepted {
                history,
                since,
                next_session,
                next_producer,
            } => {
                row.u8(2);
                row.u64(history.0);
                row.i64(since.0);
                row.u64(*next_session);
                row.i64(next_producer.0);
            }
            Self::HoldReleased => row.u8(3),
            #[cfg(feature = "level-2")]
            Self::Trial(number) => {
                row.u8(200);
                row.u64(*number);
            }
        }
    }

    fn decode(row: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(match row.u8()? {
            1 => Self::FeatureLevelRaised { level: row.u32()? },
            2 => Self::OlderStoreAccepted {
                history: HistoryId(row.u64()?),
                since: Timestamp(row.i64()?),
                next_session: row.u64()?,
                next_producer: ProducerId(row.i64()?),
            },
            3 => Self::HoldReleased,
            #[cfg(feature = "level-2")]
            200 if crate::level::known() >= 2 => Self::Trial(row.u64()?),
            _ => return Err(Unreadable),
        })
    }
}

impl TopicCreated {
    pub(crate) fn encode(&self, row: &mut Encoder) {
        row.topic(self.id);
        row.text(&self.name);
        row.i64(self.partitions.into());
        row.i64(self.replication_factor.into());
        row.texts(&self.configs);
        row.i64(self.first_producer.0);
    }

    pub(crate) fn decode(row: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(Self {
            id: row.topic()?,
            name: row.text()?,
            partitions: row.i32()?,
            replication_factor: row.i16()?,
            configs: row.texts()?,
            first_producer: ProducerId(row.i64()?),
        })
    }
}

impl Appended {
    fn encode(&self, row: &mut Encoder) {
        row.topic(self.partition.topic);
        row.i64(self.partition.partition.0.into());
        encode_extent(&self.extent, row);
        row.u64(self.producers.len() as u64);
        for batch in &self.producers {
            batch.encode(row);
        }
    }

    fn decode(row: &mut Decoder) -> Result<Self, Unreadable> {
        let partition = TopicPartition {
            topic: row.topic()?,
            partition: PartitionIndex(row.i32()?),
        };
        let extent = decode_extent(row)?;
        Ok(Self {
            partition,
            extent,
            producers: row.list(ProducerBatch::decode)?,
        })
    }
}

impl ProducerBatch {
    pub(crate) fn encode(&self, row: &mut Encoder) {
        row.i64(self.id.0);
        row.i64(self.epoch.0.into());
        row.i64(self.base_sequence.0.into());
        row.u32(self.record_count);
        row.i64(self.base_offset.0);
    }

    pub(crate) fn decode(row: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(Self {
            id: ProducerId(row.i64()?),
            epoch: ProducerEpoch(row.i16()?),
            base_sequence: Sequence(row.i32()?),
            record_count: row.u32()?,
            base_offset: Offset(row.i64()?),
        })
    }
}

pub(crate) fn encode_extent(extent: &Extent, row: &mut Encoder) {
    row.i64(extent.base_offset.0);
    row.u32(extent.offset_span);
    row.u32(extent.record_count);
    row.i64(extent.max_timestamp.0);
    let ExtentFlags {
        offsets_in_bytes,
        transactional,
        control,
    } = extent.flags;
    row.u8(u8::from(offsets_in_bytes) | u8::from(transactional) << 1 | u8::from(control) << 2);
    match extent.content {
        Content::Stored(stored) => {
            row.u8(1);
            row.object(stored.object);
            encode_range(&stored.block, row);
            row.u32(stored.raw_start);
            row.u32(stored.raw_length);
        }
        Content::Marker(marker) => {
            row.u8(2);
            row.i64(marker.producer.0);
            row.i64(marker.epoch.0.into());
            row.u8(marker.committed.into());
        }
        Content::Compacted => row.u8(3),
        Content::Lost => row.u8(4),
    }
}

pub(crate) fn decode_extent(row: &mut Decoder) -> Result<Extent, Unreadable> {
    Ok(Extent {
        base_offset: Offset(row.i64()?),
        offset_span: row.u32()?,
        record_count: row.u32()?,
        max_timestamp: Timestamp(row.i64()?),
        flags: match row.u8()? {
            bits @ 0..=7 => ExtentFlags {
                offsets_in_bytes: bits & 1 != 0,
                transactional: bits & 2 != 0,
                control: bits & 4 != 0,
            },
            _ => return Err(Unreadable),
        },
        content: match row.u8()? {
            1 => Content::Stored(Stored {
                object: row.object()?,
                block: decode_range(row)?,
                raw_start: row.u32()?,
                raw_length: row.u32()?,
            }),
            2 => Content::Marker(Marker {
                producer: ProducerId(row.i64()?),
                epoch: ProducerEpoch(row.i16()?),
                committed: match row.u8()? {
                    flag @ (0 | 1) => flag == 1,
                    _ => return Err(Unreadable),
                },
            }),
            3 => Content::Compacted,
            4 => Content::Lost,
            _ => return Err(Unreadable),
        },
    })
}

pub(crate) fn encode_range(range: &BlockRange, row: &mut Encoder) {
    row.u32(range.position);
    row.u32(range.stored_length);
    row.u32(range.raw_length);
    row.u8(match range.codec {
        BlockCodec::Raw => 0,
        BlockCodec::Zstd => 1,
    });
    row.u32(range.checksum);
}

pub(crate) fn decode_range(row: &mut Decoder) -> Result<BlockRange, Unreadable> {
    Ok(BlockRange {
        position: row.u32()?,
        stored_length: row.u32()?,
        raw_length: row.u32()?,
        codec: match row.u8()? {
            0 => BlockCodec::Raw,
            1 => BlockCodec::Zstd,
            _ => return Err(Unreadable),
        },
        checksum: row.u32()?,
    })
}

pub(crate) fn encode_outcome(outcome: &Outcome, row: &mut Encoder) {
    match outcome {
        Outcome::Committed(verdicts) => {
            row.u8(1);
            row.u64(verdicts.len() as u64);
            for verdict in verdicts {
                encode_verdict(verdict, row);
            }
        }
        Outcome::TopicCreated(topic) => {
            row.u8(2);
            row.topic(*topic);
        }
        Outcome::TopicDeleted => row.u8(3),
        Outcome::PartitionsCreated => row.u8(4),
        Outcome::ProducerIds { first, count } => {
            row.u8(5);
            row.i64(first.0);
            row.u32(*count);
        }
        Outcome::Rejected(rejected) => {
            row.u8(6);
            row.u8(rejected_code(*rejected));
        }
        Outcome::SessionOpened(session) => {
            row.u8(7);
            row.u64(*session);
        }
        Outcome::ProducersExpired => row.u8(8),
        Outcome::SessionClosed => row.u8(9),
        Outcome::FeatureLevel(level) => {
            row.u8(20);
            row.u32(*level);
        }
        Outcome::OlderStoreAccepted => row.u8(21),
        Outcome::HoldReleased => row.u8(22),
        Outcome::BucketBound(bucket) => {
            row.u8(10);
            encode_bucket(*bucket, row);
        }
    }
}

pub(crate) fn decode_outcome(row: &mut Decoder) -> Result<Outcome, Unreadable> {
    Ok(match row.u8()? {
        1 => Outcome::Committed(row.list(decode_verdict)?),
        2 => Outcome::TopicCreated(row.topic()?),
        3 => Outcome::TopicDeleted,
        4 => Outcome::PartitionsCreated,
        5 => Outcome::ProducerIds {
            first: ProducerId(row.i64()?),
            count: row.u32()?,
        },
        6 => Outcome::Rejected(rejected(row.u8()?)?),
        7 => Outcome::SessionOpened(row.u64()?),
        8 => Outcome::ProducersExpired,
        9 => Outcome::SessionClosed,
        10 => Outcome::BucketBound(decode_bucket(row)?),
        20 => Outcome::FeatureLevel(row.u32()?),
        21 => Outcome::OlderStoreAccepted,
        22 => Outcome::HoldReleased,
        _ => return Err(Unreadable),
    })
}

pub(crate) fn encode_bucket(bucket: Option<BucketId>, row: &mut Encoder) {
    match bucket {
        None => row.u8(0),
        Some(bucket) => {
            row.u8(1);
            row.u128(bucket.0);
        }
    }
}

pub(crate) fn decode_bucket(row: &mut Decoder) -> Result<Option<BucketId>, Unreadable> {
    Ok(match row.u8()? {
        0 => None,
        1 => Some(BucketId(row.u128()?)),
        _ => return Err(Unreadable),
    })
}

/// 0: placed, 1: a duplicate, else 1 more than the refusal's code.
fn encode_verdict(verdict: &Verdict, row: &mut Encoder) {
    match verdict {
        Ok(placed) => {
            row.u8(u8::from(placed.duplicate));
            row.i64(placed.base_offset.0);
            row.i64(placed.log_start_offset.0);
        }
        Err(rejected) => row.u8(rejected_code(*rejected) + 1),
    }
}

fn decode_verdict(row: &mut Decoder) -> Result<Verdict, Unreadable> {
    Ok(match row.u8()? {
        flag @ (0 | 1) => Ok(Placed {
            base_offset: Offset(row.i64()?),
            log_start_offset: Offset(row.i64()?),
            duplicate: flag == 1,
        }),
        code => Err(rejected(code - 1)?),
    })
}

/// Codes never change their meaning; new refusals get new ones.
const REJECTED: &[(u8, Rejected)] = &[
    (1, Rejected::UnknownTopic),
    (2, Rejected::UnknownPartition),
    (3, Rejected::TopicExists),
    (4, Rejected::TopicNameCollides),
    (5, Rejected::InvalidPartitions),
    (6, Rejected::OutOfOrderSequence),
    (7, Rejected::InvalidProducerEpoch),
    (8, Rejected::ObjectTooOld),
    (9, Rejected::ObjectCommitted),
    (10, Rejected::SessionClosed),
    (11, Rejected::InvalidCommand),
    (12, Rejected::Withheld),
    (30, Rejected::LevelTooHigh),
];

fn rejected_code(rejected: Rejected) -> u8 {
    let found = REJECTED.iter().find(|(_, each)| *each == rejected);
    found
        .map(|(code, _)| *code)
        .expect("every refusal has a code")
}

fn rejected(code: u8) -> Result<Rejected, Unreadable> {
    let found = REJECTED.iter().find(|(each, _)| *each == code);
    found.map(|(_, rejected)| *rejected).ok_or(Unreadable)
}
