//! From blocks to the slices of a reply: finds the batches wanted, stamps base offset and leader epoch over their first
//! 16 bytes (outside the checksum), cuts to the client's limits. Pure; payloads are not copied. Called by `handler`.

use bytes::{Bytes, BytesMut};
use metadata::{Bounds, Extent, Offset, planted};
use protocol::ErrorCode;
use protocol::record_batch::{self, BatchHeader, PREFIX_BYTES};

use super::batches::{Batches, Begun};
use super::read::{ReadExtent, ReadWant, Unread};
use super::want::{Found, Want};
use crate::damage::Damage;
use crate::refusal;
use crate::said::warn_seldom;

const NOT_ITS_OFFSETS: &str = "its batches do not take the offsets that were committed for them";

/// A batch up to this size is copied whole: cheaper than two slices of a vectored write.
const COPIED_BYTES_MAX: usize = 1024;

/// What a partition is answered with.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) code: ErrorCode,
    pub(super) bounds: Option<Bounds>,
    pub(super) slices: Vec<Bytes>,
    /// Why there are none, where that is damage.
    pub(super) damage: Option<Damage>,
}

impl Served {
    fn nothing(code: ErrorCode, bounds: Option<Bounds>) -> Self {
        Self {
            code,
            bounds,
            slices: Vec::new(),
            damage: None,
        }
    }

    /// Whether it tells the reader nothing new.
    pub(super) fn is_nothing(&self) -> bool {
        self.code == ErrorCode::NONE && self.slices.is_empty()
    }

    fn damaged(damage: Damage, bounds: Option<Bounds>) -> Self {
        Self {
            damage: Some(damage),
            ..Self::nothing(Damage::CODE, bounds)
        }
    }
}

/// One answer per want, in their order. Batches are stamped with the present leader epoch, whichever they were written
/// in: what is there is part of it.
pub(super) fn assemble(
    wants: &[Want],
    found: Vec<Found>,
    read: Vec<ReadWant>,
    bytes_max: usize,
    leader_epoch: i32,
) -> Vec<Served> {
    let mut read = read.into_iter().peekable();
    let mut left = bytes_max;
    let mut anything = false;
    wants
        .iter()
        .zip(found)
        .map(|(want, found)| {
            let read = read.next_if(|(partition, _)| *partition == want.partition);
            let bounds = found.bounds();
            let lost = match &found {
                Found::Refused { code, bounds } => return Served::nothing(*code, *bounds),
                Found::Extents { extents, .. } => lost_until(extents),
            };
            let extents = match read {
                Some((_, Ok(extents))) => extents,
                Some((_, Err(unread))) => return unreadable(want, &unread, bounds),
                None => Vec::new(),
            };
            let mut run = Run::new(want, left, anything, leader_epoch);
            let outcome = extents.iter().try_for_each(|extent| run.extent(extent));
            // What lies before the damage is good, and the reader hears of it once it gets there.
            if let Err(Stop::Damaged(extent, why)) = outcome
                && run.bytes == 0
            {
                let damage = Damage::of_batches(want.partition, &extent, why.to_owned());
                return Served::damaged(damage, bounds);
            }
            if let Some(end) = lost.filter(|end| run.bytes == 0 && *end > want.offset) {
                run.step_over(end);
            }
            left = left.saturating_sub(run.bytes);
            anything |= run.bytes > 0;
            Served {
                slices: run.finish(),
                ..Served::nothing(ErrorCode::NONE, bounds)
            }
        })
        .collect()
}

/// Where records that were given up end, if there is nothing else.
fn lost_until(extents: &[Extent]) -> Option<Offset> {
    let all = extents.iter().all(|extent| extent.stored().is_none());
    let last = extents.last().filter(|_| all);
    last.map(Extent::end_offset)
}

/// An object that is gone or damaged needs a person; a bucket that is away comes back.
fn unreadable(want: &Want, unread: &Unread, bounds: Option<Bounds>) -> Served {
    let Unread { extent, error } = unread;
    if let Some(damage) = Damage::of_block(want.partition, extent, error) {
        return Served::damaged(damage, bounds);
    }
    let (partition, offset) = (want.partition, want.offset.0);
    warn_seldom!(?partition, offset, %error, "the bucket cannot be read");
    Served::nothing(refusal::store_fetch(error), bounds)
}

