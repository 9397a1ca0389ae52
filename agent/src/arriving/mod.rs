//! The lane of frames that are still to be read: their senders decide how long that takes, so whoever holds room for one
//! can be told to make room for those who wait. Room goes to whom least was given, and from the slowest it is taken.

mod lane;
mod state;

pub(crate) use self::lane::{ArrivingLane, Room};

#[cfg(test)]
mod tests;
