//! Reads that must be true now ride on a drain: they are answered from durable state after a write, or a look at the
//! owner row, that began after they arrived. Old extents are then read from index rows, outside the drain loop.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::feed::Feed;
use super::liveness::Heard;
use crate::catalogue::{Agent, Catalogue};
use crate::error::Error;
use crate::handle::Metadata;
use crate::index::{Chunk, Lookup, Place};
use crate::state::{PartitionLog, State};
use crate::types::{
    Bounds, Extent, Located, NamingEpoch, Offset, SessionId, Timestamp, TopicPartition,
};
use crate::view::{LOCATED_MAX, View, Views, enough};

type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What can be asked.
#[derive(Debug)]
pub(crate) enum Read {
    Bounds {
        partitions: Vec<TopicPartition>,
        reply: Reply<Vec<Option<Bounds>>>,
    },
    View {
        partition: TopicPartition,
        reply: Reply<Option<Arc<View>>>,
    },
    Locate {
        partition: TopicPartition,
        offset: Offset,
        raw_bytes_max: u64,
        reply: Reply<Hot>,
    },
    ByTime {
        partition: TopicPartition,
        wanted: Wanted,
        reply: Reply<Option<HotByTime>>,
    },
    /// An agent's stream begins. Answered with `None` if its session is closed.
    Attach {
        session: SessionId,
        agent: Option<Arc<Agent>>,
        /// The highest feature level that it can read.
        level: u32,
        feed: Feed,
        heard: Arc<Heard>,
        reply: Reply<Option<Attached>>,
    },
    /// A subscriber is told of these partitions from now on. Answered with which of them there are.
    Watch {
        subscriber: u64,
        partitions: Vec<TopicPartition>,
        reply: Reply<Vec<bool>>,
    },
    /// And no longer.
    Unwatch {
        subscriber: u64,
        partitions: Vec<TopicPartition>,
    },
    /// The subscriber's agent takes no more clients.
    Withdraw { subscriber: u64 },
}

/// A subscriber's number, and all topics before those of which it is told from now on.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) subscriber: u64,
    /// Another agent elsewhere that has the same node id.
    pub(crate) rival: Option<Arc<Agent>>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) naming: NamingEpoch,
}

/// Which extent, by time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    /// The first that reaches the timestamp.
    AtOrAfter(Timestamp),
    /// The first of those with the largest.
    Largest,
}

/// What memory says of an offset.
#[derive(Debug)]
pub(crate) enum Hot {
    Found(Located),
    /// In index rows: everything before `until` is.
    Cold {
        bounds: Bounds,
        until: Offset,
    },
}

/// What memory says of a time.
#[derive(Debug)]
pub(crate) struct HotByTime {
    bounds: Bounds,
    /// Index rows hold everything before.
    until: Offset,
    found: Option<Extent>,
}

impl HotByTime {
    /// What another process found, with nothing left to look for.
    pub(crate) fn found(extent: Extent) -> Self {
        Self {
            bounds: Bounds::default(),
            until: Offset(0),
            found: Some(extent),
        }
    }
}

impl Read {
    /// Of those that subscribe, `publish` takes care.
    pub(super) fn answer(self, state: &State, views: &Views) {
        match self {
            Self::Bounds { partitions, reply } => {
                let bounds = |partition| state.partitions.get(partition).map(PartitionLog::bounds);
                let _ = reply.send(Ok(partitions.into_iter().map(bounds).collect()));
            }
            Self::View { partition, reply } => {
                let view = state
                    .partitions
                    .get(partition)
                    .map(|log| views.insert(partition, View::new(log.bounds(), log.recent())));
                let _ = reply.send(Ok(view));
            }
            Self::Locate {
                partition,
                offset,
                raw_bytes_max,
                reply,
            } => {
                let _ = reply.send(Ok(hot(state, partition, offset, raw_bytes_max)));
            }
            Self::ByTime {
                partition,
                wanted,
                reply,
            } => {
                let log = state.partitions.get(partition);
                let _ = reply.send(Ok(log.map(|log| HotByTime {
                    bounds: log.bounds(),
                    until: log.recent_start(),
                    found: best(wanted, log.recent().iter(), None),
                })));
            }
            Self::Attach { .. }
            | Self::Watch { .. }
            | Self::Withdraw { .. }
            | Self::Unwatch { .. } => {}
        }
    }

    pub(crate) fn refuse(self, error: &Error) {
        let error = error.clone();
        match self {
            Self::Bounds { reply, .. } => drop(reply.send(Err(error))),
            Self::View { reply, .. } => drop(reply.send(Err(error))),
            Self::Locate { reply, .. } => drop(reply.send(Err(error))),
            Self::ByTime { reply, .. } => drop(reply.send(Err(error))),
            Self::Attach { reply, .. } => drop(reply.send(Err(error))),
            Self::Watch { reply, .. } => drop(reply.send(Err(error))),
            Self::Unwatch { .. } | Self::Withdraw { .. } => {}
        }
    }
}

fn hot(state: &State, partition: TopicPartition, offset: Offset, raw_bytes_max: u64) -> Hot {
    let Some(log) = state.partitions.get(partition) else {
        return Hot::Found(Located::UnknownPartition);
    };
    let bounds = log.bounds();
    if offset < bounds.log_start || offset > bounds.high_watermark {
        return Hot::Found(Located::OutOfRange(bounds));
    }
    if offset < log.recent_start() {
        return Hot::Cold {
            bounds,
            until: log.recent_start(),
        };
    }
    let first = log
        .recent()
        .partition_point(|extent| extent.end_offset() <= offset);
    let extents = enough(log.recent().range(first..), raw_bytes_max);
    Hot::Found(Located::Extents { bounds, extents })
}

