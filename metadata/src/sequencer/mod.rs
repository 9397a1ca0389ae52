//! One process at a time decides: a queue, drains that are decided, written in one transaction and then answered, and
//! checkpoints between them. It owns nothing that it cannot load again from the store.

mod candidate;
pub(crate) mod doubts;
mod drain;
pub(crate) mod feed;
mod free;
mod full;
mod leftovers;
pub(crate) mod lineage;
mod liveness;
mod log;
pub(crate) mod openers;
mod operate;
mod options;
mod probe;
mod publish;
mod readers;
pub(crate) mod reads;
mod resume;
mod seen;
mod status;
mod store;
mod subscribers;
pub(crate) mod takeover;
mod takes_writes;
mod tick;
mod time;
pub(crate) mod times;
mod touched;
mod upkeep;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::checkpoint::{self, Checkpoint};
use crate::error::Error;
use crate::handle::{Metadata, Shared};
use crate::history::{Holds, Point};
use crate::keys::Key;
use crate::kv::Kv;
use crate::level::Format;
use crate::queue::{Asked, QUEUE_MAX};
use crate::state::{Exceeded, State};
use crate::types::BucketId;
use crate::views::VIEW_IDLE;
pub use candidate::Candidate;
use leftovers::Leftovers;
use liveness::Liveness;
use log::Log;
use store::Holder;
use subscribers::Subscribers;
pub use takeover::Checked;
use tick::Tick;
use time::StateTime;

pub(crate) use liveness::Heard;
pub use operate::{Acceptance, accept_older_store, finalize, mark_lost, release_hold};
pub use options::{Options, Serves};
pub use probe::{Found, Probe};
pub(crate) use readers::{ADDRESS_BYTES_MAX, Looker, Waiting};
pub(crate) use status::Role;
pub use status::Status;

/// Asked at once by a drain.
const DRAIN_MAX: usize = 4096;

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
    /// When it is looked next which views of this process are idle.
    idle_due: Instant,
    leftovers: Leftovers,
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

/// Tries whether the store takes writes, with a row that nobody reads and that is cleared again; whoever holds the order holds
/// on. False: nothing was tried, for the store is empty.
///
/// # Errors
/// When it cannot be written, with its reason.
pub async fn takes_writes(kv: &dyn Kv) -> Result<bool, Error> {
    takes_writes::takes_writes(kv).await
}

/// Whether nobody ever wrote to the store. Writes nothing.
///
/// # Errors
/// When it cannot be read, or is damaged.
pub async fn is_empty(kv: &dyn Kv) -> Result<bool, Error> {
    Ok(takeover::format(kv).await?.is_none())
}

/// The cluster's id and its bucket, if the last checkpoint knew it already. Reads two rows, writes nothing.
///
/// # Errors
/// When they cannot be read, or are not for this version.
pub async fn belongs_to(kv: &dyn Kv) -> Result<Option<(String, BucketId)>, Error> {
    let Some(Format { cluster_id, .. }) = takeover::format(kv).await? else {
        return Ok(None);
    };
    let bucket = checkpoint::bucket(kv).await?;
    Ok(bucket.map(|bucket| (cluster_id, bucket)))
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
    warn_of_limits(&held.state);
    let lineage = Arc::clone(&held.holder.known);
    let is_file = kv.is_exclusive();
    let shared = Arc::new(Shared::new(Arc::clone(&kv), cluster_id, session, lineage));
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let now = Instant::now();
    let mut sequencer = Sequencer {
        queue,
        kv,
        subscribers: Subscribers::default(),
        liveness: Liveness::new(options.session_timeout),
        tick: Tick::new(&options, is_file),
        shared: Arc::clone(&shared),
        checkpoint: None,
        log: Log::loaded(held.state.lsn, held.holder.replayed, &options),
        expiry_due: now + options.expiry_interval,
        idle_due: now + VIEW_IDLE,
        leftovers: Leftovers::new(&options),
        options,
        holder: held.holder,
        state: held.state,
        time: held.time,
        closing: false,
    };
    sequencer.publish_all();
    (Metadata::new(sender, shared), sequencer)
}

