//! The handle that agents hold. Cheap to clone; everything it does is a message to the sequencer, or a look at what the
//! sequencer published.

mod operate;
mod shared;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::catalogue::{Agent, Catalogue};
use crate::command::{Answer, Command, Submission};
use crate::error::Error;
use crate::numbering::Unheard;
use crate::queue::{Asked, QUEUE_MAX, ReplyTo};
use crate::sequencer::reads::{self, PARTITIONS_MAX, Read};
use crate::sequencer::times;
use crate::state::{Limits, Usage};
use crate::types::{Bounds, Extent, Located, NamingEpoch, Offset, Timestamp, TopicPartition};
use crate::view::View;

pub use self::operate::Raised;
pub(crate) use self::shared::Shared;

/// The sequencer's own commands have no session, nor has an agent that has reached no sequencer.
pub(crate) const NO_SESSION: u64 = 0;
/// An answer that takes longer is not waited for: the store may be dead.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(25);
const NO_ANSWER: &str = "no answer came in time";
const TOO_MANY: &str = "too many commands wait";

/// What the sequencer did since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Drains that wrote something.
    pub drains: u64,
    /// Bytes of log written.
    pub log_bytes: u64,
    /// Transactions sent to the store.
    pub transactions: u64,
    pub checkpoints: u64,
    /// Index rows of deleted topics that were given back, those that sum up others not counted.
    pub chunks_freed: u64,
    /// Objects in which nothing lies any more since then.
    pub objects_orphaned: u64,
    /// How much there is of what is bounded.
    pub usage: Usage,
    /// And the bounds.
    pub limits: Limits,
    /// Commands and reads waiting.
    pub queued: usize,
    /// Bytes of the commands that are not answered yet.
    pub queued_bytes: usize,
}

/// The metadata, as an agent sees it.
#[derive(Clone, Debug)]
pub struct Metadata {
    queue: mpsc::Sender<Asked>,
    shared: Arc<Shared>,
}

impl Metadata {
    pub(crate) fn new(queue: mpsc::Sender<Asked>, shared: Arc<Shared>) -> Self {
        Self { queue, shared }
    }

