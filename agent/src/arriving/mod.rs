//! The lane of frames that are still to be read: their senders decide how long that takes, so whoever holds room for one
//! can be told to make room for those who wait. Room goes to whom least was given, and from the slowest it is taken.
//!
//! A lane can also be shared: for what is here and waits for others. Nobody is told to leave there, but no origin gets more
//! of it than it leaves free.

mod lane;
mod state;

pub(crate) use self::lane::{ArrivingLane, Room};

#[cfg(test)]
mod tests;
