//! Where the agent looks into packed batches, and how much that may cost. Few bytes can unpack into a thousand times as
//! many, and nothing says so before: whatever is looked into gets little at first, which is plenty for batches of the
//! usual kind, and waits in a line for the rest where it needs more. Used by `produce` and `offsets`, each with its own.

use std::thread::available_parallelism;

use protocol::Allowance;

use crate::tasks::Workers;

/// What one batch may unpack into, and those that unpack into much come one after the other.
pub(crate) const BATCH_BYTES_MAX: usize = 128 * 1024 * 1024;
/// All that is looked into for a request may unpack into one such batch, and into so many times its bytes.
const RATIO_MAX: usize = 100;
/// What it may unpack into before it has to wait in line with others like it: so many times its bytes, or so many where
/// that is no more than this, or the least.
const USUAL_RATIO_MAX: usize = 16;
const USUAL_DENSE_RATIO_MAX: usize = 64;
const USUAL_DENSE_BYTES_MAX: usize = 8 * 1024 * 1024;
const USUAL_BYTES_MIN: usize = 1024 * 1024;
const USUAL_SPARE_BYTES: usize = 1024;
/// What one batch may unpack into that is to be packed anew: it is held whole, beside what it is unpacked from and packed
/// into.
pub(crate) const KEPT_BYTES_MAX: usize = BATCH_BYTES_MAX / 2;
/// What a decoder may hold: the largest window of zstd's usual levels, and the largest there is, which its highest level
/// writes for whatever it packs. It takes memory as far as something is unpacked into it.
const USUAL_MEMORY_MAX: usize = 8 * 1024 * 1024;
const WINDOW_MAX: usize = 128 * 1024 * 1024;
/// What those in both lines for what unpacks into much hold together: a window or a block, or half of that and what is kept.
pub(crate) const UNPACKED_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX;

/// The lines, and who works on them.
#[derive(Debug)]
pub(crate) struct Unpacking {
    /// For what is small and unpacks into little.
    pub(crate) usual: Workers,
    /// For what is large and unpacks into little for its size.
    pub(crate) large: Workers,
    /// For what unpacks into much. Whoever sends such things waits for others who do.
    pub(crate) dense: Workers,
}

impl Unpacking {
    pub(crate) fn new() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self {
            usual: Workers::new(cores.max(2)),
            large: Workers::new((cores / 2).max(1)),
            dense: Workers::new(1),
        }
    }
}

/// What so many bytes of a request may take at first.
pub(crate) fn usual(bytes: usize, wanted: &dyn Fn() -> bool) -> Allowance<'_> {
    let dense = bytes.saturating_mul(USUAL_DENSE_RATIO_MAX);
    let dense = dense.clamp(USUAL_BYTES_MIN, USUAL_DENSE_BYTES_MAX);
    exactly(usual_bytes(bytes).max(dense), wanted)
}

/// What so many packed bytes unpack into in most cases, and a little for those that are very few.
pub(crate) fn usual_bytes(packed: usize) -> usize {
    packed
        .saturating_mul(USUAL_RATIO_MAX)
        .saturating_add(USUAL_SPARE_BYTES)
}

/// The most that they may take, for those who stood in line for it.
pub(crate) fn dense(bytes: usize, wanted: &dyn Fn() -> bool) -> Allowance<'_> {
    let bytes = bytes.saturating_mul(RATIO_MAX);
    Allowance {
        memory_bytes: BATCH_BYTES_MAX,
        window_bytes: WINDOW_MAX,
        ..exactly(bytes.saturating_add(BATCH_BYTES_MAX), wanted)
    }
}

/// So many bytes, unpacked.
pub(crate) fn exactly(bytes: usize, wanted: &dyn Fn() -> bool) -> Allowance<'_> {
    Allowance {
        bytes,
        batch_bytes: BATCH_BYTES_MAX,
        record_bytes: usize::MAX,
        memory_bytes: USUAL_MEMORY_MAX,
        window_bytes: USUAL_MEMORY_MAX,
        wanted,
    }
}
