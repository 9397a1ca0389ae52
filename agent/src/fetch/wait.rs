//! Looks for the extents of every want, and sleeps on the partitions' views while there are too few bytes: the one loop of
//! the read path. A wake-up comes from a commit through any agent; the client's `max_wait` is only slept out when
//! nothing came. Called by `handler`.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{select, select_all};
use metadata::{Extent, Metadata, Offset, View};
use protocol::ErrorCode;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, timeout_at};

use super::look::{Asker, LOOK_TIME_MAX, Looked, views};
use super::want::{Found, Want};
use crate::tasks::Stop;

/// A poll of up to so many partitions looks again whenever one of them changes.
const PROMPT_MAX: usize = 256;
/// One of more rests so long for each of them before it looks again, if it was woken lately and found too little: each look
/// takes CPU for all of them, and anybody who produces to one of them brings it about.
const REST_FOR_EACH: Duration = Duration::from_micros(10);

/// How long a client waits for how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) bytes_min: u64,
    pub(super) wait_max: Duration,
}

/// What a want takes at the most while its request waits: its view, and its place among those who are told of changes.
pub(super) const WAITING_BYTES: usize =
    size_of::<Result<Arc<View>, ErrorCode>>() + size_of::<usize>() + size_of::<Notified<'_>>();

/// One answer per want, in their order: as soon as there are `bytes_min`, or what a reply may carry, or something is
/// refused, or time is up, or the agent stops.
pub(super) async fn locate(
    metadata: &Metadata,
    wants: &[Want],
    reply_bytes_max: usize,
    patience: Patience,
    mut stop: Stop,
) -> Vec<Found> {
    let deadline = Instant::now() + patience.wait_max;
    let views = views(metadata, wants, Instant::now() + LOOK_TIME_MAX).await;
    let mut pace = Pace::of(wants.len());
    loop {
        // Taken before looking, so that no change between the look and the sleep is missed.
        let changes: Vec<_> = views
            .iter()
            .flatten()
            .map(|view| Box::pin(view.changed()))
            .collect();
        let mut looked = Looked::new(metadata, wants.len(), reply_bytes_max);
        let asker = Asker::of(metadata, LOOK_TIME_MAX);
        looked.look(asker, wants, &views).await;
        let is_full = looked.is_full();
        let found = looked.found;
        let refused = found
            .iter()
            .any(|found| matches!(found, Found::Refused { .. }));
        let out_of_time = Instant::now() >= deadline || stop.is_requested();
        if refused
            || out_of_time
            || is_full
            || available(wants, &found) >= patience.bytes_min
            || changes.is_empty()
        {
            return found;
        }
        // What was found is looked for again: who waits holds no more than it was charged for.
        drop(found);
        // Woken or out of time: either way, look again.
        {
            let stopped = pin!(stop.requested());
            let woken = select(select_all(changes), stopped).map(|_| ());
            let _ = timeout_at(deadline, woken).await;
        }
        pace.rest(deadline, &mut stop).await;
    }
}

/// How soon a poll looks again.
struct Pace {
    rest: Duration,
    /// Not before, once it was woken.
    next: Option<Instant>,
}

impl Pace {
    fn of(partitions: usize) -> Self {
        let count = u32::try_from(partitions).unwrap_or(u32::MAX);
        let rest = match partitions <= PROMPT_MAX {
            true => Duration::ZERO,
            false => REST_FOR_EACH.saturating_mul(count),
        };
        Self { rest, next: None }
    }

    /// To be called before it looks because it was woken. The first time, and after a while without, it does not rest.
    async fn rest(&mut self, deadline: Instant, stop: &mut Stop) {
        if self.rest.is_zero() {
            return;
        }
        if let Some(next) = self.next {
            let _ = timeout_at(next.min(deadline), stop.requested()).await;
        }
        self.next = Some(Instant::now() + self.rest);
    }
}

/// Bytes that a reply could carry now, as far as extents tell.
fn available(wants: &[Want], found: &[Found]) -> u64 {
    wants
        .iter()
        .zip(found)
        .map(|(want, found)| match found {
            Found::Extents { extents, .. } => extents
                .iter()
                .map(|extent| bytes_after(extent, want.offset))
                .sum::<u64>(),
            Found::Refused { .. } => 0,
        })
        .sum()
}

