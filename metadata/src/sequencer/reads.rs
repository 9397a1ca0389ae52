//! Reads that must be true now ride on a drain: they are answered from durable state after a write, or a look at the
//! owner row, that began after they arrived. Old extents are then read from index rows, outside the drain loop.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::feed::Feed;
use super::liveness::Heard;
use super::times::{InMemoryByTime, TimeQuery};
use crate::catalogue::{Agent, Catalogue};
use crate::error::Error;
use crate::handle::Metadata;
use crate::index::{CHUNKS_PER_READ, Chunk, Lookup, Place};
use crate::state::{PartitionLog, State};
use crate::types::{Bounds, Extent, Located, NamingEpoch, Offset, SessionId, TopicPartition};
use crate::view::{LOCATED_MAX, View, enough};
use crate::views::Views;

/// Rows may move away under a reader so often before it is told to come again.
const MOVES_MAX: usize = 4;
/// Partitions in one question: who wants to know of more asks again.
pub(crate) const PARTITIONS_MAX: usize = 4096;
/// What a question weighs, whatever is in it.
const READ_BYTES: usize = 256;
/// For each partition in it: finding it, and its bounds in memory and in a frame.
const PARTITION_BYTES: usize = 256;
/// Looking at many extents, or handing them out.
const EXTENTS_BYTES: usize = 256 * 1024;

type Reply<T> = oneshot::Sender<Result<T, Error>>;
/// A partition's view, if there is such a partition.
pub(crate) type Viewed = Result<Option<Arc<View>>, Error>;

/// What can be asked.
#[derive(Debug)]
pub(crate) enum Read {
    Bounds {
        partitions: Vec<TopicPartition>,
        reply: Reply<Vec<Option<Bounds>>>,
    },
    Views {
        partitions: Vec<TopicPartition>,
        reply: Reply<Vec<Viewed>>,
    },
    Locate {
        partition: TopicPartition,
        offset: Offset,
        raw_bytes_max: u64,
        reply: Reply<InMemory>,
    },
    ByTime {
        partition: TopicPartition,
        wanted: TimeQuery,
        /// Behind what was looked at before, and what was found there.
        from: Offset,
        found: Option<Extent>,
        reply: Reply<Option<InMemoryByTime>>,
    },
    /// An agent's stream begins. Answered with `None` if its session is closed.
    Attach {
        session: SessionId,
        agent: Option<Arc<Agent>>,
        /// The highest feature level that it can read.
        level: u32,
        feed: Feed,
        /// The machine that it is on, where it came by a network.
        from: Option<IpAddr>,
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
    /// When its session was last heard of, on whatever stream.
    pub(crate) heard: Arc<Heard>,
    /// Another agent elsewhere that has the same node id.
    pub(crate) rival: Option<Arc<Agent>>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) naming: NamingEpoch,
}

/// What memory says of an offset.
#[derive(Debug)]
pub(crate) enum InMemory {
    Found(Located),
    /// In index rows: everything before `until` is.
    Indexed {
        bounds: Bounds,
        place: Place,
        until: Offset,
    },
}

impl Read {
    /// About what it makes the sequencer do, and hold until somebody takes the answer: in bytes, as commands weigh.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Bounds { partitions, .. } | Self::Unwatch { partitions, .. } => {
                weight(partitions.len(), false)
            }
            Self::Watch { partitions, .. } => weight(partitions.len(), true),
            // The rest is little beside that.
            Self::Views { partitions, .. } => partitions.len() * EXTENTS_BYTES,
            Self::Locate { .. } | Self::ByTime { .. } => weight(1, true),
            Self::Attach { .. } | Self::Withdraw { .. } => weight(0, false),
        }
    }

    /// Whether it concerns an agent's stream: what the agent asks next builds on it.
    pub(crate) fn is_of_a_stream(&self) -> bool {
        match self {
            Self::Attach { .. }
            | Self::Watch { .. }
            | Self::Unwatch { .. }
            | Self::Withdraw { .. } => true,
            Self::Bounds { .. }
            | Self::Views { .. }
            | Self::Locate { .. }
            | Self::ByTime { .. } => false,
        }
    }

    /// Whether anybody waits for the answer, or it is of a stream.
    pub(crate) fn is_wanted(&self) -> bool {
        match self {
            Self::Bounds { reply, .. } => !reply.is_closed(),
            Self::Views { reply, .. } => !reply.is_closed(),
            Self::Locate { reply, .. } => !reply.is_closed(),
            Self::ByTime { reply, .. } => !reply.is_closed(),
            Self::Attach { .. }
            | Self::Watch { .. }
            | Self::Unwatch { .. }
            | Self::Withdraw { .. } => true,
        }
    }

    /// Of those that subscribe, `publish` takes care.
    pub(super) fn answer(self, state: &State, views: &Views) {
        match self {
            Self::Bounds { partitions, reply } => {
                let bounds = |partition| state.partitions.get(partition).map(PartitionLog::bounds);
                let _ = reply.send(Ok(partitions.into_iter().map(bounds).collect()));
            }
            Self::Views { partitions, reply } => {
                views.make_room(|_| true);
                let view = |partition| {
                    let log = state.partitions.get(partition);
                    let view = log.map(|log| View::new(log.bounds(), log.recent()));
                    Ok(view.map(|view| views.insert(partition, view)))
                };
                let _ = reply.send(Ok(partitions.into_iter().map(view).collect()));
            }
            Self::Locate {
                partition,
                offset,
                raw_bytes_max,
                reply,
            } => {
                let _ = reply.send(Ok(in_memory(state, partition, offset, raw_bytes_max)));
            }
            Self::ByTime {
                partition,
                wanted,
                from,
                found,
                reply,
            } => {
                let topic = state.topics.get(partition.topic);
                let found = topic
                    .zip(state.partitions.get(partition))
                    .map(|(topic, log)| {
                        InMemoryByTime::look(log, &topic.topic.lost, partition, wanted, from, found)
                    });
                let _ = reply.send(Ok(found));
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
            Self::Views { reply, .. } => drop(reply.send(Err(error))),
            Self::Locate { reply, .. } => drop(reply.send(Err(error))),
            Self::ByTime { reply, .. } => drop(reply.send(Err(error))),
            Self::Attach { reply, .. } => drop(reply.send(Err(error))),
            Self::Watch { reply, .. } => drop(reply.send(Err(error))),
            Self::Unwatch { .. } | Self::Withdraw { .. } => {}
        }
    }
}

