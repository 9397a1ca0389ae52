//! A request on its way through a room: who asks and by which way, what it holds of the agent meanwhile, and what it is
//! answered with. `dispatch` makes one of each request, and every handler takes it.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use protocol::{Encode, Request, RequestHeader};

use crate::admission::Permit;
use crate::context::Context;
use crate::metrics::count_request;

/// One request, without what it asks for.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) context: Arc<Context>,
    pub(crate) arrival: Arc<Arrival>,
    /// One of the versions of its API.
    pub(crate) version: i16,
    /// What the client calls itself.
    pub(crate) client_id: Option<String>,
    correlation_id: i32,
    /// What it holds of the agent's memory until its reply is written.
    held: Mutex<Option<Permit>>,
}

/// Where a connection came in.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) connection: ConnectionId,
    /// The listener's name.
    pub(crate) listener: String,
    pub(crate) address: Option<IpAddr>,
}

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

impl Call {
    /// `permit`: what its frame was admitted with.
    pub(crate) fn new(
        context: Arc<Context>,
        arrival: Arc<Arrival>,
        header: RequestHeader,
        permit: Permit,
    ) -> Self {
        Self {
            context,
            arrival,
            version: header.api_version,
            client_id: header.client_id,
            correlation_id: header.correlation_id,
            held: Mutex::new(Some(permit)),
        }
    }

    /// Gives back what it holds: a request that waits for long holds nothing meanwhile.
    pub(crate) fn release(&self) {
        *self.held.lock() = None;
    }

    /// Holds that in place of what it held, until its reply is written.
    pub(crate) fn hold(&self, permit: Permit) {
        *self.held.lock() = Some(permit);
    }

    /// The reply, counted, in the call's version.
    pub(crate) fn reply<R: Request>(self, response: &R::Response) -> Reply {
        count_request(R::KEY, response.first_error());
        Reply {
            slices: protocol::encode_response::<R>(self.correlation_id, self.version, response),
            permit: self.held.into_inner(),
        }
    }
}
