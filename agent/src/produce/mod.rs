//! The write path: a Produce request becomes part of the open segment, the segment becomes an object, the object a
//! commit, the commit an ack. Read top to bottom: `handler` (translate, ack), `place` (what a request holds until its reply
//! is written, pure), `judging` (where and how long batches are looked at), `validate` and `contents` (one batch, pure),
//! `buffer` (the open segment, pure), `flusher` (seal, commit in seal order; `budget` says what low latency may cost,
//! `patience` what company is worth), `upload` (encode, PUT).

mod answer;
mod budget;
mod buffer;
mod contents;
mod failures;
mod flusher;
mod handler;
mod judging;
mod names;
mod patience;
mod place;
mod receipts;
mod share;
mod upload;
mod validate;

pub(crate) use self::flusher::{Flusher, SealPolicy};
pub(crate) use self::handler::Produce;
pub(crate) use self::upload::Upload;
