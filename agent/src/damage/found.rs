//! Damage and what clients are told of it.

use std::time::Duration;

use metadata::{Bounds, Error, Extent, Metadata, ObjectKey, Offset, Shown, Stored, TopicPartition};
use protocol::ErrorCode;

use crate::metrics::{self, DamageKind};
use crate::refusal;
use crate::said::Said;
use crate::storage::{ErrorKind, StoreError};

/// By place, whoever meets it, and how it is damaged.
static SAID: Said<(DamageKind, TopicPartition, Offset)> = Said::new(Duration::from_secs(600), 20);

/// Records that cannot be read as they were committed.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    kind: DamageKind,
    partition: TopicPartition,
    /// The first offset that cannot be read.
    from: Offset,
    /// And the last, where it is known.
    to: Option<Offset>,
    /// Where they should be.
    stored: Option<(ObjectKey, u32)>,
    why: String,
}

impl Damage {
    /// What clients are told. Not CORRUPT_MESSAGE: at that code Java's consumer throws out of every poll, and with it stop all
    /// partitions that it reads; at this one it and librdkafka look for the leader anew and try again, so the others go on,
    /// and this one does where another agent reads what this one cannot.
    pub(crate) const CODE: ErrorCode = ErrorCode::KAFKA_STORAGE_ERROR;

    /// A block that is not there, or not as it was committed. None where the bucket is away or refuses: that says nothing
    /// of what is in it.
    pub(crate) fn of_block(
        partition: TopicPartition,
        extent: &Extent,
        error: &StoreError,
    ) -> Option<Self> {
        let kind = match error.kind {
            ErrorKind::NotFound => DamageKind::Missing,
            ErrorKind::Corrupt => DamageKind::Block,
            ErrorKind::AlreadyExists | ErrorKind::Unavailable | ErrorKind::Refused => return None,
        };
        Some(Self::of_extent(kind, partition, extent, error.to_string()))
    }

    /// A block whose bytes are those that were committed, and yet are not the record batches that they should be.
    pub(crate) fn of_batches(partition: TopicPartition, extent: &Extent, why: String) -> Self {
        Self::of_extent(DamageKind::Batches, partition, extent, why)
    }

    fn of_extent(
        kind: DamageKind,
        partition: TopicPartition,
        extent: &Extent,
        why: String,
    ) -> Self {
        let place = |stored: &Stored| (stored.object, stored.block.position);
        Self {
            kind,
            partition,
            from: extent.base_offset,
            to: Some(Offset(extent.end_offset().0 - 1)),
            stored: extent.stored().map(place),
            why,
        }
    }

    /// An offset to which no extent leads.
    fn of_hole(partition: TopicPartition, from: Offset, why: String) -> Self {
        Self {
            kind: DamageKind::Hole,
            partition,
            from,
            to: None,
            stored: None,
            why,
        }
    }

    /// Counts it, logs it unless that was done lately, and says what the client is told.
    pub(crate) fn say(&self, metadata: &Metadata) -> ErrorCode {
        metrics::count_damage(self.kind);
        if let Some(unsaid) = SAID.admit((self.kind, self.partition, self.from)) {
            self.log(metadata, unsaid);
        }
        Self::CODE
    }

    fn log(&self, metadata: &Metadata, unsaid: u64) {
        let catalogue = metadata.catalogue();
        let topic = catalogue.topic_by_id(self.partition.topic);
        let topic = topic.map_or("(deleted)", |topic| topic.name.as_str());
        let topic = Shown::name(topic);
        let (partition, from) = (self.partition.partition.0, self.from.0);
        // As `penstock metadata mark-lost` takes them.
        let records = self
            .to
            .map(|to| format!("{topic}:{partition}:{from}-{}", to.0));
        let (object, position) = self.stored.unzip();
        tracing::error!(
            kind = self.kind.name(),
            %topic,
            topic_id = %self.partition.topic,
            partition,
            from,
            to = self.to.map(|to| to.0),
            records,
            object = object.map(tracing::field::display),
            position,
            why = self.why,
            unsaid,
            "damage: committed records cannot be read"
        );
    }
}

/// Why a question about a partition was not answered, as a code; damage is said loudly.
pub(crate) fn or_refusal(
    metadata: &Metadata,
    partition: TopicPartition,
    offset: Offset,
    error: &Error,
) -> ErrorCode {
    match error {
        Error::Damaged(what) => Damage::of_hole(partition, offset, what.clone()).say(metadata),
        error => refusal::metadata_read(error),
    }
}

/// Extents as they were located from `offset` on, up to the first that does not follow the one before it.
/// Readers hear of that once they get there.
///
/// # Errors
/// When `offset` itself is not accounted for.
pub(crate) fn readable(
    partition: TopicPartition,
    offset: Offset,
    bounds: &Bounds,
    mut extents: Vec<Extent>,
) -> Result<Vec<Extent>, Box<Damage>> {
    let mut next = offset;
    let mut follows = |extent: &Extent| {
        let begins = match next == offset {
            // It may be entered in its middle.
            true => extent.base_offset <= next && extent.end_offset() > next,
            false => extent.base_offset == next && extent.offset_span > 0,
        };
        next = extent.end_offset();
        begins
    };
    let good = extents
        .iter()
        .position(|extent| !follows(extent))
        .unwrap_or(extents.len());
    extents.truncate(good);
    if !extents.is_empty() || offset >= bounds.high_watermark {
        return Ok(extents);
    }
    let why = "no extent holds them".to_owned();
    Err(Box::new(Damage::of_hole(partition, offset, why)))
}

#[cfg(test)]
mod tests {
    use metadata::{Content, ExtentFlags, PartitionIndex, Timestamp, TopicId};

    use super::*;

    const AT: TopicPartition = TopicPartition {
        topic: TopicId(1),
        partition: PartitionIndex(0),
    };

    fn extent((base, span): (i64, u32)) -> Extent {
        Extent {
            base_offset: Offset(base),
            offset_span: span,
            record_count: 0,
            max_timestamp: Timestamp(-1),
            flags: ExtentFlags::default(),
            content: Content::Compacted,
        }
    }

    /// How many of these extents can be read from an offset on, in a log of 30 offsets.
    fn from(offset: i64, extents: &[(i64, u32)]) -> Result<usize, DamageKind> {
        let extents = extents.iter().copied().map(extent);
        let bounds = Bounds {
            high_watermark: Offset(30),
            ..Bounds::default()
        };
        match readable(AT, Offset(offset), &bounds, extents.collect()) {
            Ok(extents) => Ok(extents.len()),
            Err(damage) => Err(damage.kind),
        }
    }

    #[test]
    fn what_follows_a_hole_is_not_read_with_what_lies_before_it() {
        let damaged = Err(DamageKind::Hole);
        assert_eq!(from(0, &[(0, 10), (10, 10), (20, 10)]), Ok(3));
        assert_eq!(from(15, &[(10, 10), (20, 10)]), Ok(2));
        assert_eq!(from(30, &[]), Ok(0));
        assert_eq!(from(0, &[(0, 10), (20, 10)]), Ok(1));
        assert_eq!(from(0, &[(0, 10), (5, 10)]), Ok(1));
        assert_eq!(from(10, &[(20, 10)]), damaged);
        assert_eq!(from(10, &[(0, 10), (10, 20)]), damaged);
        assert_eq!(from(10, &[(10, 0), (10, 20)]), damaged);
        assert_eq!(from(10, &[]), damaged);
    }
}
