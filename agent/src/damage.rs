//! Committed records to which nothing leads: never silence (law 12). Each time somebody meets them they are logged with
//! what and where, counted, and answered with KAFKA_STORAGE_ERROR. Blocks that are gone or damaged `storage` finds itself.

use metadata::{Bounds, Content, Error, Extent, Offset, TopicPartition};
use protocol::ErrorCode;

use crate::{metrics, refusal};

/// Says that the records at an offset cannot be read, and why; what clients are told. The kind is the metric's label.
pub(crate) fn found(
    kind: &'static str,
    partition: TopicPartition,
    offset: Offset,
    what: &(dyn std::fmt::Display + Sync),
) -> ErrorCode {
    metrics::count_damage(kind);
    tracing::error!(
        topic = %partition.topic,
        partition = partition.partition.0,
        offset = offset.0,
        %what,
        "damage: committed records cannot be read"
    );
    ErrorCode::KAFKA_STORAGE_ERROR
}

/// Why a question about a partition was not answered, as a code; damage is said loudly.
pub(crate) fn or_refusal(partition: TopicPartition, offset: Offset, error: &Error) -> ErrorCode {
    match error {
        Error::Damaged(what) => found("hole", partition, offset, what),
        error => refusal::metadata_read(error),
    }
}

/// Extents as they were located from `offset` on, up to the first that does not follow the one before it or was given up.
/// Readers hear of that once they get there.
///
/// # Errors
/// When `offset` itself is not accounted for, or its records are lost.
pub(crate) fn readable(
    partition: TopicPartition,
    offset: Offset,
    bounds: &Bounds,
    mut extents: Vec<Extent>,
) -> Result<Vec<Extent>, ErrorCode> {
    let mut next = offset;
    let mut follows = |extent: &Extent| {
        let begins = match next == offset {
            // It may be entered in its middle.
            true => extent.base_offset <= next && extent.end_offset() > next,
            false => extent.base_offset == next && extent.offset_span > 0,
        };
        next = extent.end_offset();
        begins && extent.content != Content::Lost
    };
    let good = extents
        .iter()
        .position(|extent| !follows(extent))
        .unwrap_or(extents.len());
    let lost = extents
        .get(good)
        .is_some_and(|extent| extent.content == Content::Lost);
    extents.truncate(good);
    match extents.is_empty() && offset < bounds.high_watermark {
        true if lost => Err(found(
            "lost",
            partition,
            offset,
            &"they were given up as lost",
        )),
        true => Err(found("hole", partition, offset, &"no extent holds them")),
        false => Ok(extents),
    }
}

#[cfg(test)]
mod tests {
    use metadata::{ExtentFlags, PartitionIndex, Timestamp, TopicId};

    use super::*;

    const AT: TopicPartition = TopicPartition {
        topic: TopicId(1),
        partition: PartitionIndex(0),
    };

    fn extent((base, span): (i64, u32), content: Content) -> Extent {
        Extent {
            base_offset: Offset(base),
            offset_span: span,
            record_count: 0,
            max_timestamp: Timestamp(-1),
            flags: ExtentFlags::default(),
            content,
        }
    }

    /// How many of these extents can be read from an offset on, in a log of 30 offsets.
    fn from(offset: i64, extents: &[(i64, u32)]) -> Result<usize, ErrorCode> {
        let extents = extents.iter().map(|at| extent(*at, Content::Compacted));
        let bounds = Bounds {
            high_watermark: Offset(30),
            ..Bounds::default()
        };
        readable(AT, Offset(offset), &bounds, extents.collect()).map(|extents| extents.len())
    }

    #[test]
    fn what_follows_a_hole_is_not_read_with_what_lies_before_it() {
        let damaged = Err(ErrorCode::KAFKA_STORAGE_ERROR);
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

    #[test]
    fn lost_records_are_damage_once_a_reader_gets_there() {
        let extents = vec![
            extent((0, 10), Content::Compacted),
            extent((10, 10), Content::Lost),
        ];
        let bounds = Bounds {
            high_watermark: Offset(20),
            ..Bounds::default()
        };
        let before = readable(AT, Offset(3), &bounds, extents.clone());
        assert_eq!(before, Ok(extents[..1].to_vec()));
        let there = readable(AT, Offset(10), &bounds, extents[1..].to_vec());
        assert_eq!(there, Err(ErrorCode::KAFKA_STORAGE_ERROR));
    }
}
