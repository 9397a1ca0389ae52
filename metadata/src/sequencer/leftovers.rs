//! What deleted topics left: index rows that nobody can read, in which objects count extents. Whoever holds the order gives
//! them back by itself, topic by topic, a chunk at a time: what that takes is read beside drains, and one transaction
//! between two of them writes it. A round looks at all deleted topics that there are. What cannot be given back now is left
//! to the next round, and keeps nothing else from it.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::{Instant, sleep_until};

use super::free::{Freeable, Freeing};
use super::{Options, Sequencer};
use crate::error::Error;
use crate::index;
use crate::kv::Kv;
use crate::said::Said;
use crate::state::State;
use crate::types::{Offset, PartitionIndex, TopicId, TopicPartition};

/// Between two looks, at each of which a chunk may be freed.
const PAUSE: Duration = Duration::from_millis(10);
/// The same while drains come: they wait for the transaction.
const PAUSE_BESIDE_DRAINS: Duration = Duration::from_millis(100);
/// Before the first look of a process.
const SOON: Duration = Duration::from_secs(5);
/// Behind all partitions of a topic.
const NO_PARTITION: i32 = i32::MAX;

/// Of topics whose index rows are damaged: each once a day.
static HARMED: Said<TopicId> = Said::new(Duration::from_secs(24 * 60 * 60), 16);

/// How far the round under way has come.
pub(super) struct Leftovers {
    /// The topic whose turn it is, and where it is looked next. There may be none of that id.
    next: TopicPartition,
    /// Something of that topic is left to the next round.
    stays: bool,
    /// When it is looked, unless something is being read.
    at: Instant,
    interval: Duration,
    reading: Option<Reading>,
}

type Reading = Pin<Box<dyn Future<Output = Look> + Send>>;

/// What was read.
enum Look {
    /// There are no rows of the topic, from where it was looked on.
    Nothing,
    /// The first ones.
    Chunk(Box<Freeable>),
    /// They cannot be read; `None` where not even their partition is known.
    Harmed(Option<TopicPartition>, Error),
}

impl fmt::Debug for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leftovers")
            .field("next", &self.next)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Leftovers {
    pub(super) fn new(options: &Options) -> Self {
        let interval = options.leftovers_interval;
        Self {
            next: first_of(TopicId(0)),
            stays: false,
            // Soon, for nobody knows how often a process starts.
            at: Instant::now() + interval.min(SOON),
            interval,
            reading: None,
        }
    }

    /// Until there is something to do. May be given up and asked for again.
    pub(super) async fn due(&mut self) {
        match &mut self.reading {
            Some(reading) => {
                let look = reading.await;
                self.reading = Some(Box::pin(ready(look)));
            }
            None => sleep_until(self.at).await,
        }
    }

    /// What was read, if anything was asked for.
    async fn looked(&mut self) -> Option<Look> {
        let look = self.reading.as_mut()?.await;
        self.reading = None;
        Some(look)
    }

    /// Begins to read what comes next, if it is time to.
    fn look_on(&mut self, kv: &Arc<dyn Kv>, state: &State) {
        if self.at > Instant::now() {
            return;
        }
        let Some(topic) = state.topics.first_leftover(self.next.topic) else {
            self.end_round();
            return;
        };
        if topic != self.next.topic {
            self.begin(topic);
        }
        self.reading = Some(Box::pin(look(Arc::clone(kv), self.next)));
    }

    fn end_round(&mut self) {
        self.begin(TopicId(0));
        self.at = Instant::now() + self.interval;
    }

    fn begin(&mut self, topic: TopicId) {
        (self.next, self.stays) = (first_of(topic), false);
    }

    /// That was all of the topic.
    fn pass(&mut self) {
        match self.next.topic.0.checked_add(1) {
            Some(next) => self.begin(TopicId(next)),
            None => self.end_round(),
        }
    }

    /// That partition is left to the next round.
    fn leave(&mut self, partition: TopicPartition) {
        self.stays = true;
        self.next.partition = PartitionIndex(partition.partition.0.saturating_add(1));
    }

    /// The same for what cannot be read; where not even the partition is known, all that is left of the topic.
    fn leave_harmed(&mut self, partition: Option<TopicPartition>, why: &Error) {
        let topic = self.next.topic;
        match why {
            Error::Damaged(_) | Error::Corrupt(_) => {
                if let Some(unsaid) = HARMED.admit(topic) {
                    tracing::warn!(
                        topic_id = %topic,
                        partition = partition.map(|harmed| harmed.partition.0),
                        %why,
                        unsaid,
                        "index rows of a deleted topic cannot be read: they stay, and the objects in the bucket that they name"
                    );
                }
            }
            _ => tracing::debug!(%why, "what a deleted topic left cannot be read now"),
        }
        match partition {
            Some(partition) => self.leave(partition),
            None => self.pass(),
        }
    }
}

