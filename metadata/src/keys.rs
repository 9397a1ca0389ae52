//! Every key of the store: the whole data model on a page. A key is a shard (always 0 so far), a letter for the kind of
//! row, and big-endian fields, so that rows of a kind lie together in order.

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{Decoder, Unreadable};
use crate::types::{Lsn, ObjectKey, Offset, PartitionIndex, ProducerId, TopicId, TopicPartition};

const SHARD: u8 = 0;
/// Every kind of row, in order.
const KINDS: &[u8] = b"abcdfhklnopqstx";

/// One row of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// The store's format version and the cluster's id. Written once, and where the feature level is raised.
    Format,
    /// Who may write: an epoch and a name. Rewritten by each take-over.
    Owner,
    /// The last drain: its lsn and a random nonce. Rewritten by each drain.
    Head,
    /// Who wrote which part of the log. Rewritten by each take-over, together with the owner.
    Lineage,
    /// Up to where rows are complete.
    Checkpoint,
    /// Part of the effects of one drain. Rows past the head's lsn are nothing: their drain was never finished.
    Log(Lsn, u16),
    /// A topic: its name, size and settings.
    Topic(TopicId),
    /// A partition's watermarks.
    Partition(TopicPartition),
    /// What a partition remembers of a producer.
    Producer(TopicPartition, ProducerId),
    /// A partition's index: its generation, the level, and the offset at which the row ends. Level 0 has extents, those
    /// above sum up rows.
    Index(TopicPartition, u32, u8, Offset),
    /// An object: its size and how many extents lie in it.
    Object(ObjectKey),
    /// An agent's session.
    Session(u64),
    /// Part of an outcome that a session has not seen yet: session, sequence.
    Outcome(u64, u64, u16),
    /// What there is one of: counters, and the time.
    Cluster,
    /// A deleted topic whose index rows are still to be given back.
    Deleted(TopicId),
}

impl Key {
    pub(crate) fn encode(self) -> Bytes {
        let mut key = BytesMut::with_capacity(40);
        key.put_u8(SHARD);
        match self {
            Self::Format => key.put_u8(b'f'),
            Self::Owner => key.put_u8(b'o'),
            Self::Head => key.put_u8(b'h'),
            Self::Lineage => key.put_u8(b'n'),
            Self::Checkpoint => key.put_u8(b'c'),
            Self::Cluster => key.put_u8(b'k'),
            Self::Log(lsn, part) => {
                key.put_u8(b'l');
                key.put_u64(lsn.0);
                key.put_u16(part);
            }
            Self::Topic(topic) => {
                key.put_u8(b't');
                key.put_u128(topic.0);
            }
            Self::Partition(partition) => {
                key.put_u8(b'p');
                put_partition(&mut key, partition);
            }
            Self::Producer(partition, id) => {
                key.put_u8(b'q');
                put_partition(&mut key, partition);
                key.put_u64(id.0.unsigned_abs());
            }
            Self::Index(partition, generation, level, end) => {
                key.put_u8(b'x');
                put_partition(&mut key, partition);
                key.put_u32(generation);
                key.put_u8(level);
                key.put_u64(end.0.unsigned_abs());
            }
            Self::Object(object) => {
                key.put_u8(b'b');
                key.put_u128(object.0);
            }
            Self::Session(session) => {
                key.put_u8(b's');
                key.put_u64(session);
            }
            Self::Outcome(session, sequence, part) => {
                key.put_u8(b'a');
                key.put_u64(session);
                key.put_u64(sequence);
                key.put_u16(part);
            }
            Self::Deleted(topic) => {
                key.put_u8(b'd');
                key.put_u128(topic.0);
            }
        }
        key.freeze()
    }

    /// What the row is called where an operator is told of it, and what it is for, of those of which there is one.
    pub(crate) fn in_words(self) -> Option<&'static str> {
        Some(match self {
            Self::Format => "the format row, which says whose store it is and who can read it,",
            Self::Owner => "the owner row, which says who may write,",
            Self::Head => "the head row, which says how far the log goes,",
            Self::Lineage => "the lineage row, which says who wrote which part of the log,",
            Self::Checkpoint => "the checkpoint row, which says where the log begins,",
            Self::Cluster => "the cluster row, which has what there is one of in the cluster,",
            _ => return None,
        })
    }

    /// What a key names.
    pub(crate) fn decode(key: &Bytes) -> Result<Self, Unreadable> {
        let mut rest = Decoder::new(key.clone());
        let (shard, kind) = (rest.u8()?, rest.u8()?);
        if shard != SHARD {
            return Err(Unreadable);
        }
        let key = match kind {
            b'f' => Self::Format,
            b'o' => Self::Owner,
            b'h' => Self::Head,
            b'n' => Self::Lineage,
            b'c' => Self::Checkpoint,
            b'k' => Self::Cluster,
            b'l' => Self::Log(Lsn(rest.fixed_u64()?), rest.fixed_u16()?),
            b't' => Self::Topic(rest.topic()?),
            b'p' => Self::Partition(partition(&mut rest)?),
            b'q' => Self::Producer(partition(&mut rest)?, producer(&mut rest)?),
            b'x' => Self::Index(
                partition(&mut rest)?,
                rest.fixed_u32()?,
                rest.u8()?,
                offset(&mut rest)?,
            ),
            b'b' => Self::Object(rest.object()?),
            b's' => Self::Session(rest.fixed_u64()?),
            b'a' => Self::Outcome(rest.fixed_u64()?, rest.fixed_u64()?, rest.fixed_u16()?),
            b'd' => Self::Deleted(rest.topic()?),
            _ => return Err(Unreadable),
        };
        rest.end()?;
        Ok(key)
    }
}