/// Of a question about so many partitions, whose extents are looked at or not.
pub(crate) fn weight(partitions: usize, extents: bool) -> usize {
    let extents = if extents { EXTENTS_BYTES } else { 0 };
    READ_BYTES + partitions * PARTITION_BYTES + extents
}

fn in_memory(
    state: &State,
    partition: TopicPartition,
    offset: Offset,
    raw_bytes_max: u64,
) -> InMemory {
    let Some(log) = state.partitions.get(partition) else {
        return InMemory::Found(Located::UnknownPartition);
    };
    let bounds = log.bounds();
    if offset < bounds.log_start || offset > bounds.high_watermark {
        return InMemory::Found(Located::OutOfRange(bounds));
    }
    if offset < log.recent_start() {
        return InMemory::Indexed {
            bounds,
            place: log.index_of(partition),
            until: log.recent_start(),
        };
    }
    let first = log
        .recent()
        .partition_point(|extent| extent.end_offset() <= offset);
    let extents = enough(log.recent().range(first..), raw_bytes_max);
    InMemory::Found(Located::Extents { bounds, extents })
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
    let mut moved = Moved::default();
    loop {
        let (bounds, place, until) = match metadata.read(ask).await? {
            InMemory::Found(located) => return Ok(located),
            InMemory::Indexed {
                bounds,
                place,
                until,
            } => (bounds, place, until),
        };
        let mut from_index = FromIndex {
            extents: Vec::new(),
            raw_bytes: 0,
            next: offset,
            until,
        };
        from_index
            .walk(index(metadata, place)?, raw_bytes_max)
            .await?;
        if !from_index.extents.is_empty() {
            let extents = enough(from_index.extents.iter(), raw_bytes_max);
            return Ok(Located::Extents { bounds, extents });
        }
        moved.since(place, &bounds, place.hole(offset))?;
    }
}

/// An index row was not where it must be. That is damage, unless what it was looked for by is not so any more: the log
/// starts later, or another index took the place of this one, and rows that nobody needs are freed.
#[derive(Default)]
pub(super) struct Moved {
    seen: Option<(Place, Offset)>,
    times: usize,
}

impl Moved {
    /// Whoever looked by these may look once more; by the same ones only once, for rows may be freed before the question
    /// is answered for the first time.
    pub(super) fn since(
        &mut self,
        place: Place,
        bounds: &Bounds,
        damage: Error,
    ) -> Result<(), Error> {
        if self.seen.replace((place, bounds.log_start)) == Some((place, bounds.log_start)) {
            return Err(damage);
        }
        self.times += 1;
        match self.times {
            ..=MOVES_MAX => Ok(()),
            _ => Err(Error::unavailable("the index moves all the time")),
        }
    }
}

/// Extents from index rows, without a gap.
struct FromIndex {
    extents: Vec<Extent>,
    /// What they hold.
    raw_bytes: u64,
    next: Offset,
    /// Memory has what lies from here on.
    until: Offset,
}

impl FromIndex {
    /// Until there is enough. What lies before a hole is good: who goes on there is told.
    async fn walk(&mut self, index: Lookup<'_>, raw_bytes_max: u64) -> Result<(), Error> {
        // One has some hundreds of extents, nearly always more than are wanted.
        let mut most = 1;
        while self.next < self.until && !self.has_enough(raw_bytes_max) {
            let chunks = match index.chunks(self.next, most).await {
                Err(Error::Damaged(_)) => return Ok(()),
                chunks => chunks?,
            };
            if chunks.is_empty() || !chunks.iter().all(|chunk| self.join(chunk)) {
                return Ok(());
            }
            most = (most * 2).min(CHUNKS_PER_READ);
        }
        Ok(())
    }

    fn has_enough(&self, raw_bytes_max: u64) -> bool {
        let found = self.extents.len();
        found > 0 && (self.raw_bytes >= raw_bytes_max || found >= LOCATED_MAX)
    }

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

/// Where old extents lie.
pub(super) fn index(metadata: &Metadata, place: Place) -> Result<Lookup<'_>, Error> {
    let kv = metadata.shared().kv.as_deref();
    let kv =
        kv.ok_or_else(|| Error::unavailable("old extents are read by the sequencer's process"));
    Ok(Lookup::new(kv?, place))
}
