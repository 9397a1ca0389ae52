//! Input that is cut, bent, random or made to be large: an error, never a panic, and never more memory than 16 times the
//! frame and 64 KiB. The bodies that judge it are the fuzz targets' own.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the verdict"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../../fuzz/src/bodies.rs"]
mod bodies;
#[path = "../../fuzz/src/counting.rs"]
mod counting;

mod batches;
mod headers;
mod lengths;
mod messages;
mod specimens;
mod tagged;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;
