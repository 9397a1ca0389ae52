//! One process at a time decides: a queue, drains that are decided, written in one transaction and then answered, and
//! checkpoints between them. It owns nothing that it cannot load again from the store.

mod candidate;
mod drain;
pub(crate) mod lineage;
mod liveness;
mod log;
mod operate;
mod probe;
mod publish;
pub(crate) mod reads;
mod status;
mod store;
pub(crate) mod subscribers;
pub(crate) mod takeover;
mod tick;
mod time;
mod touched;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::checkpoint::{Checkpoint, Steps};
use crate::command::Command;
use crate::error::{Error, Happened};
use crate::handle::{Metadata, Shared};
use crate::history::{Holds, Point};
use crate::kv::Kv;
use crate::queue::{Asked, QUEUE_MAX};
use crate::state::{Limits, State};
use crate::types::Timestamp;
use crate::witness::Witness;
pub use candidate::Candidate;
use liveness::Liveness;
use log::Log;
use store::Holder;
use subscribers::Subscribers;
pub use takeover::Checked;
use tick::Tick;
use time::StateTime;

pub(crate) use liveness::Heard;
pub use operate::{Acceptance, accept_older_store, finalize, release_hold};
pub use probe::{Found, Probe};
pub(crate) use status::Role;
pub use status::Status;

/// Asked at once by a drain.
const DRAIN_MAX: usize = 4096;
/// Producers silent for a day are forgotten, as by Kafka's `producer.id.expiration.ms`.
const PRODUCER_EXPIRY_MS: i64 = 24 * 60 * 60 * 1000;
/// Between attempts to take up work again after the store failed.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_millis(250);

/// What the sequencer needs from its process.
#[derive(Clone)]
pub struct Options {
    /// Reads the wall clock, at which only a process that takes over looks. Injected, so that simulation owns time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Random numbers for nonces and the cluster id.
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Between checkpoints, while there is something to write.
    pub checkpoint_interval: Duration,
    /// A checkpoint begins at once when so many bytes of log piled up.
    pub checkpoint_log_bytes: u64,
    /// What one transaction of a checkpoint takes.
    pub checkpoint_steps: Steps,
    /// Commits are slowed down so that no more log than this piles up that is not in rows yet, but for a drain or two:
    /// memory holds what it says, and the next process replays it.
    pub log_bytes_max: u64,
    /// How often it is looked for producers that were silent for a day.
    pub expiry_interval: Duration,
    /// Whom it serves.
    pub serves: Serves,
    /// An agent's session is closed when nothing was heard of it for so long.
    pub session_timeout: Duration,
    /// How much there may be of everything.
    pub limits: Limits,
    /// What the bucket remembers; none where nothing but the store is reached.
    pub witness: Option<Witness>,
}

/// Whom a sequencer serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serves {
    /// The agent in its own process, which has the store to itself.
    ThisProcess,
    /// Agents over the network, which reach it at this address; others like it wait for their turn.
    Network(String),
}

