//! Committed records that cannot be read: never silence (law 12). Each reader that meets them is answered with
//! KAFKA_STORAGE_ERROR and counted. The log names each place once in a while, at a bounded rate: readers come back at once
//! and without end.

use std::collections::HashMap;
use std::time::Duration;

use metadata::{
    Bounds, Content, Error, Extent, Metadata, ObjectKey, Offset, Stored, TopicPartition,
};
use parking_lot::Mutex;
use protocol::ErrorCode;
use tokio::time::Instant;

use crate::metrics::{self, DamageKind};
use crate::refusal;
use crate::storage::{ErrorKind, StoreError};

/// The same damage is logged again after so long.
const SAY_AGAIN: Duration = Duration::from_secs(10 * 60);
/// Lines in a window; what finds no room is logged in a later one, should somebody meet it there.
const LINES_MAX: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Of so many is known when they were logged last.
const KNOWN_MAX: usize = 4096;

/// What was logged, by this process.
static SAID: Mutex<Option<Said>> = Mutex::new(None);

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

    /// Records that were given up.
    pub(crate) fn of_lost(partition: TopicPartition, extent: &Extent) -> Self {
        let why = "they were given up as lost".to_owned();
        Self::of_extent(DamageKind::Lost, partition, extent, why)
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
        let said = SAID
            .lock()
            .get_or_insert_with(|| Said::new(Instant::now()))
            .admit((self.kind, self.partition, self.from), Instant::now());
        if let Some(unsaid) = said {
            self.log(metadata, unsaid);
        }
        Self::CODE
    }

    fn log(&self, metadata: &Metadata, unsaid: u64) {
        let catalogue = metadata.catalogue();
        let topic = catalogue.topic_by_id(self.partition.topic);
        let (object, position) = self.stored.unzip();
        tracing::error!(
            kind = self.kind.name(),
            topic = topic.map_or("(deleted)", |topic| topic.name.as_str()),
            topic_id = %self.partition.topic,
            partition = self.partition.partition.0,
            from = self.from.0,
            to = self.to.map(|to| to.0),
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

/// One place, whoever meets it.
type Cause = (DamageKind, TopicPartition, Offset);

/// When damage was logged.
#[derive(Debug)]
struct Said {
    known: HashMap<Cause, Instant>,
    window: Instant,
    lines: u32,
    /// Meetings that found no room.
    unsaid: u64,
}

impl Said {
    fn new(now: Instant) -> Self {
        Self {
            known: HashMap::new(),
            window: now,
            lines: 0,
            unsaid: 0,
        }
    }

    /// Whether to log it, and how often damage was met without a word since the line before.
    fn admit(&mut self, cause: Cause, now: Instant) -> Option<u64> {
        let lately = |said: &Instant| now.saturating_duration_since(*said) < SAY_AGAIN;
        if self.known.get(&cause).is_some_and(lately) {
            return None;
        }
        if now.saturating_duration_since(self.window) >= WINDOW {
            self.window = now;
            self.lines = 0;
        }
        if self.lines >= LINES_MAX {
            self.unsaid += 1;
            return None;
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.retain(|_, said| lately(said));
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.lines += 1;
        self.known.insert(cause, now);
        Some(std::mem::take(&mut self.unsaid))
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
) -> Result<Vec<Extent>, Box<Damage>> {
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
        .filter(|extent| extent.content == Content::Lost)
        .map(|extent| Damage::of_lost(partition, extent));
    extents.truncate(good);
    if !extents.is_empty() || offset >= bounds.high_watermark {
        return Ok(extents);
    }
    let hole = || Damage::of_hole(partition, offset, "no extent holds them".to_owned());
    Err(Box::new(lost.unwrap_or_else(hole)))
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
    fn from(offset: i64, extents: &[(i64, u32)]) -> Result<usize, DamageKind> {
        let extents = extents.iter().map(|at| extent(*at, Content::Compacted));
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
        assert_eq!(before.unwrap(), extents[..1]);
        let there = readable(AT, Offset(10), &bounds, extents[1..].to_vec());
        let there = there.unwrap_err();
        assert_eq!((there.kind, there.from), (DamageKind::Lost, Offset(10)));
        assert_eq!(there.to, Some(Offset(19)));
    }

    #[tokio::test(start_paused = true)]
    async fn damage_is_logged_once_in_a_while_and_never_in_floods() {
        let mut said = Said::new(Instant::now());
        let mut meet = |from| said.admit((DamageKind::Block, AT, Offset(from)), Instant::now());
        assert_eq!(meet(0), Some(0));
        assert_eq!(meet(0), None);
        for from in 1..20 {
            assert_eq!(meet(from), Some(0), "{from}");
        }
        for from in 20..30 {
            assert_eq!(meet(from), None, "{from}");
        }
        tokio::time::advance(WINDOW).await;
        assert_eq!(meet(0), None);
        assert_eq!(meet(25), Some(10), "what was not said is said later");
        tokio::time::advance(SAY_AGAIN).await;
        assert_eq!(meet(0), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_of_the_log_has_a_bound() {
        let mut said = Said::new(Instant::now());
        let mut lines = 0;
        for from in 0..50_000 {
            tokio::time::advance(WINDOW / 100).await;
            let cause = (DamageKind::Block, AT, Offset(from));
            lines += u32::from(said.admit(cause, Instant::now()).is_some());
            assert!(said.known.len() <= KNOWN_MAX);
        }
        assert!(lines <= 501 * LINES_MAX, "{lines}");
    }
}
