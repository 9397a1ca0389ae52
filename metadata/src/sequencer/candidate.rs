//! A process that could hold the order: watches whoever does, takes over when that one is gone, serves until another
//! takes over, and watches again. Nothing rests on its being right: two that hold at once are told apart by the store.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::lineage::{Memory, Past, ask};
use super::store::{Address, Owner};
use super::{Options, Sequencer, Serves, assemble, takeover};
use crate::error::Error;
use crate::handle::{Metadata, NO_SESSION, Stats};
use crate::history::Point;
use crate::kv::Kv;
use crate::level::Format;
use crate::rpc::server::Role;
use crate::rpc::{DialError, Link, Probe, Server};

/// Between looks at the holder.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// A holder rewrites the head at least every second; one that did not for so long is taken for gone.
const HEAD_STILL_MAX: Duration = Duration::from_secs(3);
/// A port that says nothing in this time says nothing.
const PROBE_TIME_MAX: Duration = Duration::from_secs(1);
/// After the store did not answer.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// See the file. Does nothing until [`Candidate::run`] is polled.
#[derive(Debug)]
pub struct Candidate {
    kv: Arc<dyn Kv>,
    options: Options,
    address: String,
    probe: Probe,
    roles: watch::Sender<Role>,
    /// The newest point that this process ever saw in the store, or wrote.
    remembered: Mutex<Option<Point>>,
}

/// What a candidate is right now, for those who watch it.
#[derive(Clone, Debug)]
pub struct Status(watch::Receiver<Role>);

impl Status {
    fn holding(&self) -> Option<Metadata> {
        match &*self.0.borrow() {
            Role::Holding(metadata) => Some(metadata.clone()),
            Role::Waiting { .. } => None,
        }
    }

    /// Whether this process holds the order.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.holding().is_some()
    }

    /// Whether it holds the order and the store can be written.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.holding().is_some_and(|metadata| metadata.ready())
    }

    /// Counters since it took over; zeros while it waits.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.holding()
            .map_or_else(Stats::default, |metadata| metadata.stats())
    }
}

/// What was seen of the holder last.
struct Seen {
    owner: Bytes,
    head: Bytes,
    since: Instant,
    /// Whether a holder was seen to write, which it does only once it knows that the store did not go back.
    wrote: bool,
}

impl Candidate {
    /// One that agents reach at `address`, with the server that takes in those who come by `links`.
    #[must_use]
    pub fn new(
        kv: Arc<dyn Kv>,
        mut options: Options,
        address: String,
        probe: Probe,
        links: mpsc::Receiver<Link>,
    ) -> (Self, Server) {
        options.serves = Serves::Network(address.clone());
        let holder = String::new();
        let (roles, serving) = watch::channel(Role::Waiting { holder });
        let candidate = Self {
            kv,
            options,
            address,
            probe,
            roles,
            remembered: Mutex::new(None),
        };
        (candidate, Server::new(links, serving))
    }

    /// For health and metrics.
    #[must_use]
    pub fn status(&self) -> Status {
        Status(self.roles.subscribe())
    }

    /// Until `stop` resolves: then the last checkpoint is written and others may take over at once.
    ///
    /// # Errors
    /// When the store is damaged, went back in time or was written by a newer version.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        tokio::pin!(stop);
        loop {
            let (metadata, sequencer) = tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                held = self.wait() => held?,
            };
            tracing::info!(address = self.address, "holds the order");
            self.roles.send_replace(Role::Holding(metadata.clone()));
            let running = sequencer.run();
            tokio::pin!(running);
            let ended = tokio::select! {
                biased;
                ended = &mut running => ended,
                () = &mut stop => {
                    let (ended, ()) = tokio::join!(&mut running, metadata.close());
                    self.step_down();
                    return ended;
                }
            };
            self.step_down();
            self.remember(metadata.shared().point());
            match ended {
                Err(Error::Fenced) => tracing::warn!("another process holds the order now"),
                ended => return ended,
            }
        }
    }

    fn memory(&self) -> Option<Memory> {
        (*self.remembered.lock()).map(Memory::own)
    }

    fn remember(&self, point: Option<Point>) {
        if point.is_some() {
            *self.remembered.lock() = point;
        }
    }

    fn step_down(&self) {
        let holder = String::new();
        self.roles.send_replace(Role::Waiting { holder });
    }

    /// Watches, until it holds the order.
    async fn wait(&self) -> Result<(Metadata, Sequencer), Error> {
        let mut seen: Option<Seen> = None;
        loop {
            match self.look(&mut seen).await {
                Ok(Some(held)) => return Ok(held),
                Ok(None) => sleep(LOOK_INTERVAL).await,
                Err(Error::Unavailable { reason, .. }) => {
                    tracing::debug!(reason, "the metadata store does not answer");
                    // Whether the head stands still cannot be seen now.
                    seen = None;
                    sleep(STORE_PAUSE).await;
                }
                // Somebody was faster in the middle of it.
                Err(Error::Fenced) => seen = None,
                Err(error) => return Err(error),
            }
        }
    }

    async fn look(&self, seen: &mut Option<Seen>) -> Result<Option<(Metadata, Sequencer)>, Error> {
        let kv = self.kv.as_ref();
        let Format { cluster_id, .. } = takeover::open(kv, &self.options).await?;
        let past = Past::read(kv).await?;
        let memory = self.memory();
        if let Some(memory) = &memory {
            past.check(memory)?;
        }
        self.remember(past.point()?);
        let Past { owner, head, .. } = past;
        let now = Instant::now();
        let (since, wrote) = match seen {
            Some(seen) if seen.owner == owner && seen.head == head => (seen.since, seen.wrote),
            Some(seen) if seen.owner == owner => (now, true),
            Some(seen) => (now, seen.wrote),
            None => (now, false),
        };
        *seen = Some(Seen {
            owner: owner.clone(),
            head,
            since,
            wrote,
        });
        let holder = Owner::decode(owner.clone())?;
        if !self.is_gone(&holder, now - since).await {
            return Ok(None);
        }
        let witness = match ask(self.options.witness.as_ref(), &cluster_id).await {
            Err(Error::Unavailable { reason, .. }) if wrote => {
                tracing::warn!(reason, "takes over by what this process saw itself");
                None
            }
            witness => witness?,
        };
        let memories: Vec<_> = memory.into_iter().chain(witness).collect();
        let held = takeover::succeed(kv, &self.options, owner, &memories).await?;
        let Some(held) = held else {
            return Ok(None);
        };
        let (kv, options) = (Arc::clone(&self.kv), self.options.clone());
        Ok(Some(assemble(kv, options, held, cluster_id, NO_SESSION)))
    }

    async fn is_gone(&self, holder: &Owner, still: Duration) -> bool {
        let address = match &holder.serves {
            // It had the store to itself, and now this process has opened it.
            None | Some(Address::Left) => return true,
            // This process listens there, so that one has ended.
            Some(Address::At(address)) if *address == self.address => return true,
            Some(Address::At(address)) => address,
        };
        let holder = address.clone();
        self.roles.send_replace(Role::Waiting { holder });
        if still >= HEAD_STILL_MAX {
            tracing::warn!(holder = address, "the holder of the order is silent");
            return true;
        }
        let refused = timeout(PROBE_TIME_MAX, self.probe.of(address)).await;
        matches!(refused, Ok(Err(DialError::Refused)))
    }
}