/// All rows of a kind, as a half-open range of keys.
pub(crate) fn all(kind: u8) -> (Bytes, Bytes) {
    (
        Bytes::copy_from_slice(&[SHARD, kind]),
        Bytes::copy_from_slice(&[SHARD, kind + 1]),
    )
}

/// Where no rows are unless a newer version wrote them, as half-open ranges of keys.
pub(crate) fn gaps() -> impl Iterator<Item = (Bytes, Bytes)> {
    let kinds = KINDS.iter().map(|kind| all(*kind));
    let starts = std::iter::once(Bytes::new()).chain(kinds.clone().map(|(_, end)| end));
    let last = Bytes::from_static(&[u8::MAX; 64]);
    let ends = kinds.map(|(start, _)| start).chain([last]);
    starts.zip(ends).filter(|(start, end)| start < end)
}

fn put_partition(key: &mut BytesMut, partition: TopicPartition) {
    key.put_u128(partition.topic.0);
    key.put_u32(partition.partition.0.unsigned_abs());
}

fn partition(rest: &mut Decoder) -> Result<TopicPartition, Unreadable> {
    let topic = rest.topic()?;
    let partition = i32::try_from(rest.fixed_u32()?).map_err(|_| Unreadable)?;
    Ok(TopicPartition {
        topic,
        partition: PartitionIndex(partition),
    })
}

fn producer(rest: &mut Decoder) -> Result<ProducerId, Unreadable> {
    i64::try_from(rest.fixed_u64()?)
        .map(ProducerId)
        .map_err(|_| Unreadable)
}

fn offset(rest: &mut Decoder) -> Result<Offset, Unreadable> {
    i64::try_from(rest.fixed_u64()?)
        .map(Offset)
        .map_err(|_| Unreadable)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_key() -> impl Strategy<Value = Key> {
        let partition =
            (any::<u128>(), 0..i32::MAX).prop_map(|(topic, partition)| TopicPartition {
                topic: TopicId(topic),
                partition: PartitionIndex(partition),
            });
        prop_oneof![
            Just(Key::Format),
            Just(Key::Owner),
            Just(Key::Head),
            Just(Key::Lineage),
            Just(Key::Checkpoint),
            (any::<u64>(), any::<u16>()).prop_map(|(lsn, part)| Key::Log(Lsn(lsn), part)),
            any::<u128>().prop_map(|topic| Key::Topic(TopicId(topic))),
            partition.clone().prop_map(Key::Partition),
            (partition.clone(), 0..=i64::MAX).prop_map(|(p, id)| Key::Producer(p, ProducerId(id))),
            Just(Key::Cluster),
            (partition, any::<u32>(), any::<u8>(), 0..i64::MAX).prop_map(
                |(p, generation, level, end)| Key::Index(p, generation, level, Offset(end))
            ),
            any::<u128>().prop_map(|object| Key::Object(ObjectKey(object))),
            any::<u64>().prop_map(Key::Session),
            any::<(u64, u64, u16)>().prop_map(|(id, at, part)| Key::Outcome(id, at, part)),
            any::<u128>().prop_map(|topic| Key::Deleted(TopicId(topic))),
        ]
    }

    proptest! {
        #[test]
        fn a_key_comes_back_as_it_went(key in any_key()) {
            prop_assert_eq!(Key::decode(&key.encode()), Ok(key));
        }

        #[test]
        fn a_row_lies_in_no_gap(key in any_key()) {
            let key = key.encode();
            prop_assert!(gaps().all(|(start, end)| key < start || key >= end));
        }

        #[test]
        fn what_lies_in_no_gap_is_of_a_known_kind(
            shard in 0..3_u8, kind: u8, rest in proptest::collection::vec(any::<u8>(), 0..40)
        ) {
            let key = Bytes::from([&[shard, kind], rest.as_slice()].concat());
            let known = shard == SHARD && KINDS.contains(&kind);
            prop_assert_eq!(gaps().any(|(start, end)| (start..end).contains(&key)), !known);
        }

        #[test]
        fn no_bytes_upset_it(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Key::decode(&Bytes::from(bytes));
        }

        #[test]
        fn index_rows_sort_by_offset(a in 0..i64::MAX, b in 0..i64::MAX) {
            let partition = TopicPartition { topic: TopicId(7), partition: PartitionIndex(3) };
            let key = |end| Key::Index(partition, 1, 0, Offset(end)).encode();
            let (key_a, key_b) = (key(a), key(b));
            prop_assert_eq!(key_a.cmp(&key_b), a.cmp(&b));
        }
    }
}
