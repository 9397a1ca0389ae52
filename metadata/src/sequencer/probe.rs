//! How a candidate asks who is at an address, its own or another's. Injected: what goes over a wire is `rpc`'s.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Who is at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The port refuses: no process listens there.
    Nobody,
    /// A process that may hold the order, with the number that it drew when it started.
    Process(u64),
    /// That cannot be told; somebody may be there. Why.
    Unclear(String),
}

type Asking = Pin<Box<dyn Future<Output = Found> + Send>>;

/// Asks who is at an address. Answers come when they come: whoever asks waits as long as he likes.
#[derive(Clone)]
pub struct Probe(Arc<dyn Fn(String) -> Asking + Send + Sync>);

impl Probe {
    pub fn new<F>(probe: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Found> + Send + 'static,
    {
        Self(Arc::new(move |address| Box::pin(probe(address))))
    }

    pub(super) async fn of(&self, address: &str) -> Found {
        (self.0)(address.to_owned()).await
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Probe").finish_non_exhaustive()
    }
}
