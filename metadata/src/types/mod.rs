//! The nouns of the metadata: identifiers, offsets and places of bytes. Everybody uses them; they know nobody.

mod epochs;
mod lost;

use std::fmt;

pub use epochs::{EPOCHS_MAX, EpochStart, Epochs};
pub use lost::{LOST_MAX, Lost, LostRange};

/// Identifies a topic for its whole life; a topic deleted and created anew gets another one (KIP-516).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TopicId(pub u128);

/// A partition's number inside its topic, `0..partitions`. Never negative: `i32` because Kafka's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PartitionIndex(pub i32);

/// A partition of one incarnation of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: TopicId,
    pub partition: PartitionIndex,
}

/// A record's place in its partition, dense from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Offset(pub i64);

/// Milliseconds since the Unix epoch, as in record batches; -1 where Kafka says "no timestamp".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub i64);

/// An idempotent producer's id, handed out once and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProducerId(pub i64);

/// Fences earlier incarnations of a producer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ProducerEpoch(pub i16);

/// A producer's sequence number in a partition: `0..=i32::MAX`, wrapping to 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Sequence(pub i32);

impl Sequence {
    /// Whether a producer gives this number out after `earlier`: within half of all numbers, which what is under way never
    /// comes near.
    #[must_use]
    pub fn is_after(self, earlier: Self) -> bool {
        let distance = self.0.wrapping_sub(earlier.0) & i32::MAX;
        (1..i32::MAX / 2).contains(&distance)
    }
}

/// One of the accounts on which idempotent producers are remembered, so that no client takes the room of all others: those
/// that come from one network (a /24 of IPv4, a /64 of IPv6) have one. A hash, so that some networks may share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Share(pub u16);

/// A span of state time in which objects are named, handed out by the sequencer: at least ten minutes long, counted from
/// 0. Keys carry it, so that what is too old to be committed is known without anybody's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct NamingEpoch(pub u32);

/// Names an object in the bucket. From the top: 32 bits of [`NamingEpoch`], 64 random bits of the process that named it,
/// 32 bits that count its objects. So keys sort by age and two processes never choose the same one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(pub u128);

/// Names a bucket for its whole life: random, drawn by whoever used it first, written into it and into the metadata.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketId(pub u128);

/// A history that an operator let begin: with a new store, or with an older one accepted. Random, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HistoryId(pub u64);

/// Position in the metadata log: one per drain that wrote something, dense from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Lsn(pub u64);

/// How the stored bytes of a block are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockCodec {
    /// The record batches as they came.
    Raw,
    /// One zstd frame around all of the block's record batches.
    Zstd,
}

/// Where one block of one partition lies in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockRange {
    /// First byte of the stored block, from the start of the object.
    pub position: u32,
    /// Bytes in the object, the block's checksum included.
    pub stored_length: u32,
    /// Bytes of record batches once unpacked.
    pub raw_length: u32,
    pub codec: BlockCodec,
    /// CRC-32C of the block with its topic and partition, as the object has it: tells bytes that were swapped or
    /// restored wrongly.
    pub checksum: u32,
}

/// A run of offsets of a partition and what lies there. Neighbours follow each other without a gap: every offset between
/// log start and high watermark belongs to exactly one extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    pub base_offset: Offset,
    /// Offsets taken, at least 1.
    pub offset_span: u32,
    /// Records that lie there: `offset_span`, or fewer where log compaction left gaps.
    pub record_count: u32,
    /// Largest timestamp of the run; -1 where there is none.
    pub max_timestamp: Timestamp,
    pub flags: ExtentFlags,
    pub content: Content,
}

/// What readers must know of an extent before they read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct ExtentFlags {
    /// The batches carry their offsets, as log compaction leaves them; else a batch's base offset follows from the
    /// extent's and the batches before it.
    pub offsets_in_bytes: bool,
    /// The batches belong to a transaction.
    pub transactional: bool,
    /// A control batch, which is not for applications.
    pub control: bool,
}

/// What a record batch's header says of all of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct BatchFlags {
    /// It belongs to a transaction.
    pub transactional: bool,
    /// A control batch, which is not for applications.
    pub control: bool,
}

