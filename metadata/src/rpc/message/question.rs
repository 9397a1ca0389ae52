//! What an agent can ask.

use super::WATCHED_MAX;
use super::parts::{decode_list, decode_partition, encode_partition, encode_partitions};
use crate::codec::{Decoder, Encoder, Unreadable};
use crate::sequencer::reads::{PARTITIONS_MAX, weight};
use crate::types::{Offset, Timestamp, TopicPartition};

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Bounds(Vec<TopicPartition>),
    /// Answered after the views of those that there are.
    Watch(Vec<TopicPartition>),
    Locate {
        partition: TopicPartition,
        offset: Offset,
        raw_bytes_max: u64,
    },
    Timestamp(TopicPartition, Timestamp),
    MaxTimestamp(TopicPartition),
}

impl Question {
    /// What it weighs until the answer is on its way, as a [`crate::sequencer::reads::Read`] does.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Bounds(partitions) => weight(partitions.len(), false),
            Self::Watch(partitions) => weight(partitions.len(), true),
            Self::Locate { .. } | Self::Timestamp(..) | Self::MaxTimestamp(_) => weight(1, true),
        }
    }

    pub(super) fn encode(&self, frame: &mut Encoder) {
        match self {
            Self::Bounds(partitions) => {
                frame.u8(1);
                encode_partitions(partitions, frame);
            }
            Self::Watch(partitions) => {
                frame.u8(2);
                encode_partitions(partitions, frame);
            }
            Self::Locate {
                partition,
                offset,
                raw_bytes_max,
            } => {
                frame.u8(3);
                encode_partition(*partition, frame);
                frame.i64(offset.0);
                frame.u64(*raw_bytes_max);
            }
            Self::Timestamp(partition, timestamp) => {
                frame.u8(4);
                encode_partition(*partition, frame);
                frame.i64(timestamp.0);
            }
            Self::MaxTimestamp(partition) => {
                frame.u8(5);
                encode_partition(*partition, frame);
            }
        }
    }

    pub(super) fn decode(frame: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(match frame.u8()? {
            1 => Self::Bounds(decode_list(frame, PARTITIONS_MAX, decode_partition)?),
            2 => Self::Watch(decode_list(frame, WATCHED_MAX, decode_partition)?),
            3 => Self::Locate {
                partition: decode_partition(frame)?,
                offset: Offset(frame.i64()?),
                raw_bytes_max: frame.u64()?,
            },
            4 => Self::Timestamp(decode_partition(frame)?, Timestamp(frame.i64()?)),
            5 => Self::MaxTimestamp(decode_partition(frame)?),
            _ => return Err(Unreadable),
        })
    }
}
