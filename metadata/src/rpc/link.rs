//! One ordered stream of frames each way between an agent and a sequencer's process, and how to get one. Tests join both
//! ends in memory.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::budget::Part;
use crate::shown::Shown;

/// Frames that wait in either direction. Each may be large; what else waits is counted at both ends.
pub(super) const FRAMES_MAX: usize = 2;

/// One end. Dropping it ends the stream for the other side, too.
#[derive(Debug)]
pub struct Link {
    pub(super) sender: mpsc::Sender<Bytes>,
    pub(super) receiver: mpsc::Receiver<Bytes>,
    /// The machine at the other end, where it came from another one.
    pub(super) from: Option<IpAddr>,
    /// Where the frames are counted that come in, if they are.
    pub(super) part: Option<Arc<Part>>,
    /// What carries the frames, if they leave the process.
    pub(super) _driver: Option<JoinSet<()>>,
}

impl Link {
    /// An end whose frames somebody else carries.
    #[must_use]
    pub fn new(sender: mpsc::Sender<Bytes>, receiver: mpsc::Receiver<Bytes>) -> Self {
        Self {
            sender,
            receiver,
            from: None,
            part: None,
            _driver: None,
        }
    }

    /// A frame that came in is in other hands.
    pub(super) fn took(&self, frame: &Bytes) {
        if let Some(part) = &self.part {
            part.sub(frame.len());
        }
    }
}

/// Two ends in one process.
#[must_use]
pub fn pair() -> (Link, Link) {
    let (up, from_up) = mpsc::channel(FRAMES_MAX);
    let (down, from_down) = mpsc::channel(FRAMES_MAX);
    (Link::new(up, from_down), Link::new(down, from_up))
}

/// Why there is no link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Nobody listens there: the process is gone.
    #[error("the connection is refused")]
    Refused,
    /// Anything else; it may still live.
    #[error("{0}")]
    Failed(String),
}

impl DialError {
    /// What went wrong may be in the peer's own words.
    pub(super) fn failed(error: impl fmt::Display) -> Self {
        Self::Failed(Shown::sentence(error).to_string())
    }
}

type Dialing = Pin<Box<dyn Future<Output = Result<Link, DialError>> + Send>>;

/// Makes links to addresses.
#[derive(Clone)]
pub struct Dial(Arc<dyn Fn(String) -> Dialing + Send + Sync>);

impl Dial {
    pub fn new<F>(dial: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Link, DialError>> + Send + 'static,
    {
        Self(Arc::new(move |address| Box::pin(dial(address))))
    }

    pub(super) async fn to(&self, address: &str) -> Result<Link, DialError> {
        (self.0)(address.to_owned()).await
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dial").finish_non_exhaustive()
    }
}
