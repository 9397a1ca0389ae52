//! Why the metadata cannot answer: who must act, whether it may be retried, whether it happened.

use std::fmt;

use bytes::Bytes;

use crate::codec::Unreadable;
use crate::keys::Key;
use crate::kv::KvError;

/// Whether what was asked for was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Certainly not: asking again is harmless.
    No,
    /// Perhaps. Ask again in a way that tells a repetition.
    Unknown,
}

#[expect(
    clippy::error_impl_error,
    reason = "metadata::Error, as everybody calls it"
)]
/// Not an answer. Lawful refusals are [`crate::Rejected`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Another process took over; this one must stop. Said of what certainly was not done.
    #[error("another process took over the metadata; this one stops")]
    Fenced,
    /// The store does not answer, or too much is waiting for it.
    #[error("{}", not_available(reason))]
    Unavailable { happened: Happened, reason: String },
    /// So many changes of topics, or blocks of producer ids, are not answered that no more of that kind are taken for now. Said
    /// of what certainly was not done.
    #[error("too many commands of this kind wait already: nothing was done")]
    TooManyWait,
    /// The store holds what Penstock did not write. Nothing may be written over it.
    #[error("the metadata store is damaged: {0}")]
    Corrupt(String),
    /// What leads to committed records of a partition is missing or cannot be read. Others can be read; a person must look
    /// at this one.
    #[error("committed records cannot be found: {0}")]
    Damaged(String),
    /// This process is stopping. Said of what certainly was not done.
    #[error("the metadata is closing")]
    Closing,
    /// A newer Penstock wrote the store.
    #[error(
        "the metadata store has format {found}, this version knows {known}: use a newer Penstock"
    )]
    NewerFormat { found: String, known: String },
    /// The store lost what was durable in it: a lagging standby, a restored backup or an old file took its place.
    #[error(
        "the metadata store went back in time: {0}; bring back the newest copy of it, or accept what is lost with \
         penstock metadata --accept-older-store"
    )]
    WentBack(String),
    /// The bucket's objects were named by another cluster.
    #[error(
        "the bucket belongs to the metadata of cluster {bucket}, and this is the metadata of cluster {metadata}: give \
         each its own"
    )]
    OtherBucket { bucket: String, metadata: String },
    /// An agent reached a process that holds the order of another cluster than its own.
    #[error(
        "this agent belongs to cluster {known}, and the metadata process that it reached to cluster {found}: --metadata names \
         a process of another cluster (of an agent with --store: --peer-advertise does); correct it"
    )]
    OtherCluster { found: String, known: String },
    /// The store was emptied under a process that watched it, or another cluster's took its place.
    #[error(
        "the metadata store is {found}, and this process remembers cluster {cluster} in it: bring back a copy of the store"
    )]
    Replaced { found: String, cluster: String },
    /// Nothing is in the store, and the bucket is that of a cluster.
    #[error(
        "the metadata store is empty, and the bucket remembers cluster {0}: bring back a copy of the store, or give a new \
         cluster a bucket of its own"
    )]
    Emptied(String),
    /// Another process that may hold the order answers at the address that others are told of this one.
    #[error(
        "two metadata processes answer at {0}, as behind a load balancer or a Kubernetes Service: give each an address of \
         its own with --advertise (an agent: --peer-advertise)"
    )]
    AddressShared(String),
    /// Another process has the store open.
    #[error("the metadata store is in use by another process: {0}")]
    InUse(String),
}

/// With which the reason begins where it is not the store that does not answer.
const BUCKET_AWAY: &str = "the bucket is not available";

fn not_available(reason: &str) -> String {
    match reason.starts_with(BUCKET_AWAY) {
        true => reason.to_owned(),
        false => format!("the metadata store is not available: {reason}"),
    }
}

impl Error {
    /// What the bucket remembers cannot be read or written now, which says nothing of the store.
    pub(crate) fn bucket_away(reason: impl fmt::Display) -> Self {
        Self::unavailable(format!("{BUCKET_AWAY}: {reason}"))
    }

    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable {
            happened: Happened::No,
            reason: reason.into(),
        }
    }

    pub(crate) fn unknown(reason: impl Into<String>) -> Self {
        Self::Unavailable {
            happened: Happened::Unknown,
            reason: reason.into(),
        }
    }

    /// The same, of something that certainly was not done.
    pub(crate) fn never_happened(self) -> Self {
        match self {
            Self::Unavailable { reason, .. } => Self::unavailable(reason),
            other => other,
        }
    }

    /// A row without which no store is whole is not there.
    pub(crate) fn missing(key: Key) -> Self {
        Self::of_row(key, "is missing")
    }

    /// Something is wrong with a row of which there is one.
    pub(crate) fn of_row(key: Key, what: &str) -> Self {
        let name = key.in_words().unwrap_or("a row");
        Self::Corrupt(format!("{name} {what}"))
    }

    /// The row under that key is damaged, or belongs under another one.
    pub(crate) fn unreadable(key: &Bytes) -> Self {
        let name =
            Key::decode(key).map_or_else(|_| format!("{key:02x?}"), |key| format!("{key:?}"));
        Self::Corrupt(format!("the row {name} cannot be read"))
    }
}

/// Why a write failed, and whether it was done all the same: the process may have to end for a reason that says nothing
/// of that.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) happened: Happened,
    pub(crate) error: Error,
}

impl Failed {
    /// What whoever asked for it is told.
    pub(crate) fn told(&self) -> Error {
        match (self.happened, &self.error) {
            (Happened::Unknown, Error::Unavailable { reason, .. }) => {
                Error::unknown(reason.clone())
            }
            (Happened::Unknown, error) => Error::unknown(error.to_string()),
            (Happened::No, error) => error.clone().never_happened(),
        }
    }
}

/// Of what was not sent to the store, or was refused by it.
impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let happened = match &error {
            Error::Unavailable { happened, .. } => *happened,
            _ => Happened::No,
        };
        Self { happened, error }
    }
}

impl From<KvError> for Failed {
    fn from(error: KvError) -> Self {
        Error::from(error).into()
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

impl From<KvError> for Error {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Corrupt(reason) => Self::Corrupt(reason),
            KvError::InUse(reason) => Self::InUse(reason),
            KvError::NewerFormat(found) => Self::NewerFormat {
                found,
                known: "only older ones".to_owned(),
            },
            KvError::Unknown(reason) => Self::unknown(reason),
            other => Self::unavailable(other.to_string()),
        }
    }
}

impl From<Unreadable> for Error {
    fn from(error: Unreadable) -> Self {
        Self::Corrupt(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whichever_of_store_and_bucket_is_away_is_named_and_the_other_is_not() {
        let store = Error::unavailable("connection refused").to_string();
        assert!(store.contains("the metadata store is not available: conn"));
        assert!(!store.contains("bucket"), "{store}");
        let bucket = Error::bucket_away("it does not answer");
        let said = bucket.clone().never_happened().to_string();
        assert_eq!(said, "the bucket is not available: it does not answer");
        assert_eq!(bucket.to_string(), said);
    }

    #[test]
    fn a_newer_format_is_said_to_be_one() {
        let error = Error::from(KvError::NewerFormat("redb 9 (/m.redb)".to_owned()));
        assert_eq!(
            error.to_string(),
            "the metadata store has format redb 9 (/m.redb), this version knows only older ones: use a newer Penstock"
        );
    }
}