impl Options {
    /// A checkpoint every 15 s or 64 MiB, and twice as much log at the most.
    #[must_use]
    pub fn new(now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self {
            now,
            random: Arc::new(|| RandomState::new().build_hasher().finish()),
            checkpoint_interval: Duration::from_secs(15),
            checkpoint_log_bytes: 64 * 1024 * 1024,
            checkpoint_steps: Steps::default(),
            log_bytes_max: 128 * 1024 * 1024,
            expiry_interval: Duration::from_secs(3600),
            serves: Serves::ThisProcess,
            session_timeout: Duration::from_secs(10),
            limits: Limits::default(),
            witness: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("checkpoint_interval", &self.checkpoint_interval)
            .field("checkpoint_log_bytes", &self.checkpoint_log_bytes)
            .field("log_bytes_max", &self.log_bytes_max)
            .finish_non_exhaustive()
    }
}

/// Decides, writes, answers. Does nothing until [`Sequencer::run`] is polled.
#[derive(Debug)]
pub struct Sequencer {
    queue: mpsc::Receiver<Asked>,
    kv: Arc<dyn Kv>,
    shared: Arc<Shared>,
    options: Options,
    holder: Holder,
    state: State,
    time: StateTime,
    checkpoint: Option<Checkpoint>,
    log: Log,
    expiry_due: Instant,
    subscribers: Subscribers,
    liveness: Liveness,
    tick: Tick,
    /// Asked to close, while the store was failing.
    closing: bool,
}

/// Why the main loop left a step.
enum Ended {
    /// Asked to close.
    Closed,
}

/// Whether [`start`] could read the store. Writes nothing and takes over from nobody; beside a process that works, what
/// it reads may not fit together.
///
/// # Errors
/// When the store cannot be read, is damaged, or was written by a newer version.
pub async fn check(kv: &dyn Kv) -> Result<Checked, Error> {
    takeover::check(kv).await
}

/// Whether a store holds what is remembered of it; not one that is still empty. Writes nothing.
///
/// # Errors
/// When the store cannot be read, or is damaged.
pub async fn holds(kv: &dyn Kv, point: &Point) -> Result<Holds, Error> {
    lineage::holds(kv, point).await
}

/// Opens the store, takes over from whoever held it, and loads the state.
///
/// # Errors
/// When the store cannot be read or written, is damaged, went back in time, or was written by a newer version.
pub async fn start(kv: Arc<dyn Kv>, options: Options) -> Result<(Metadata, Sequencer), Error> {
    let (mut holder, mut state, cluster_id) = takeover::begin(kv.as_ref(), &options).await?;
    let time = StateTime::take_over(state.cluster.now, &options);
    let opened = takeover::open_session(kv.as_ref(), &options, time.now(), &mut holder, &mut state);
    let session = opened.await?;
    let held = Held {
        holder,
        state,
        time,
    };
    Ok(assemble(kv, options, held, cluster_id, session))
}

/// What a process has that took over.
struct Held {
    holder: Holder,
    state: State,
    time: StateTime,
}

/// A sequencer that holds the store.
fn assemble(
    kv: Arc<dyn Kv>,
    options: Options,
    mut held: Held,
    cluster_id: String,
    session: u64,
) -> (Metadata, Sequencer) {
    held.state.limits = options.limits;
    let lineage = Arc::clone(&held.holder.known);
    let shared = Arc::new(Shared::new(Arc::clone(&kv), cluster_id, session, lineage));
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let now = Instant::now();
    let mut sequencer = Sequencer {
        queue,
        kv,
        subscribers: Subscribers::default(),
        liveness: Liveness::new(options.session_timeout),
        tick: Tick::new(&options),
        shared: Arc::clone(&shared),
        checkpoint: None,
        log: Log::loaded(held.state.lsn, &options),
        expiry_due: now + options.expiry_interval,
        options,
        holder: held.holder,
        state: held.state,
        time: held.time,
        closing: false,
    };
    sequencer.publish_all();
    (Metadata::new(sender, shared), sequencer)
}

/// For ever where there is no such time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Sequencer {
    /// Serves until [`Metadata::close`], or until another process took over or the store turned out damaged.
    ///
    /// # Errors
    /// See [`Error`]; the process must end then, for nothing it knows can be trusted any more.
    pub async fn run(self) -> Result<(), Error> {
        let (kv, witness) = (Arc::clone(&self.kv), self.options.witness.clone());
        let (shared, known) = (Arc::clone(&self.shared), Arc::clone(&self.holder.known));
        let cluster_id = shared.cluster_id.get().map_or("", String::as_str);
        let upset = lineage::keep_witness(kv.as_ref(), witness.as_ref(), cluster_id, &known);
        tokio::select! {
            biased;
            ended = self.serve_until_closed() => ended?,
            upset = upset => return Err(upset),
        }
        if let Some(witness) = &witness {
            let known = known.lock().clone();
            let last = lineage::witness_once(kv.as_ref(), witness, cluster_id, &known);
            // It has an older point already.
            let _ = tokio::time::timeout(lineage::LAST_WRITE_TIME_MAX, last).await;
        }
        Ok(())
    }