enum Stop {
    Full,
    /// The extent's bytes are not what was committed of it, and in what way.
    Damaged(Extent, &'static str),
}

/// Collects the batches of one partition.
struct Run {
    offset: Offset,
    limit: usize,
    /// Whether the first batch is taken although it exceeds the limit.
    first_at_any_size: bool,
    leader_epoch: i32,
    bytes: usize,
    slices: Vec<Bytes>,
    begun: Begun,
    /// Prefixes and small batches; cut into slices as they come.
    copied: BytesMut,
}

impl Run {
    fn new(want: &Want, left: usize, anything: bool, leader_epoch: i32) -> Self {
        Self {
            offset: want.offset,
            limit: want.bytes_max.min(left),
            first_at_any_size: !anything,
            leader_epoch,
            bytes: 0,
            slices: Vec::new(),
            begun: Begun::default(),
            copied: BytesMut::new(),
        }
    }

    /// Takes the batches of an extent. They must take exactly the offsets that were committed for them, or after log
    /// compaction no more than them.
    fn extent(&mut self, read: &ReadExtent) -> Result<(), Stop> {
        let damaged = |why| Stop::Damaged(read.extent, why);
        let end = read.extent.end_offset();
        // Before anything of it is taken: which of them take too many nobody knows, and who was given one would go on behind
        // it, past the first records of the next extent.
        let batches = Batches::of(read, &mut self.begun);
        let mut readable = batches.clone().map_while(Result::ok);
        if readable.any(|batch| batch.next > end) {
            return Err(damaged(NOT_ITS_OFFSETS));
        }
        let mut reached = read.extent.base_offset;
        for batch in batches {
            let batch = batch.map_err(damaged)?;
            if batch.next > self.offset {
                self.batch(batch.bytes(), &batch.header, batch.base_offset)?;
            }
            reached = batch.next;
        }
        match reached == end || read.extent.flags.offsets_in_bytes {
            true => Ok(()),
            false => Err(damaged(NOT_ITS_OFFSETS)),
        }
    }

    fn batch(
        &mut self,
        batch: Bytes,
        header: &BatchHeader,
        base_offset: Offset,
    ) -> Result<(), Stop> {
        let fits = self.bytes + batch.len() <= self.limit;
        let first = self.bytes == 0 && self.first_at_any_size;
        if !fits && !first {
            return Err(Stop::Full);
        }
        planted!(let base_offset = "base-offset-off-by-one" => Offset(base_offset.0 + i64::from(self.bytes > 0)));
        self.bytes += batch.len();
        self.copied.extend_from_slice(&record_batch::prefix(
            header,
            base_offset.0,
            self.leader_epoch,
        ));
        if batch.len() <= COPIED_BYTES_MAX {
            self.copied.extend_from_slice(&batch[PREFIX_BYTES..]);
        } else {
            self.cut();
            self.slices.push(batch.slice(PREFIX_BYTES..));
        }
        Ok(())
    }

    /// Where nothing follows what was given up, its reader would stay before it: no batch says how far it may go.
    fn step_over(&mut self, end: Offset) {
        let offsets = end.0.saturating_sub(self.offset.0);
        let empty = record_batch::without_records(self.offset.0, offsets, self.leader_epoch);
        self.bytes += empty.len();
        self.slices.push(empty);
    }

    fn cut(&mut self) {
        if !self.copied.is_empty() {
            self.slices.push(self.copied.split().freeze());
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.cut();
        self.slices
    }
}

#[cfg(test)]
mod tests {
    use metadata::{
        BlockCodec, BlockRange, Content, Extent, ExtentFlags, ObjectKey, PartitionIndex, Stored,
        Timestamp, TopicId, TopicPartition,
    };
    use protocol::records::{BatchOptions, Record, build_batch};

    use super::*;

    fn batch(base_offset: i64, records: i32) -> Bytes {
        let record = |offset_delta| Record {
            offset_delta,
            ..Record::default()
        };
        let records: Vec<Record> = (0..records).map(record).collect();
        let options = BatchOptions {
            base_offset,
            ..BatchOptions::default()
        };
        build_batch(&records, options)
    }

