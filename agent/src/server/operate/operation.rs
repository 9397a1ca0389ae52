//! What an operator can say, and to whom.

use crate::config::{PeerTls, Records, StoreUrl};

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// From now on the cluster writes what this version, or the sequencer's, can write.
    Finalize,
    /// Objects that the metadata does not know may be deleted again.
    ReleaseHold,
    /// The cluster goes on from a store that went back in time.
    AcceptOlderStore,
    /// Readers step over records that cannot be read.
    MarkLost(Records, IfReadable),
}

/// What to do about records that are not lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfReadable {
    /// They are looked for in the bucket, and kept.
    Refuse,
    /// Nobody looks.
    GiveUp,
}

/// To whom it is said.
#[derive(Clone, Debug)]
pub enum Operated {
    /// A store that nobody serves from.
    Store(StoreUrl),
    /// Processes that hold the order or know who does.
    Processes {
        addresses: Vec<String>,
        tls: Option<PeerTls>,
    },
}