/// Once for each time that the order is taken over, for nothing else says why what is new is refused.
fn warn_of_limits(state: &State) {
    if let Some(Exceeded { kinds, bytes }) = state.limits.exceeded(&state.usage()) {
        tracing::warn!(
            over = kinds,
            "the cluster has more than --state-memory allows: what is there stays, and nothing new of it is taken. Give all that \
             may hold the order --state-memory {}MiB or more, or delete what is not needed",
            bytes.div_ceil(1024 * 1024)
        );
    }
}

/// For ever where there is no such time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Until nobody is held up by a step, and what was being read for it is here. May be given up and asked for again.
async fn step_due(calm_at: Option<Instant>, checkpoint: &mut Option<Checkpoint>) {
    if let Some(checkpoint) = checkpoint {
        checkpoint.finish_reading().await;
    }
    if let Some(at) = calm_at {
        tokio::time::sleep_until(at).await;
    }
}

/// Whether what is stored outlives this process.
async fn still_there(kv: &dyn Kv) -> Result<(), Error> {
    if kv.is_exclusive() {
        // A call finds out. One that fails for other reasons, as on a full disk, loses nothing.
        let _ = kv.get(&Key::Owner.encode()).await;
    }
    match kv.displaced() {
        None => Ok(()),
        Some(_) => Err(Error::unavailable(
            "its file was removed or replaced while this process had it open; the log says where what it had is saved, or \
             that it is lost",
        )),
    }
}

impl Sequencer {
    /// Serves until [`Metadata::close`], or until another process took over or the store turned out damaged.
    ///
    /// # Errors
    /// `Unavailable`, once it was closed, where what is stored goes with this process. Any other: the process must end, for
    /// nothing it knows can be trusted any more.
    pub async fn run(self) -> Result<(), Error> {
        let (kv, witness) = (Arc::clone(&self.kv), self.options.witness.clone());
        let (shared, known) = (Arc::clone(&self.shared), Arc::clone(&self.holder.known));
        let cluster_id = shared.cluster_id.get().map_or("", String::as_str);
        let doubts = &shared.doubts;
        let upset =
            lineage::keep_witness(kv.as_ref(), witness.as_ref(), cluster_id, &known, doubts);
        let ended = tokio::select! {
            biased;
            ended = Box::pin(self.serve_until_closed()) => ended,
            upset = upset => Err(upset),
        };
        let (bucket, point) = (witness.as_ref(), known.lock().point());
        if let Err(Error::WentBack(_) | Error::Corrupt(_)) = &ended
            && let Err(replaced @ Error::Replaced { .. }) =
                takeover::open_again(kv.as_ref(), cluster_id).await
        {
            // That is what is wrong with it.
            lineage::leave_last_word(bucket, cluster_id, point).await;
            return Err(replaced);
        }
        if let Err(Error::WentBack(_)) = &ended {
            lineage::leave_word(kv.as_ref(), bucket, cluster_id, point).await;
        }
        ended?;
        if let Some(witness) = &witness {
            let known = known.lock().clone();
            let last = lineage::witness_once(kv.as_ref(), witness, cluster_id, &known);
            // It has an older point already.
            let _ = tokio::time::timeout(lineage::LAST_WRITE_TIME_MAX, last).await;
        }
        still_there(kv.as_ref()).await
    }

    async fn serve_until_closed(mut self) -> Result<(), Error> {
        let mut asked = Vec::new();
        loop {
            let step = tokio::select! {
                biased;
                count = self.queue.recv_many(&mut asked, DRAIN_MAX) => {
                    if count == 0 { Ok(Some(Ended::Closed)) } else { self.serve(&mut asked).await }
                }
                () = step_due(self.log.calm_at(), &mut self.checkpoint), if self.is_checkpointing() => {
                    self.checkpoint_step().await.map(|()| None)
                }
                () = until(self.log.due()), if !self.is_checkpointing() => Ok(None),
                () = tokio::time::sleep_until(self.expiry_due.min(self.idle_due)) => Ok(None),
                () = self.tick.due() => Ok(None),
                () = self.leftovers.due() => Ok(None),
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
            if self.refuses_commands() {
                self.refuse_commands(&mut waiting);
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
}