    async fn serve_until_closed(mut self) -> Result<(), Error> {
        let mut asked = Vec::new();
        loop {
            let step = tokio::select! {
                biased;
                count = self.queue.recv_many(&mut asked, DRAIN_MAX) => {
                    if count == 0 { Ok(Some(Ended::Closed)) } else { self.serve(&mut asked).await }
                }
                () = std::future::ready(()), if self.is_checkpointing() => {
                    self.checkpoint_step().await.map(|()| None)
                }
                () = until(self.log.due()) => Ok(None),
                () = self.tick.due() => Ok(None),
            };
            let step = match step {
                Ok(None) => self.background().await.map(|()| None),
                other => other,
            };
            match step {
                Ok(None) => {}
                Ok(Some(Ended::Closed)) => return self.close().await,
                Err(Error::Unavailable { happened, reason }) => {
                    if let Some(Ended::Closed) = self.resume(happened, reason).await? {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Drains until nothing taken from the queue is left.
    async fn serve(&mut self, asked: &mut Vec<Asked>) -> Result<Option<Ended>, Error> {
        let mut waiting = VecDeque::from(std::mem::take(asked));
        while let Some(next) = waiting.front() {
            if matches!(next, Asked::Close) {
                return Ok(Some(Ended::Closed));
            }
            if let Err(error) = self.drain(&mut waiting).await {
                waiting
                    .into_iter()
                    .for_each(|asked| self.refuse(asked, &error));
                return Err(error);
            }
            if let Err(error) = self.keep_up().await {
                let error = error.never_happened();
                waiting
                    .into_iter()
                    .for_each(|asked| self.refuse(asked, &error));
                return Err(error);
            }
        }
        Ok(None)
    }

    /// What must be done before the next drain: where checkpoints fall behind, what waits is not lost, only slower.
    async fn keep_up(&mut self) -> Result<(), Error> {
        loop {
            self.tick().await?;
            if self.log.is_due() {
                self.begin_checkpoint();
            }
            if !self.is_checkpointing() || !self.log.owes_step() {
                return Ok(());
            }
            self.checkpoint_step().await?;
        }
    }

    /// Whatever is due besides drains.
    async fn background(&mut self) -> Result<(), Error> {
        self.keep_up().await?;
        if self.expiry_due <= Instant::now() {
            self.expiry_due = Instant::now() + self.options.expiry_interval;
            let now = self.time.now();
            planted!(let now = "wall-clock-expires-producers" => (self.options.now)());
            let before = Timestamp(now.0.saturating_sub(PRODUCER_EXPIRY_MS));
            self.command(Command::ExpireProducers { before }).await?;
        }
        Ok(())
    }

    fn begin_checkpoint(&mut self) {
        if !self.is_checkpointing() {
            let checkpoint = Checkpoint::begin(&mut self.state);
            self.checkpoint = Some(checkpoint.in_steps_of(self.options.checkpoint_steps));
            self.log.checkpoint_begins();
        }
    }

    /// Rows are being written, or the log that they made superfluous is being cleared.
    fn is_checkpointing(&self) -> bool {
        self.checkpoint.is_some() || self.log.is_clearing()
    }

    async fn checkpoint_step(&mut self) -> Result<(), Error> {
        self.log.stepped();
        let kv = self.kv.as_ref();
        let Some(mut checkpoint) = self.checkpoint.take() else {
            let cleared = self.log.clear(kv).await?;
            return self.holder.write(kv, cleared, &self.options).await;
        };
        // Drains have their turn in between.
        if checkpoint.read_ahead(kv, &self.state).await? {
            self.checkpoint = Some(checkpoint);
            return Ok(());
        }
        let transaction = checkpoint.step(kv, &mut self.state).await?;
        self.shared
            .counts
            .transactions
            .fetch_add(1, Ordering::Relaxed);
        self.holder.write(kv, transaction, &self.options).await?;
        if checkpoint.is_done() {
            let at = checkpoint.at();
            planted!(let at = "log-cleared-before-it-is-in-rows" => at.max(self.state.lsn));
            self.log.checkpoint_done(at);
            self.shared
                .counts
                .checkpoints
                .fetch_add(1, Ordering::Relaxed);
        } else {
            self.checkpoint = Some(checkpoint);
        }
        Ok(())
    }

    /// A last checkpoint. What cannot be written now is in the log.
    async fn close(&mut self) -> Result<(), Error> {
        // One under way leaves the log that grew meanwhile to a second one.
        while self.is_checkpointing() || !self.log.is_empty() {
            self.begin_checkpoint();
            if let Err(error) = self.checkpoint_step().await {
                tracing::warn!(%error, "no checkpoint at the end; the next start replays the log");
                break;
            }
        }
        if matches!(self.options.serves, Serves::Network(_))
            && let Err(error) = self.holder.leave(self.kv.as_ref()).await
        {
            tracing::info!(%error, "could not say goodbye; others find out by themselves");
        }
        Ok(())
    }

    /// The store failed: nothing in memory is trusted. Refuses what comes until the store can be written again, then
    /// loads the state anew.
    async fn resume(&mut self, happened: Happened, reason: String) -> Result<Option<Ended>, Error> {
        tracing::warn!(
            ?happened,
            reason,
            "the metadata store failed; refusing until it is back"
        );
        self.shared.ready.store(false, Ordering::Release);
        self.checkpoint = None;
        // They shall not take silence for calm.
        self.subscribers.clear();
        if self.closing {
            return Ok(Some(Ended::Closed));
        }
        let refusal = Error::unavailable(reason);
        let mut pause = RETRY_MIN;
        loop {
            let retry_at = Instant::now() + pause;
            loop {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(retry_at) => break,
                    asked = self.queue.recv() => match asked {
                        None | Some(Asked::Close) => return Ok(Some(Ended::Closed)),
                        Some(asked) => self.refuse(asked, &refusal),
                    }
                }
            }
            let kv = self.kv.as_ref();
            match takeover::resume(kv, &self.options, &mut self.holder).await {
                Ok(state) => {
                    planted!(let state = "state-kept-after-failure" => {
                        drop(state);
                        self.state.clone()
                    });
                    self.state = state;
                    self.state.limits = self.options.limits;
                    self.log = Log::loaded(self.state.lsn, &self.options);
                    self.publish_all();
                    self.shared.ready.store(true, Ordering::Release);
                    tracing::info!("the metadata store is back");
                    return Ok(None);
                }
                Err(Error::Unavailable { reason, .. }) => {
                    tracing::debug!(reason, "the metadata store is still away");
                    pause = (pause * 2).min(RETRY_MAX);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
