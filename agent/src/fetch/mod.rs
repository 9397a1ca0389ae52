//! The read path: a Fetch request becomes wants, wants become extents, extents become bytes, bytes become a reply.
//! Read top to bottom: `handler` (reply), `translate` to `want`s, `held` (whose polls may wait), `wait` (sleep until there
//! is enough: the only loop), `look` (locate), `plan` (which blocks, pure), `read` (through the cache), `assemble` (stamp offsets,
//! cut to limits, pure) of `batches`.

mod assemble;
mod batches;
mod handler;
mod held;
mod look;
mod plan;
mod read;
mod translate;
mod wait;
mod want;

#[cfg(test)]
mod tests;

pub(crate) use self::handler::{Fetch, check};
pub(crate) use self::held::HELD_BYTES_MAX;
