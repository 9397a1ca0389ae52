//! One client socket: length, byte permit, frame in; replies out in request order. Knows frames, not messages.
//! Called by `server.rs`, calls `dispatch.rs`.

mod arrivals;
mod frames;
mod in_flight;
mod replies;
mod serve;

use crate::call::{Close, PendingReply};

pub(crate) use self::arrivals::{Arrivals, Unknown};
pub(crate) use self::serve::serve;

#[cfg(test)]
mod tests;