fn first_of(topic: TopicId) -> TopicPartition {
    let partition = PartitionIndex(0);
    TopicPartition { topic, partition }
}

/// The first chunk of a deleted topic, from that partition on.
async fn look(kv: Arc<dyn Kv>, from: TopicPartition) -> Look {
    let partitions = from.partition.0..NO_PARTITION;
    let place = match index::oldest(kv.as_ref(), from.topic, partitions).await {
        Ok(Some(place)) => place,
        Ok(None) => return Look::Nothing,
        Err(error) => return Look::Harmed(None, error),
    };
    let harmed = |error| Look::Harmed(Some(place.partition), error);
    match Freeable::read(kv.as_ref(), place, Offset(i64::MAX)).await {
        Ok(Some(found)) => Look::Chunk(Box::new(found)),
        Ok(None) => harmed(place.hole(Offset(0))),
        Err(error) => harmed(error),
    }
}

impl Sequencer {
    /// Gives back a chunk, if one is due and read.
    ///
    /// # Errors
    /// As any write of this process; what cannot be read is none.
    pub(super) async fn give_back(&mut self) -> Result<(), Error> {
        let Some(looked) = self.leftovers.looked().now_or_never() else {
            // It is still being read.
            return Ok(());
        };
        let Some(look) = looked else {
            self.leftovers.look_on(&self.kv, &self.state);
            return Ok(());
        };
        let pause = match self.log.calm_at() {
            Some(_) => PAUSE_BESIDE_DRAINS,
            None => PAUSE,
        };
        self.leftovers.at = Instant::now() + pause;
        match look {
            Look::Nothing => {
                if !self.leftovers.stays {
                    let topic = self.leftovers.next.topic;
                    self.state.topics.given_back(topic);
                }
                self.leftovers.pass();
            }
            Look::Chunk(found) => self.give_back_chunk(*found).await?,
            Look::Harmed(partition, why) => self.leftovers.leave_harmed(partition, &why),
        }
        Ok(())
    }

    async fn give_back_chunk(&mut self, found: Freeable) -> Result<(), Error> {
        let partition = found.partition();
        match self.free(found).await {
            Ok(Freeing::Freed {
                rows_start,
                orphaned,
            }) => {
                let (topic_id, index) = (partition.topic, partition.partition.0);
                tracing::trace!(%topic_id, index, before = rows_start.0, orphaned, "freed");
                let counts = &self.shared.counts;
                counts.transactions.fetch_add(1, Ordering::Relaxed);
                counts.chunks_freed.fetch_add(1, Ordering::Relaxed);
                let orphans = &counts.objects_orphaned;
                orphans.fetch_add(orphaned as u64, Ordering::Relaxed);
            }
            Ok(Freeing::Nothing | Freeing::NotYet) => self.leftovers.leave(partition),
            Err(why @ Error::Damaged(_)) => self.leftovers.leave_harmed(Some(partition), &why),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
