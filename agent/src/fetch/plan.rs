//! Which blocks to read for a reply, and which to read ahead. Pure. Called by `handler`.

use metadata::{Extent, TopicPartition};

use super::{Found, Want};

/// What a reply may carry in all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes_max: usize,
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
    /// For each want, in order.
    pub(super) reads: Vec<Read>,
    pub(super) ahead: Vec<Read>,
}

impl Plan {
    pub(super) fn raw_bytes(&self) -> usize {
        self.reads
            .iter()
            .flat_map(|read| &read.extents)
            .map(|extent| extent.raw_length() as usize)
            .sum()
    }
}

/// Takes extents in the wants' order until the limits are reached; always the first one there is, so that a reader
/// makes progress whatever its limits (KIP-74).
pub(super) fn plan(wants: &[Want], found: &[Found], limits: Limits) -> Plan {
    let mut plan = Plan::default();
    let mut left = limits.bytes_max;
    let mut anything = false;
    for (want, found) in wants.iter().zip(found) {
        let of_want = |extents: &[Extent]| Read {
            partition: want.partition,
            extents: extents.to_vec(),
        };
        let Found::Extents { extents, .. } = found else {
            plan.reads.push(of_want(&[]));
            continue;
        };
        let taken = take(extents, want, left, anything);
        let (now, ahead) = extents.split_at(taken);
        let bytes: usize = now.iter().map(|extent| extent.raw_length() as usize).sum();
        left = left.saturating_sub(bytes.min(want.bytes_max));
        anything |= now.iter().any(|extent| extent.stored().is_some());
        plan.reads.push(of_want(now));
        plan.ahead.push(of_want(ahead));
    }
    plan
}

/// How many of a want's extents are read: enough to fill its limit although the first is entered in its middle.
fn take(extents: &[Extent], want: &Want, left: usize, anything: bool) -> usize {
    let limit = want.bytes_max.min(left);
    if limit == 0 && anything {
        return 0;
    }
    let mut bytes = 0_usize;
    let (mut taken, mut any) = (0, false);
    for extent in extents {
        if any && bytes >= limit {
            break;
        }
        // What has no bytes is stepped over: a reader makes progress behind it.
        any |= extent.stored().is_some();
        let skipped = want.offset.0 > extent.base_offset.0;
        // What lies before the wanted offset does not count; how much that is shows only once it is read.
        bytes += if skipped {
            0
        } else {
            extent.raw_length() as usize
        };
        taken += 1;
    }
    taken
}