/// The better of `found` and what `extents`, which lie later, have to offer.
fn best<'a>(
    wanted: Wanted,
    mut extents: impl Iterator<Item = &'a Extent>,
    found: Option<Extent>,
) -> Option<Extent> {
    match wanted {
        Wanted::AtOrAfter(timestamp) => found.or_else(|| {
            extents
                .find(|extent| extent.max_timestamp >= timestamp)
                .copied()
        }),
        Wanted::Largest => extents.copied().fold(found, |best, extent| match best {
            Some(best) if best.max_timestamp >= extent.max_timestamp => Some(best),
            _ => Some(extent),
        }),
    }
}

pub(crate) async fn locate(
    metadata: &Metadata,
    partition: TopicPartition,
    offset: Offset,
    raw_bytes_max: u64,
) -> Result<Located, Error> {
    let ask = |reply| Read::Locate {
        partition,
        offset,
        raw_bytes_max,
        reply,
    };
    let (bounds, until) = match metadata.read(ask).await? {
        Hot::Found(located) => return Ok(located),
        Hot::Cold { bounds, until } => (bounds, until),
    };
    let mut cold = Cold {
        extents: Vec::new(),
        raw_bytes: 0,
        next: offset,
        until,
    };
    while cold.next < until && cold.raw_bytes < raw_bytes_max && cold.extents.len() < LOCATED_MAX {
        let chunks = match index(metadata, partition)?.chunks(cold.next).await {
            Err(Error::Damaged(_)) => Vec::new(),
            chunks => chunks?,
        };
        let joined = !chunks.is_empty() && chunks.iter().all(|chunk| cold.join(chunk));
        if !joined && cold.extents.is_empty() {
            return missing(metadata, partition, cold.next).await;
        }
        if !joined {
            // What lies before the hole is good; who goes on there is told.
            break;
        }
    }
    let extents = enough(cold.extents.iter(), raw_bytes_max);
    Ok(Located::Extents { bounds, extents })
}

/// Extents from index rows, without a gap.
struct Cold {
    extents: Vec<Extent>,
    /// What they hold.
    raw_bytes: u64,
    next: Offset,
    /// Memory has what lies from here on.
    until: Offset,
}

impl Cold {
    /// False where the next offset does not lie in the row, or the row has a hole.
    fn join(&mut self, chunk: &Chunk) -> bool {
        let (from, until) = (self.next, self.until);
        let wanted = |e: &&Extent| e.end_offset() > from && e.base_offset < until;
        for extent in chunk.extents.iter().filter(wanted) {
            // The first may be entered in its middle.
            let joins = match self.extents.is_empty() {
                true => extent.base_offset <= self.next,
                false => extent.base_offset == self.next,
            };
            if !joins {
                return false;
            }
            self.next = extent.end_offset();
            self.raw_bytes = self.raw_bytes.saturating_add(extent.raw_length().into());
            self.extents.push(*extent);
        }
        self.next > from || from >= until
    }
}

/// An index row is not where it must be: the topic was deleted meanwhile, or the store is damaged.
async fn missing(
    metadata: &Metadata,
    partition: TopicPartition,
    offset: Offset,
) -> Result<Located, Error> {
    match metadata.bounds(vec![partition]).await?.as_slice() {
        [Some(bounds)] if offset >= bounds.log_start => Err(Place::of(partition).hole(offset)),
        [Some(bounds)] => Ok(Located::OutOfRange(*bounds)),
        _ => Ok(Located::UnknownPartition),
    }
}

/// Where old extents lie.
fn index(metadata: &Metadata, partition: TopicPartition) -> Result<Lookup<'_>, Error> {
    let kv = metadata.shared().kv.as_deref();
    let kv =
        kv.ok_or_else(|| Error::unavailable("old extents are read by the sequencer's process"));
    Ok(Lookup::new(kv?, Place::of(partition)))
}

pub(crate) async fn locate_timestamp(
    metadata: &Metadata,
    partition: TopicPartition,
    timestamp: Timestamp,
) -> Result<Option<Extent>, Error> {
    by_time(metadata, partition, Wanted::AtOrAfter(timestamp)).await
}

pub(crate) async fn locate_max_timestamp(
    metadata: &Metadata,
    partition: TopicPartition,
) -> Result<Option<Extent>, Error> {
    by_time(metadata, partition, Wanted::Largest).await
}

/// Old extents first: they lie before those in memory.
async fn by_time(
    metadata: &Metadata,
    partition: TopicPartition,
    wanted: Wanted,
) -> Result<Option<Extent>, Error> {
    let hot = metadata
        .read(|reply| Read::ByTime {
            partition,
            wanted,
            reply,
        })
        .await?;
    let Some(HotByTime {
        bounds,
        until,
        found: hot,
    }) = hot
    else {
        return Ok(None);
    };
    if bounds.log_start >= until {
        return Ok(hot);
    }
    let index = index(metadata, partition)?;
    let cold = match wanted {
        Wanted::AtOrAfter(timestamp) => index.at_or_after(bounds.log_start, until, timestamp).await,
        Wanted::Largest => index.largest(bounds.log_start, until).await,
    };
    match cold {
        Ok(cold) => Ok(best(wanted, hot.iter(), cold)),
        // Rows may be gone since, with their topic.
        Err(Error::Damaged(what)) => match metadata.bounds(vec![partition]).await?.as_slice() {
            [Some(_)] => Err(Error::Damaged(what)),
            _ => Ok(None),
        },
        Err(error) => Err(error),
    }
}
