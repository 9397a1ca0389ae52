//! Which blocks to read for a reply, and which to read ahead. Pure. Called by `handler`.

use metadata::{Extent, TopicPartition};

use super::want::{Found, Want};

/// No batch is smaller: its header.
const BATCH_BYTES_MIN: usize = 61;
/// What is noted of an extent while it is read and its batches are on their way, about.
const EXTENT_BYTES: usize = 512;
/// What is read ahead for one request at the most, or as much as the request itself gets.
const AHEAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a reply may carry and hold in all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of batches that the client takes: also those of the blocks that are read for it.
    pub(super) bytes_max: usize,
    /// Memory that the reply has a permit for.
    pub(super) held_max: usize,
}

/// Extents of a partition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) partition: TopicPartition,
    pub(super) extents: Vec<Extent>,
}

/// Extents to read, by want, and those that the same readers will ask for next.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// In the wants' order, without those that get nothing.
    pub(super) reads: Vec<Read>,
    pub(super) ahead: Vec<Read>,
    /// What the reply holds at the most: its batches are slices of whole blocks.
    pub(super) held: usize,
    /// The part of it that there must be, so that a reader makes progress.
    pub(super) held_least: usize,
}

/// Takes extents in the wants' order until the limits are reached; always the first one there is, so that a reader
/// makes progress whatever its limits (KIP-74). What is read for the others fits into the client's limits as a whole,
/// for a block is read as a whole, however little of it is wanted.
pub(super) fn plan(wants: &[Want], found: &[Found], limits: Limits) -> Plan {
    let mut plan = Plan::default();
    let mut taking = Taking::new(limits);
    let mut promised = 0;
    for (want, found) in wants.iter().zip(found) {
        let extents = match found {
            Found::Extents { extents, .. } => extents.as_slice(),
            Found::Refused { .. } => &[],
        };
        let (taken, bytes) = taking.take(extents, want);
        promised += bytes.min(want.bytes_max);
        let (now, ahead) = extents.split_at(taken);
        let of_want = |extents: &[Extent]| Read {
            partition: want.partition,
            extents: extents.to_vec(),
        };
        for (reads, extents) in [(&mut plan.reads, now), (&mut plan.ahead, ahead)] {
            if !extents.is_empty() {
                reads.push(of_want(extents));
            }
        }
    }
    (plan.held, plan.held_least) = (taking.held, taking.least);
    cut(&mut plan.ahead, promised.max(AHEAD_BYTES_MAX));
    plan
}

/// Leaves as many extents as fit.
fn cut(ahead: &mut Vec<Read>, bytes_max: usize) {
    let mut left = bytes_max;
    for read in ahead.iter_mut() {
        let mut fits = |extent: &Extent| {
            let fitting = left.checked_sub(block_bytes(extent));
            left = fitting.unwrap_or(0);
            fitting.is_some()
        };
        let fitting = read.extents.iter().position(|extent| !fits(extent));
        read.extents.truncate(fitting.unwrap_or(usize::MAX));
    }
    ahead.retain(|read| !read.extents.is_empty());
}

fn block_bytes(extent: &Extent) -> usize {
    let stored = extent.stored();
    stored.map_or(0, |stored| stored.block.raw_length as usize)
}

/// What was taken so far.
struct Taking {
    /// Bytes that are left to be read for the client.
    left: usize,
    held: usize,
    held_max: usize,
    /// What the first extent takes.
    least: usize,
    anything: bool,
}

impl Taking {
    fn new(limits: Limits) -> Self {
        Self {
            left: limits.bytes_max,
            held: 0,
            held_max: limits.held_max,
            least: 0,
            anything: false,
        }
    }

    /// How many of a want's extents are read, and how many bytes of it that gives: enough to fill its limit although the
    /// first is entered in its middle.
    fn take(&mut self, extents: &[Extent], want: &Want) -> (usize, usize) {
        let limit = want.bytes_max.min(self.left);
        if self.anything && limit < BATCH_BYTES_MIN {
            return (0, 0);
        }
        let (mut taken, mut bytes, mut any) = (0, 0, false);
        let mut last = None;
        for extent in extents {
            // What has no bytes is stepped over: a reader makes progress behind it.
            if let Some(stored) = extent.stored() {
                if any && (bytes >= limit || self.left == 0) {
                    break;
                }
                let block = Some((stored.object, stored.block.position));
                let read = match last == block {
                    true => 0,
                    false => block_bytes(extent),
                };
                let entered = want.offset > extent.base_offset;
                if !self.hold(read, entered) {
                    break;
                }
                (last, any) = (block, true);
                // What lies before the wanted offset does not count; how much that is shows only once it is read.
                bytes += if entered {
                    0
                } else {
                    extent.raw_length() as usize
                };
            }
            taken += 1;
        }
        (taken, bytes)
    }

