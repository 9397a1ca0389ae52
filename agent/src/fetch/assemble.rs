//! From blocks to the slices of a reply: finds the batches wanted, stamps base offset and leader epoch over their first
//! 16 bytes (outside the checksum), cuts to the client's limits. Pure; payloads are not copied. Called by `handler`.

use bytes::{Bytes, BytesMut};
use metadata::{Bounds, Extent, Offset, planted};
use protocol::ErrorCode;
use protocol::record_batch::{self, BatchHeader, PREFIX_BYTES};

use super::read::{ReadExtent, ReadWant, Unread};
use super::{Found, Want};
use crate::damage::Damage;
use crate::refusal;
use crate::said::warn_seldom;

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
            if let Found::Refused { code, bounds } = found {
                return Served::nothing(code, bounds);
            }
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
            left = left.saturating_sub(run.bytes);
            anything |= run.bytes > 0;
            Served {
                slices: run.finish(),
                ..Served::nothing(ErrorCode::NONE, bounds)
            }
        })
        .collect()
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
            copied: BytesMut::new(),
        }
    }

    /// Walks the batches of an extent. Its offsets are dense, so a batch's base offset follows from those before it; log
    /// compaction leaves gaps, and batches that say where they lie.
    fn extent(&mut self, read: &ReadExtent) -> Result<(), Stop> {
        let extent = &read.extent;
        let start = read.stored.raw_start as usize;
        let end = start + read.stored.raw_length as usize;
        planted!(let start = "dead-bytes-served" => 0);
        let mut position = 0;
        let mut base_offset = extent.base_offset;
        let damaged = |why| Stop::Damaged(*extent, why);
        for slice in read.block.iter() {
            let mut rest = slice.clone();
            while !rest.is_empty() {
                let header = BatchHeader::read(&rest);
                let header = header.map_err(|_| damaged("a batch does not read"))?;
                if header.size > rest.len() {
                    return Err(damaged("a batch is cut short"));
                }
                let batch = rest.split_to(header.size);
                if (start..end).contains(&position) {
                    if extent.flags.offsets_in_bytes && header.base_offset >= base_offset.0 {
                        base_offset = Offset(header.base_offset);
                    }
                    let next = Offset(base_offset.0 + i64::from(header.last_offset_delta) + 1);
                    if next > self.offset {
                        self.batch(batch, &header, base_offset)?;
                    }
                    base_offset = next;
                }
                position += header.size;
                if position >= end {
                    return self.check_end(base_offset, read);
                }
            }
        }
        self.check_end(base_offset, read)
    }

    /// The batches walked must take exactly the offsets that were committed for them, or no more than them.
    fn check_end(&self, reached: Offset, read: &ReadExtent) -> Result<(), Stop> {
        let end = read.extent.end_offset();
        if reached == end || (read.extent.flags.offsets_in_bytes && reached < end) {
            return Ok(());
        }
        Err(Stop::Damaged(
            read.extent,
            "its batches do not take the offsets that were committed for them",
        ))
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

    /// The code that consumers try again at, as at all other damage.
    #[test]
    fn a_block_that_does_not_read_is_a_storage_error() {
        let short = [batch(0, 60), batch(0, 39)];
        let garbage = [batch(0, 60), Bytes::from_static(&[0; 80])];
        let cut = [batch(0, 60), batch(0, 40).slice(..70)];
        for (batches, good, bad) in [(&short, 160, 199), (&garbage, 159, 160), (&cut, 100, 160)] {
            // What lies before it is good.
            for (from, code) in [
                (good, ErrorCode::NONE),
                (bad, ErrorCode::KAFKA_STORAGE_ERROR),
            ] {
                let read = extent(batches, false);
                let found = Found::Extents {
                    bounds: Bounds::default(),
                    extents: vec![read.extent],
                };
                let want = want(from);
                let read = vec![(want.partition, Ok(vec![read]))];
                let served = assemble(&[want], vec![found], read, 1 << 20, 0);
                assert_eq!(served[0].code, code, "{from}");
            }
        }
    }
}
