//! The lane of frames that are still to be read: their senders decide how long that takes, so whoever holds room for one
//! can be told to make room for those who wait. Room goes to whom least was given, and from the slowest it is taken.
//!
//! A lane can also be shared: for what is here and waits for others. No origin gets more of it than it leaves free, and where
//! nothing arrives, nobody is told to leave.

mod lane;
mod state;

pub(crate) use self::lane::{ArrivingLane, Room};

#[cfg(test)]
mod tests;
