//! The open segment: what was appended since the last seal, grouped by partition, and the question whether waiting for
//! more makes sense. Pure: time is handed in. Owned by `flusher`.

mod open;
mod sealed;
mod waiting;

#[cfg(test)]
mod tests;

pub(crate) use open::SealPolicy;
pub(super) use open::{Append, BatchOutcome, Buffer};
pub(super) use sealed::{Sealed, SealedBlock, Waiters};