/// The share of an extent's bytes that lies at or after `offset`, taking its records for equally large: at least 1, but
/// of nothing.
fn bytes_after(extent: &Extent, offset: Offset) -> u64 {
    if extent.raw_length() == 0 {
        return 0;
    }
    let skipped = offset
        .0
        .saturating_sub(extent.base_offset.0)
        .max(0)
        .unsigned_abs();
    let count = u64::from(extent.offset_span).max(1);
    let left = count.saturating_sub(skipped);
    (u64::from(extent.raw_length()) * left / count).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use metadata::{
        BatchFlags, BlockCodec, BlockRange, Command, CommitBatch, CommitBlock, CommitObject,
        CreateTopic, NamingEpoch, ObjectKey, PartitionIndex, Timestamp, TopicId, TopicPartition,
    };

    use tokio::time::timeout;

    use super::super::look::{EXTENTS_MAX, look};
    use super::*;
    use crate::context::{AutoCreate, Context};
    use crate::discovery::fixture::{with_context, with_silent_metadata};
    use crate::tasks::Tasks;

    const TOPIC: TopicId = TopicId(7);
    const PARTITIONS: i32 = 100;
    /// Segments of one batch in each partition.
    const SEGMENTS: u32 = 200;

    async fn create(metadata: &Metadata, partitions: i32) {
        let create = CreateTopic {
            name: "wide".to_owned(),
            id: TOPIC,
            partitions,
            replication_factor: 1,
            configs: BTreeMap::new(),
        };
        metadata.submit(Command::CreateTopic(create)).await.unwrap();
    }

    /// A segment of one batch in each of so many partitions.
    async fn commit(metadata: &Metadata, partitions: i32, number: u32, batch_bytes: u32) {
        let block = |index| CommitBlock {
            topic: TOPIC,
            partition: PartitionIndex(index),
            range: BlockRange {
                position: 0,
                stored_length: batch_bytes,
                raw_length: batch_bytes,
                codec: BlockCodec::Raw,
                checksum: 0,
            },
            batches: vec![CommitBatch {
                raw_length: batch_bytes,
                record_count: 1,
                max_timestamp: Timestamp(0),
                producer: None,
                withheld: false,
                flags: BatchFlags::default(),
            }],
        };
        let commit = CommitObject {
            object: ObjectKey::new(NamingEpoch(0), 1, number),
            size: 1,
            blocks: (0..partitions).map(block).collect(),
        };
        let committed = metadata.submit(Command::CommitObject(commit)).await;
        committed.unwrap();
    }

    fn want(index: i32) -> Want {
        Want {
            partition: TopicPartition {
                topic: TOPIC,
                partition: PartitionIndex(index),
            },
            offset: Offset(0),
            bytes_max: 1 << 20,
        }
    }

    /// How many extents a reader of all partitions has located at once, of each.
    async fn located(batch_bytes: u32) -> Vec<usize> {
        let mut counts = Vec::new();
        with_context(AutoCreate::Disabled, async |context| {
            create(&context.metadata, PARTITIONS).await;
            for number in 0..SEGMENTS {
                commit(&context.metadata, PARTITIONS, number, batch_bytes).await;
            }
            let wants: Vec<Want> = (0..PARTITIONS).map(want).collect();
            let patience = Patience {
                bytes_min: u64::MAX,
                wait_max: Duration::from_secs(600),
            };
            let tasks = Tasks::new();
            let stop = tasks.stopping();
            let found = locate(&context.metadata, &wants, 2 << 20, patience, stop).await;
            let count = |found: &Found| match found {
                Found::Extents { extents, .. } => extents.len(),
                Found::Refused { code, .. } => panic!("{code}"),
            };
            counts.extend(found.iter().map(count));
        })
        .await;
        counts
    }

    /// What a reader of many partitions, far behind in all, has located at once follows from what a reply takes.
    #[tokio::test]
    async fn no_more_is_located_than_a_reply_takes_but_an_extent_for_each_want() {
        let counts = located(100_000).await;
        assert!(counts.iter().all(|count| *count > 0));
        let all: usize = counts.iter().sum();
        assert!((60..180).contains(&all), "{all}");
    }

    /// How long a poll of so many partitions takes from when it was woken for too little to its answer, where enough comes
    /// at once.
    async fn answered_after(partitions: i32) -> Duration {
        let mut took = Duration::MAX;
        with_context(AutoCreate::Disabled, async |context| {
            let metadata = &context.metadata;
            create(metadata, partitions).await;
            let wants: Vec<Want> = (0..partitions).map(want).collect();
            let patience = Patience {
                bytes_min: 150,
                wait_max: Duration::from_secs(600),
            };
            let tasks = Tasks::new();
            let stop = tasks.stopping();
            let mut poll = Box::pin(locate(metadata, &wants, 1 << 20, patience, stop));
            let waits = timeout(Duration::from_secs(1), &mut poll).await;
            waits.expect_err("there is nothing");
            commit(metadata, 1, 0, 100).await;
            let waits = timeout(Duration::from_millis(1), &mut poll).await;
            waits.expect_err("it is too little");
            let woken = Instant::now();
            commit(metadata, 1, 1, 100).await;
            poll.await;
            took = woken.elapsed();
        })
        .await;
        took
    }

    /// Each look takes CPU for all of its partitions, and anybody who produces to one of them brings it about.
    #[tokio::test(start_paused = true)]
    async fn a_poll_of_very_many_partitions_rests_after_it_was_woken_for_too_little() {
        let took = answered_after(4000).await;
        assert!(took >= Duration::from_millis(35), "{took:?}");
        assert!(took <= Duration::from_millis(100), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_of_some_partitions_looks_at_once() {
        let took = answered_after(200).await;
        assert!(took < Duration::from_millis(10), "{took:?}");
    }

    /// They would be others' to hold.
    #[tokio::test(start_paused = true)]
    async fn a_look_that_does_not_wait_holds_few_views_at_a_time() {
        let first: Vec<_> = (0..16).map(|index| want(index).partition).collect();
        let before = async |context: &Arc<Context>| {
            create(&context.metadata, PARTITIONS).await;
            context.metadata.views(&first).await;
        };
        with_silent_metadata(before, async |context| {
            let metadata = &context.metadata;
            let view = metadata.view(want(0).partition).await.unwrap().unwrap();
            let idle = Arc::strong_count(&view);
            let wants: Vec<Want> = (0..PARTITIONS).map(want).collect();
            let mut looking = Box::pin(look(metadata, &wants, 1 << 20, LOOK_TIME_MAX));
            let looks = timeout(LOOK_TIME_MAX / 2, &mut looking).await;
            looks.expect_err("nobody answers");
            assert_eq!(Arc::strong_count(&view), idle);
            looking.await;
        })
        .await;
    }

    /// However small they are: a hundred bytes are noted of an extent of seventy.
    #[tokio::test]
    async fn a_request_has_so_many_extents_located_and_one_for_each_want() {
        let counts = located(70).await;
        assert!(counts.iter().all(|count| *count > 0));
        let all: usize = counts.iter().sum();
        assert_eq!(all, EXTENTS_MAX + counts.len());
    }
}