impl From<BatchFlags> for ExtentFlags {
    /// Of batches whose offsets follow from each other.
    fn from(flags: BatchFlags) -> Self {
        let BatchFlags {
            transactional,
            control,
        } = flags;
        Self {
            offsets_in_bytes: false,
            transactional,
            control,
        }
    }
}

/// What lies at an extent's offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Record batches in an object.
    Stored(Stored),
    /// The end of a transaction. No object holds it: readers make the control batch themselves.
    Marker(Marker),
    /// Nothing any more: log compaction removed it all.
    Compacted,
    /// No object has the records any more; readers step over them. What operators give up is a [`Lost`] range, until a
    /// job that rewrites the index writes this.
    Lost,
}

/// A run of record batches inside one block. Usually the whole block; less where the sequencer refused a batch inside it,
/// whose bytes then lie dead between two extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    pub object: ObjectKey,
    pub block: BlockRange,
    /// Raw bytes of the block before the run.
    pub raw_start: u32,
    /// Raw bytes of the run.
    pub raw_length: u32,
}

/// How a producer's transaction ended (KIP-98's control record).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Marker {
    pub producer: ProducerId,
    pub epoch: ProducerEpoch,
    /// Else it was aborted.
    pub committed: bool,
}

impl Extent {
    /// One past the last offset of the run.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        Offset(self.base_offset.0 + i64::from(self.offset_span))
    }

    /// Where its bytes are, if it has any.
    #[must_use]
    pub fn stored(&self) -> Option<&Stored> {
        match &self.content {
            Content::Stored(stored) => Some(stored),
            Content::Marker(_) | Content::Compacted | Content::Lost => None,
        }
    }

    /// Bytes of record batches once unpacked; 0 where no object holds any.
    #[must_use]
    pub fn raw_length(&self) -> u32 {
        self.stored().map_or(0, |stored| stored.raw_length)
    }
}

impl ObjectKey {
    /// A key for an object named in `epoch`. `tag` is drawn at random once by each process, and `number` is used once with
    /// it.
    #[must_use]
    pub fn new(epoch: NamingEpoch, tag: u64, number: u32) -> Self {
        Self((u128::from(epoch.0) << 96) | (u128::from(tag) << 32) | u128::from(number))
    }

    /// When it was named.
    #[must_use]
    pub fn epoch(self) -> NamingEpoch {
        NamingEpoch(u32::try_from(self.0 >> 96).expect("32 bits are left"))
    }

    /// Who named it.
    #[must_use]
    pub fn tag(self) -> u64 {
        u64::try_from((self.0 >> 32) & u128::from(u64::MAX)).expect("64 bits are left")
    }

    /// Which of the objects that this one named.
    #[must_use]
    pub fn number(self) -> u32 {
        u32::try_from(self.0 & u128::from(u32::MAX)).expect("32 bits are left")
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectKey({self})")
    }
}

impl fmt::Display for BucketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for BucketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketId({self})")
    }
}

impl fmt::Display for HistoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

/// The offsets between which a partition can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The first offset that can be read.
    pub log_start: Offset,
    /// End of what read-committed consumers see; at most the high watermark.
    pub last_stable: Offset,
    /// One past the last committed offset.
    pub high_watermark: Offset,
    /// Where leader epochs began, of which [`crate::Metadata::leader_epoch`] is the present one.
    pub epochs: Epochs,
}

/// Where the records from an offset on lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// The extent that holds the offset and those after it; none at the high watermark.
    Extents {
        bounds: Bounds,
        extents: Vec<Extent>,
    },
    /// The offset is before the log start or past the high watermark, as of a confirmed read.
    OutOfRange(Bounds),
    UnknownPartition,
}

/// An agent's session with the sequencer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionId {
    /// Counts up. A store that went back in time may hand one out twice.
    pub(crate) id: u64,
    /// Random: another nonce is another session.
    pub(crate) nonce: u64,
}

impl SessionId {
    /// Of an agent that has none yet.
    pub(crate) const NONE: Self = Self { id: 0, nonce: 0 };
}

/// What an update adds to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// To what came before.
    #[default]
    Change,
    /// To nothing: this is all there is.
    All,
}
