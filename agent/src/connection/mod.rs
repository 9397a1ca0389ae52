//! One client socket: length, byte permit, frame in; replies out in request order. Knows frames, not messages.
//! Called by `server.rs`, calls `dispatch.rs`.

mod arrivals;
mod frames;
mod in_flight;
mod replies;
mod serve;
mod unsent;

use crate::call::{Close, PendingReply};

pub(crate) use self::arrivals::{Arrivals, Unknown};
pub(crate) use self::serve::serve;
pub(crate) use self::unsent::bound_unsent;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod unread;