    /// Takes an extent whose block has that many bytes, none if it was taken before. False where there is no room for it.
    fn hold(&mut self, block: usize, entered: bool) -> bool {
        let held = block + EXTENT_BYTES;
        if !self.anything {
            self.least = held;
        } else if self.held + held > self.held_max {
            return false;
        }
        // A reader in the middle of a block still gets as much as it takes.
        if self.anything || !entered {
            self.left = self.left.saturating_sub(block);
        }
        self.held += held;
        self.anything = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use metadata::{
        BlockCodec, BlockRange, Bounds, Content, ExtentFlags, ObjectKey, Offset, PartitionIndex,
        Stored, Timestamp, TopicId,
    };

    use super::*;

    const BLOCK: u32 = 1 << 20;

    fn partition(index: i32) -> TopicPartition {
        TopicPartition {
            topic: TopicId(1),
            partition: PartitionIndex(index),
        }
    }

    /// Extents of ten offsets each, every one a block of its own, but for every `share` neighbours, which share one.
    fn extents(count: u32, share: u32) -> Found {
        let extent = |index: u32| Extent {
            base_offset: Offset(i64::from(index) * 10),
            offset_span: 10,
            record_count: 10,
            max_timestamp: Timestamp(0),
            flags: ExtentFlags::default(),
            content: Content::Stored(Stored {
                object: ObjectKey(1),
                block: BlockRange {
                    position: index / share,
                    stored_length: BLOCK,
                    raw_length: BLOCK,
                    codec: BlockCodec::Raw,
                    checksum: 0,
                },
                raw_start: 0,
                raw_length: BLOCK / share,
            }),
        };
        Found::Extents {
            bounds: Bounds::default(),
            extents: (0..count).map(extent).collect(),
        }
    }

    /// As many wants as there are counts, from that offset on: how many extents of each are read, and what they hold.
    fn taken(counts: &[u32], bytes_max: usize, offset: i64, limits: Limits) -> (Vec<usize>, usize) {
        let found: Vec<Found> = counts.iter().map(|count| extents(*count, 1)).collect();
        let want = |index| Want {
            partition: partition(index),
            offset: Offset(offset),
            bytes_max,
        };
        let wants: Vec<Want> = (0..).map(want).take(counts.len()).collect();
        let plan = plan(&wants, &found, limits);
        let count = |want: &Want| {
            let mut reads = plan.reads.iter();
            let read = reads.find(|read| read.partition == want.partition);
            read.map_or(0, |read| read.extents.len())
        };
        (wants.iter().map(count).collect(), plan.held)
    }

    const MIB: usize = 1 << 20;
    const ROOMY: Limits = Limits {
        bytes_max: 50 * MIB,
        held_max: usize::MAX,
    };

    #[test]
    fn a_want_gets_what_fills_its_limit_and_the_first_one_always_something() {
        assert_eq!(taken(&[5, 5], 2 * MIB, 0, ROOMY).0, [2, 2]);
        assert_eq!(
            taken(&[5, 5], 2 * MIB, 5, ROOMY).0,
            [3, 3],
            "from the middle of a block"
        );
        assert_eq!(
            taken(&[0, 5, 5], 1, 0, ROOMY).0,
            [0, 1, 0],
            "no batch is that small"
        );
        let tight = |bytes_max| Limits { bytes_max, ..ROOMY };
        assert_eq!(taken(&[5, 5], 9 * MIB, 0, tight(0)).0, [1, 0]);
        assert_eq!(taken(&[5, 5], 9 * MIB, 0, tight(MIB)).0, [1, 0]);
        assert_eq!(taken(&[5, 5], 9 * MIB, 5, tight(MIB)).0, [2, 0]);
    }

    /// Each would make the agent read a whole block for a few bytes.
    #[test]
    fn what_is_read_for_all_fits_into_the_clients_limit_however_little_each_takes() {
        let (reads, held) = taken(&[1; 300], 100, 0, ROOMY);
        assert_eq!(reads.iter().sum::<usize>(), 50);
        assert!((50 * MIB..51 * MIB).contains(&held), "{held}");
    }

    #[test]
    fn no_more_is_held_than_there_is_a_permit_for_but_the_first_block() {
        let permit = |held_max| Limits { held_max, ..ROOMY };
        let all = |held_max| taken(&[4, 4], 9 * MIB, 0, permit(held_max));
        assert_eq!(all(0).0, [1, 0]);
        let (reads, held) = all(3 * MIB + MIB / 2);
        assert_eq!(reads, [3, 0]);
        assert!(held <= 3 * MIB + MIB / 2);
    }

    #[test]
    fn a_block_that_several_extents_share_is_read_once() {
        let want = Want {
            partition: partition(0),
            offset: Offset(0),
            bytes_max: 50 * MIB,
        };
        let plan = plan(&[want], &[extents(40, 10)], ROOMY);
        assert_eq!(plan.reads[0].extents.len(), 40);
        assert!((4 * MIB..5 * MIB).contains(&plan.held), "{}", plan.held);
        assert_eq!(plan.held_least, MIB + EXTENT_BYTES);
    }

    #[test]
    fn no_more_is_read_ahead_than_some_and_than_is_read_now() {
        let ahead = |bytes_max, counts: &[u32]| {
            let found: Vec<Found> = counts.iter().map(|count| extents(*count, 1)).collect();
            let want = |index| Want {
                partition: partition(index),
                offset: Offset(0),
                bytes_max,
            };
            let wants: Vec<Want> = (0..).map(want).take(counts.len()).collect();
            let ahead = plan(&wants, &found, ROOMY).ahead;
            ahead.iter().map(|read| read.extents.len()).sum::<usize>()
        };
        assert_eq!(ahead(1, &[10; 300]), AHEAD_BYTES_MAX / MIB);
        assert_eq!(ahead(8 * MIB, &[20]), 8);
    }
}
