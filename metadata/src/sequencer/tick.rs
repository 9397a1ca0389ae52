//! What a sequencer that serves a network does twice a second: shows candidates that it lives, by moving the head, and
//! closes the sessions of agents that do not. One that serves its own process from a file looks whether that is still there.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Options, Sequencer, Serves, until};
use crate::command::{Command, Submission};
use crate::error::Error;
use crate::kv::Transaction;
use crate::said::Said;
use crate::types::Lsn;

/// The head moves at least once in two of these.
pub(super) const TICK: Duration = Duration::from_millis(450);

/// A file may be taken away while nobody asks for anything of it.
const LOOK: Duration = Duration::from_secs(1);

/// Sessions closed at a time; the others are with the next tick.
const CLOSED_AT_ONCE: usize = 4096;

/// Lines a minute on agents that fell silent.
const SILENT_LINES_MAX: u32 = 16;

/// After a take-over, or an outage of the store; longer than agents take to come.
const SETTLE: Duration = Duration::from_secs(3);

/// When to look next, if ever, and what the head was.
#[derive(Debug)]
pub(super) struct Tick {
    at: Option<Instant>,
    every: Duration,
    began: Instant,
    head: Bytes,
    /// Sessions that were closed for silence.
    silent: Said<()>,
}

impl Tick {
    /// `is_file`: whether the store is one, which this process has to itself.
    pub(super) fn new(options: &Options, is_file: bool) -> Self {
        let (ticks, every) = match options.serves {
            Serves::Network(_) => (true, TICK),
            Serves::ThisProcess => (is_file, LOOK),
        };
        Self {
            at: ticks.then(|| Instant::now() + every),
            every,
            began: Instant::now(),
            head: Bytes::new(),
            silent: Said::seldom(SILENT_LINES_MAX),
        }
    }

    /// All agents were cut off.
    pub(super) fn begin_again(&mut self) {
        self.began = Instant::now();
    }

    /// Whether agents that lost their stream have had time to come here. Until then they keep the list they have.
    pub(super) fn settled(&self) -> bool {
        self.began.elapsed() >= SETTLE
    }

    pub(super) async fn due(&self) {
        until(self.at).await;
    }
}

impl Sequencer {
    /// Does what is due.
    pub(super) async fn tick(&mut self) -> Result<(), Error> {
        if self.tick.at.is_none_or(|at| at > Instant::now()) {
            return Ok(());
        }
        self.tick.at = Some(Instant::now() + self.tick.every);
        if self.options.serves == Serves::ThisProcess {
            return self.holder.check_owner(self.kv.as_ref()).await;
        }
        self.subscribers.sweep();
        self.publish_agents();
        let (now, lsn) = (self.time.now(), Lsn(self.state.lsn.0 + 1));
        if let Some(advanced) = self.state.advance_naming(lsn, now) {
            self.write_own(lsn, now, vec![advanced]).await?;
        }
        self.close_silent().await?;
        if self.holder.head == self.tick.head {
            let (kv, nothing) = (self.kv.as_ref(), Transaction::default());
            self.holder.write(kv, nothing, &self.options).await?;
        }
        self.tick.head = self.holder.head.clone();
        Ok(())
    }

    /// All in one drain: a fleet that went away at once, or somebody who begins sessions and leaves them, must not hold
    /// everybody up for as many commits.
    async fn close_silent(&mut self) -> Result<(), Error> {
        let mut silent = self.liveness.silent(self.state.sessions.ids());
        silent.truncate(CLOSED_AT_ONCE);
        let (now, lsn) = (self.time.now(), Lsn(self.state.lsn.0 + 1));
        let mut effects = Vec::new();
        for session in &silent {
            if let Some(unsaid) = self.tick.silent.admit(()) {
                tracing::info!(session, unsaid, "an agent is silent; its session is closed");
            }
            let own = Submission::own(Command::CloseSession(*session));
            effects.extend(self.state.execute(lsn, now, &own).effects);
        }
        if !effects.is_empty() {
            self.write_own(lsn, now, effects).await?;
        }
        for session in silent {
            self.subscribers.close(session);
        }
        Ok(())
    }
}