    /// Queues a command. The order of calls is the order of decisions: it is in the queue when this returns, before the
    /// future is polled.
    ///
    /// # Errors
    /// When the queue is full, the store does not answer, or the process is stopping; see [`Error`].
    pub fn submit(
        &self,
        command: Command,
    ) -> impl Future<Output = Result<Answer, Error>> + Send + 'static + use<> {
        let (reply, answer) = oneshot::channel();
        let queued = self.enqueue(command, reply.into());
        async move {
            let unheard = queued?;
            let answer = match timeout(ANSWER_TIME_MAX, answer).await {
                Ok(answer) => answer.unwrap_or(Err(Error::Closing)),
                Err(_) => Err(Error::unknown(NO_ANSWER)),
            };
            unheard.heard(&answer);
            answer
        }
    }

    fn enqueue(&self, command: Command, mut reply: ReplyTo) -> Result<Unheard, Error> {
        // No commit builds on these: those behind one that finds no room need not wait until its agent has heard.
        if !self.shared.room.try_take_part(&command, &mut reply) {
            return Err(Error::TooManyWait);
        }
        let mut session = self.shared.session.lock();
        session.check()?;
        if !self.shared.room.try_take(&command, &mut reply) {
            session.refused();
            return Err(Error::unavailable(TOO_MANY));
        }
        let submission = Submission {
            session: session.id,
            sequence: session.next,
            seen: session.seen(),
            command,
        };
        self.queue
            .try_send(Asked::Command(submission, reply))
            .map_err(|error| {
                session.refused();
                match error {
                    mpsc::error::TrySendError::Full(_) => Error::unavailable(TOO_MANY),
                    mpsc::error::TrySendError::Closed(_) => Error::Closing,
                }
            })?;
        Ok(session.took(&self.shared))
    }

    /// Asks again, as an agent does after a fail-over.
    #[cfg(test)]
    pub(crate) async fn resubmit(&self, submission: Submission) -> Result<Answer, Error> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .send(Asked::Command(submission, reply.into()))
            .await
            .map_err(|_| Error::Closing)?;
        answer.await.unwrap_or(Err(Error::Closing))
    }

    /// The session whose commands this handle numbers.
    #[cfg(test)]
    pub(crate) fn session(&self) -> u64 {
        self.shared.session.lock().id
    }

    /// All topics as last published. A topic just created is in it before its answer is out.
    #[must_use]
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.shared.catalogue.lock())
    }

    /// The epoch in which objects are to be named, as last heard. One that was named six hours of state time ago or longer
    /// can be committed no more.
    #[must_use]
    pub fn naming_epoch(&self) -> NamingEpoch {
        NamingEpoch(self.shared.naming.load(Ordering::Acquire))
    }

    /// The agents that serve clients, by node id, as last heard. Empty where the order is of this process alone.
    #[must_use]
    pub fn agents(&self) -> Arc<Vec<Arc<Agent>>> {
        Arc::clone(&self.shared.agents.lock())
    }

    /// Clients shall be sent to this agent no more. Nothing waits for it.
    pub fn withdraw(&self) {
        // A full queue has worse to tell; closing the session says the same.
        let _ = self
            .queue
            .try_send(Asked::Read(Read::Withdraw { subscriber: 0 }, None));
    }

    /// What this agent knows of a partition, kept fresh from now on. `None`: there is no such partition.
    ///
    /// # Errors
    /// As [`Metadata::submit`].
    pub async fn view(&self, partition: TopicPartition) -> Result<Option<Arc<View>>, Error> {
        let mut views = self.views(&[partition]).await;
        views.pop().unwrap_or(Err(Error::unavailable(NO_ANSWER)))
    }

    /// The same of several, in their order. Those that are not known are asked for with one question, which counts for each of
    /// them: others wait behind as many.
    pub async fn views(
        &self,
        partitions: &[TopicPartition],
    ) -> Vec<Result<Option<Arc<View>>, Error>> {
        let known = partitions.iter();
        let known = known.map(|partition| self.shared.views.wanted(*partition));
        let known: Vec<_> = known.collect();
        let missing = partitions.iter().zip(&known);
        let missing = missing.filter(|(_, known)| known.is_none());
        let partitions: Vec<_> = missing.map(|(partition, _)| *partition).collect();
        let found = match partitions.is_empty() {
            true => Ok(Vec::new()),
            false => self.read(|reply| Read::Views { partitions, reply }).await,
        };
        let mut found = found.map(Vec::into_iter);
        let mut next = || match &mut found {
            Ok(found) => found.next().unwrap_or(Err(Error::unavailable(NO_ANSWER))),
            Err(error) => Err(error.clone()),
        };
        let views = known.into_iter();
        let views = views.map(|known| known.map_or_else(&mut next, |view| Ok(Some(view))));
        views.collect()
    }

    /// The bounds of partitions, confirmed: as of a moment after this call. `None` where there is no such partition.
    ///
    /// # Errors
    /// As [`Metadata::submit`].
    pub async fn bounds(
        &self,
        partitions: Vec<TopicPartition>,
    ) -> Result<Vec<Option<Bounds>>, Error> {
        // Whole where it can be: most have few.
        if partitions.len() <= PARTITIONS_MAX {
            return self.read(|reply| Read::Bounds { partitions, reply }).await;
        }
        let mut found = Vec::with_capacity(partitions.len());
        for some in partitions.chunks(PARTITIONS_MAX) {
            let partitions = some.to_vec();
            let bounds = self.read(|reply| Read::Bounds { partitions, reply });
            found.extend(bounds.await?);
        }
        Ok(found)
    }

    /// The catalogue, confirmed: with every topic whose making was answered before this call, through whatever agent.
    ///
    /// # Errors
    /// As [`Metadata::submit`].
    pub async fn confirmed_catalogue(&self) -> Result<Arc<Catalogue>, Error> {
        // Whatever was published before an answer is here before it, catalogues too.
        self.bounds(Vec::new()).await?;
        Ok(self.catalogue())
    }

    /// The extents from the one holding `offset` on, until they hold `raw_bytes_max` bytes, or are 4,096 (at least one
    /// extent).
    ///
    /// # Errors
    /// As [`Metadata::submit`].
    pub async fn locate(
        &self,
        partition: TopicPartition,
        offset: Offset,
        raw_bytes_max: u64,
    ) -> Result<Located, Error> {
        reads::locate(self, partition, offset, raw_bytes_max).await
    }

    /// The first extent, in offset order, that holds a timestamp at or after `timestamp`.
    ///
    /// # Errors
    /// As [`Metadata::submit`].
    pub async fn locate_timestamp(
        &self,
        partition: TopicPartition,
        timestamp: Timestamp,
    ) -> Result<Option<Extent>, Error> {
        times::locate_timestamp(self, partition, timestamp).await
    }

    /// The first extent, in offset order, of those that hold the partition's largest timestamp.
    ///
    /// # Errors
    /// As [`Metadata::submit`].
    pub async fn locate_max_timestamp(
        &self,
        partition: TopicPartition,
    ) -> Result<Option<Extent>, Error> {
        times::locate_max_timestamp(self, partition).await
    }

    /// Whether commands can be committed: false while the store cannot be written.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.shared.ready.load(Ordering::Acquire) && !self.queue.is_closed()
    }

    /// What is wrong, where what is stored would be gone with this process: see [`crate::kv::Kv::displaced`].
    #[must_use]
    pub fn displaced(&self) -> Option<String> {
        self.shared.kv.as_ref()?.displaced()
    }

    /// Why no sequencer in other processes is reached, where none is: a sentence for the operator.
    #[must_use]
    pub fn unreached(&self) -> Option<String> {
        match self.ready() {
            true => None,
            false => self.shared.sought.said(),
        }
    }

    /// Whether the sequencer answers, if it is in another process that is reached: false while that lives and is held up, as
    /// by a store that stopped. Of one in this process its store says it.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.shared.answers.load(Ordering::Acquire)
    }

    /// Resolves once a sequencer was reached and the catalogue is here; at once if it is in this process.
    pub async fn joined(&self) {
        // Fails only if the handle were gone, but this is it.
        let _ = self
            .shared
            .joined
            .subscribe()
            .wait_for(|joined| *joined)
            .await;
    }

    /// Resolves when nobody answers here any more.
    pub(crate) async fn ended(&self) {
        self.queue.closed().await;
    }

    /// Kafka's leader epoch of every partition: how often an operator accepted a store that had gone back in time. 0 until
    /// a sequencer was reached.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        let lineage = self.shared.lineage.get();
        lineage.map_or(0, |known| known.lock().chain.leader_epoch())
    }

    /// At which the cluster wrote when this process was welcomed by whoever holds the order; 1 before.
    #[must_use]
    pub fn feature_level(&self) -> u32 {
        self.shared.level.load(Ordering::Acquire)
    }

    /// Counters for metrics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counts = &self.shared.counts;
        let (usage, limits) = *counts.usage.lock();
        Stats {
            drains: counts.drains.load(Ordering::Relaxed),
            log_bytes: counts.log_bytes.load(Ordering::Relaxed),
            transactions: counts.transactions.load(Ordering::Relaxed),
            checkpoints: counts.checkpoints.load(Ordering::Relaxed),
            chunks_freed: counts.chunks_freed.load(Ordering::Relaxed),
            objects_orphaned: counts.objects_orphaned.load(Ordering::Relaxed),
            usage,
            limits,
            queued: QUEUE_MAX - self.queue.capacity(),
            queued_bytes: self.shared.room.taken(),
        }
    }

    /// The cluster's name for itself: 22 characters, made when the store was; empty until a sequencer was reached.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        self.shared.cluster_id.get().map_or("", String::as_str)
    }

    /// Takes no more commands, finishes those it has, writes a checkpoint and ends the sequencer.
    pub async fn close(&self) {
        self.shared.session.lock().closing = true;
        // Fails only if the sequencer has ended already.
        let _ = self.queue.send(Asked::Close).await;
        self.queue.closed().await;
    }

    /// Puts something into the queue, behind what is there, once there is room.
    pub(crate) async fn put(&self, mut asked: Asked) -> Result<(), Error> {
        self.shared.room.take(&mut asked).await;
        self.queue.send(asked).await.map_err(|_| Error::Closing)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Asks the sequencer something that must be true now.
    pub(crate) async fn read<T>(
        &self,
        read: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Read,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let asking = async {
            self.put(Asked::Read(read(reply), None)).await?;
            answer.await.unwrap_or(Err(Error::Closing))
        };
        let asked = timeout(ANSWER_TIME_MAX, asking).await;
        asked.unwrap_or_else(|_| Err(Error::unavailable(NO_ANSWER)))
    }
}
