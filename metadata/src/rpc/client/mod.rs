//! The other end of an agent's [`Metadata`] handle when the sequencer is elsewhere. One task: it finds a sequencer
//! (`route`), greets it (`greet`), keeps and numbers what is asked until it is answered (`commands`, `questions`), and takes
//! in what it is told (`receive`), and sees whether it is answered at all (`answers`). After a fail-over it submits again,
//! in order, what is unanswered.

mod answers;
mod commands;
mod greet;
mod questions;
mod receive;
mod work;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::link::{Dial, Link};
use super::message::Welcome;
use super::route::Route;
use crate::catalogue::Agent;
use crate::error::Error;
use crate::handle::{Metadata, Shared};
use crate::queue::QUEUE_MAX;
use crate::witness::Witness;
use work::{Ended, Work};

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(250);

/// How an agent reaches the sequencer.
#[derive(Clone)]
pub struct ConnectOptions {
    /// Processes that hold the order, or know who does.
    pub addresses: Vec<String>,
    pub dial: Dial,
    /// Who clients are told that this agent is.
    pub agent: Option<Agent>,
    /// For pauses that differ between agents.
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Where this agent leaves what it knows, when it stops because the metadata store went back in time.
    pub witness: Option<Witness>,
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Keeps a handle connected. Does nothing until [`Client::run`] is polled.
pub struct Client {
    route: Route,
    work: Work,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// A handle on the metadata at a sequencer elsewhere, and the task that keeps it connected.
#[must_use]
pub fn connect(reach: ConnectOptions) -> (Metadata, Client) {
    let shared = Arc::new(Shared::elsewhere(&reach.addresses));
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let seeker = Arc::clone(&shared);
    let client = Client {
        route: Route::new(reach.addresses, reach.dial, reach.random, seeker),
        work: Work::new(queue, Arc::clone(&shared), reach.agent, reach.witness),
    };
    (Metadata::new(sender, shared), client)
}

impl Client {
    /// One that speaks other versions than this process.
    #[cfg(test)]
    pub(super) fn speaking(mut self, versions: super::message::Versions) -> Self {
        self.work.versions = versions;
        self
    }

    /// Until [`Metadata::close`], or until nobody has the handle any more.
    ///
    /// # Errors
    /// When another cluster answers at the addresses given, when its feature level is none that this version reads, and when
    /// the metadata store went back in time: then it holds no more what this agent was told is durable, and nothing that it
    /// says can be trusted.
    pub async fn run(mut self) -> Result<(), Error> {
        loop {
            let Some(found) = self.find().await else {
                return Ok(());
            };
            let (link, welcome) = found?;
            let (reason, silent) = match self.work.serve(link, welcome).await? {
                Ended::Closed => return Ok(()),
                Ended::Lost(reason) => (reason, false),
                Ended::Silent => ("the sequencer is silent".to_owned(), true),
            };
            self.route.lost(silent);
            if self.work.shared.ready.swap(false, Ordering::AcqRel) {
                tracing::warn!(reason, "lost the sequencer");
            } else {
                tracing::debug!(reason, "no sequencer");
            }
        }
    }

    /// Nothing asked meanwhile waits for ever. `None`: asked to close.
    async fn find(&mut self) -> Option<Result<(Link, Welcome), Error>> {
        let finding = self.route.find(self.work.hello());
        tokio::pin!(finding);
        loop {
            if self.work.is_done() {
                return None;
            }
            tokio::select! {
                biased;
                found = &mut finding => return Some(found),
                asked = self.work.queue.recv(), if !self.work.closing => self.work.take(asked),
                () = sleep_until(self.work.tick_at) => {}
            }
            self.work.tick();
        }
    }
}