    /// An extent of offsets 100 to 200 with these batches, as they are.
    fn extent(batches: &[Bytes], offsets_in_bytes: bool) -> ReadExtent {
        let raw = batches.concat();
        let raw_length = u32::try_from(raw.len()).unwrap();
        let stored = Stored {
            object: ObjectKey(1),
            block: BlockRange {
                position: 0,
                stored_length: raw_length + 4,
                raw_length,
                codec: BlockCodec::Raw,
                checksum: 0,
            },
            raw_start: 0,
            raw_length,
        };
        ReadExtent {
            extent: Extent {
                base_offset: Offset(100),
                offset_span: 100,
                record_count: 4,
                max_timestamp: Timestamp(0),
                flags: ExtentFlags {
                    offsets_in_bytes,
                    ..ExtentFlags::default()
                },
                content: Content::Stored(stored),
            },
            stored,
            block: [Bytes::from(raw)].into(),
        }
    }

    fn want(from: i64) -> Want {
        Want {
            partition: TopicPartition {
                topic: TopicId(1),
                partition: PartitionIndex(0),
            },
            offset: Offset(from),
            bytes_max: 1 << 20,
        }
    }

    /// Read from an offset on: the base offsets of the batches that come.
    fn read(batches: &[Bytes], offsets_in_bytes: bool, from: i64) -> Option<Vec<i64>> {
        let mut run = Run::new(&want(from), 1 << 20, false, 0);
        run.extent(&extent(batches, offsets_in_bytes)).ok()?;
        let mut rest = Bytes::from(run.finish().concat());
        let mut bases = Vec::new();
        while !rest.is_empty() {
            let header = BatchHeader::read(&rest).unwrap();
            let _ = rest.split_to(header.size);
            bases.push(header.base_offset);
        }
        Some(bases)
    }

    #[test]
    fn batches_lie_behind_each_other_unless_they_say_where() {
        let compacted = [batch(110, 2), batch(150, 1), batch(199, 1)];
        assert_eq!(read(&compacted, true, 100), Some(vec![110, 150, 199]));
        assert_eq!(read(&compacted, true, 112), Some(vec![150, 199]));
        assert_eq!(read(&compacted, true, 199), Some(vec![199]));
        assert_eq!(
            read(&compacted, false, 100),
            None,
            "they take fewer offsets"
        );
        let dense = [batch(0, 60), batch(0, 40)];
        assert_eq!(read(&dense, false, 100), Some(vec![100, 160]));
        let beyond = [batch(150, 1), batch(200, 1)];
        assert_eq!(read(&beyond, true, 100), None, "not what was committed");
    }

    /// What a reader at that offset is told.
    fn served(batches: &[Bytes], offsets_in_bytes: bool, from: i64) -> (ErrorCode, usize) {
        let read = extent(batches, offsets_in_bytes);
        let found = Found::Extents {
            bounds: Bounds::default(),
            extents: vec![read.extent],
        };
        let want = want(from);
        let read = vec![(want.partition, Ok(vec![read]))];
        let served = assemble(&[want], vec![found], read, 1 << 20, 0).remove(0);
        (served.code, served.slices.len())
    }

    /// The code that consumers try again at, as at all other damage.
    #[test]
    fn a_block_that_does_not_read_is_a_storage_error() {
        let short = [batch(0, 60), batch(0, 39)];
        let garbage = [batch(0, 60), Bytes::from_static(&[0; 80])];
        let cut = [batch(0, 60), batch(0, 40).slice(..70)];
        for (batches, good, bad) in [(&short, 160, 199), (&garbage, 159, 160), (&cut, 100, 160)] {
            // What lies before it is good.
            assert_eq!(served(batches, false, good).0, ErrorCode::NONE, "{good}");
            let told = served(batches, false, bad);
            assert_eq!(told, (ErrorCode::KAFKA_STORAGE_ERROR, 0), "{bad}");
        }
    }

    /// Who was given one of its batches would go on behind it, and miss the first records of what comes next.
    #[test]
    fn nothing_is_served_of_a_block_of_more_offsets_than_were_committed() {
        let dense = [batch(0, 60), batch(0, 41)];
        let garbage = [batch(0, 60), batch(0, 60), Bytes::from_static(&[0; 80])];
        let compacted = [batch(110, 2), batch(199, 2)];
        for (batches, say_where) in [(&dense[..], false), (&garbage, false), (&compacted, true)] {
            for from in [100, 110, 159, 160, 199] {
                let told = served(batches, say_where, from);
                assert_eq!(told, (ErrorCode::KAFKA_STORAGE_ERROR, 0), "{from}");
            }
        }
    }
}
