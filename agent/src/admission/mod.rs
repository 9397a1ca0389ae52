//! Byte permits: how much of what clients send may be in memory at once, charged before the bytes are read.
//! `connection/` takes frame permits, `produce/` exchanges them for buffer permits once a batch is valid.
//!
//! Frames that are here already, and small and large ones that are still to come, wait in separate lanes, so that nobody who
//! sends slowly or much delays the rest. Replies do so too, because a client that does not read holds its reply
//! for a minute; and those who took earlier ones need not stand in one line with those who may never read.
//! Produce requests have lanes of their own, arriving and here: they wait for room among batches, and nothing else waits for
//! them. So do their places in the order of their connections, behind which others are read, small and large ones.
//! Where a request may hold its permit for long, and where it waits for its answer's, no origin gets more of the lane than
//! it leaves free.

mod budgets;
mod lane;
mod lanes;
mod permit;
mod replies;

#[cfg(test)]
mod tests;

pub(crate) use self::budgets::{ANSWER_BYTES_MAX, FIRST_CHUNK_BYTES, REQUEST_BYTES};
pub(crate) use self::lanes::{Admission, is_small};
pub(crate) use self::permit::Permit;
pub(crate) use self::replies::ReplyBytes;
