//! One client socket: length, byte permit, frame in; replies out in request order. Knows frames, not messages.
//! Called by `server.rs`, calls `dispatch.rs`.

mod frames;
mod replies;
mod serve;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

pub(crate) use self::serve::serve;
use crate::admission::Permit;

/// Tells connections of this process apart, for as long as it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// What a request is answered with.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// The whole frame, in slices; empty where the request wants no answer (`acks=0`).
    pub(crate) slices: Vec<Bytes>,
    /// Held until the reply is written.
    pub(crate) permit: Option<Permit>,
}

/// The second half of a request: what is left to do once its place in the order is taken. An error closes the connection.
pub(crate) type PendingReply = Pin<Box<dyn Future<Output = Result<Reply, Close>> + Send>>;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Close {
    #[error("the client went away")]
    Gone,
    #[error("nothing was heard for too long")]
    Idle,
    #[error("a request arrived too slowly")]
    TooSlow,
    #[error("the client does not read its replies")]
    NotReading,
    #[error("malformed request: {0}")]
    Malformed(#[from] protocol::DecodeError),
    #[error("{0}")]
    Refused(String),
    #[error("socket: {0}")]
    Socket(#[from] std::io::Error),
}
