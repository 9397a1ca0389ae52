//! The bytes of a plan, through the cache. Called by `handler`.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesOrdered, FuturesUnordered, StreamExt};
use metadata::{Extent, Stored, TopicPartition};
use tokio::time::{Instant, timeout_at};

use super::plan::{Plan, Read};
use crate::metrics;
use crate::storage::{Cache, Coming, Place, RawBlock, Source, StoreError};

/// What is at hand is not held back for longer by what is still on its way: a bucket that is slow or away would keep
/// readers from all that is in memory.
const LATE_MAX: Duration = Duration::from_millis(500);

/// Reads plans.
#[derive(Debug)]
pub(super) struct Reader {
    cache: Cache,
    metrics: metrics::Fetch,
}

/// An extent with the block it lies in. What no object holds is stepped over: compacted away, it is no more, and a
/// transaction's end will be synthesized here once there are transactions.
#[derive(Debug)]
pub(super) struct ReadExtent {
    pub(super) extent: Extent,
    pub(super) stored: Stored,
    pub(super) block: RawBlock,
}

/// An extent whose block did not come, and why.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) extent: Extent,
    pub(super) error: StoreError,
}

/// A want's extents, or why there are none.
pub(super) type ReadWant = (TopicPartition, Result<Vec<ReadExtent>, Unread>);

impl Reader {
    pub(super) fn new(cache: Cache) -> Self {
        Self {
            cache,
            metrics: metrics::Fetch::new(),
        }
    }

    /// All side by side: one whose object is out of reach does not hold back the others' bytes.
    pub(super) async fn read(&self, plan: &Plan) -> Vec<ReadWant> {
        let ahead: Vec<Place> = plan.ahead.iter().flat_map(places).collect();
        if !ahead.is_empty() {
            self.cache.prefetch(&ahead);
        }
        // Together, so that neighbours of several partitions come with one request.
        let wanted: Vec<Place> = plan.reads.iter().flat_map(places).collect();
        let mut coming = self.cache.begin(&wanted).into_iter();
        let reads = plan.reads.iter();
        let mut readings: Vec<_> = reads
            .map(|read| Reading::new(read, &mut coming, &self.metrics))
            .collect();
        let something = readings.iter().any(|reading| reading.has_something);
        let mut late = something.then(|| Instant::now() + LATE_MAX);
        let mut under_way: FuturesUnordered<_> = readings.iter_mut().map(Reading::go_on).collect();
        loop {
            let next = under_way.next();
            let ended = match late {
                None => next.await,
                Some(late) => timeout_at(late, next).await.unwrap_or(None),
            };
            match ended {
                None => break,
                Some(true) => late = late.or_else(|| Some(Instant::now() + LATE_MAX)),
                Some(false) => {}
            }
        }
        drop(under_way);
        readings.into_iter().map(Reading::end).collect()
    }
}

/// What became of a block that was asked for.
type Came = Result<Option<(RawBlock, Source)>, StoreError>;

/// A want whose blocks are taken one after the other.
struct Reading<'a> {
    partition: TopicPartition,
    extents: std::vec::IntoIter<(&'a Extent, Stored)>,
    /// All are waited for at once: one that is here is taken out of what was read with it, however long others take.
    coming: FuturesOrdered<BoxFuture<'static, Came>>,
    /// Whether there are bytes without waiting.
    has_something: bool,
    read: Vec<ReadExtent>,
    failed: Option<Unread>,
    metrics: &'a metrics::Fetch,
}

impl<'a> Reading<'a> {
    /// Takes what is coming for it, which is next.
    fn new(
        read: &'a Read,
        coming: &mut impl Iterator<Item = Coming>,
        metrics: &'a metrics::Fetch,
    ) -> Self {
        let stored = |extent: &'a Extent| extent.stored().map(|stored| (extent, *stored));
        let extents: Vec<_> = read.extents.iter().filter_map(stored).collect();
        let coming: Vec<Coming> = coming.take(extents.len()).collect();
        Self {
            partition: read.partition,
            extents: extents.into_iter(),
            has_something: matches!(coming.first(), Some(Coming::Here(..))),
            coming: coming
                .into_iter()
                .map(|each| each.block().boxed())
                .collect(),
            read: Vec::new(),
            failed: None,
            metrics,
        }
    }

    /// Until all are here or one cannot be read. Whether there are any bytes.
    async fn go_on(&mut self) -> bool {
        while let (Some((extent, stored)), Some(came)) =
            (self.extents.next(), self.coming.next().await)
        {
            match came {
                // The reader asks for it again.
                Ok(None) => break,
                Ok(Some((block, source))) => {
                    self.count(&stored, source);
                    self.read.push(ReadExtent {
                        extent: *extent,
                        stored,
                        block,
                    });
                }
                Err(error) => {
                    self.failed = Some(Unread {
                        extent: *extent,
                        error,
                    });
                    break;
                }
            }
        }
        !self.read.is_empty()
    }

    fn count(&self, stored: &Stored, source: Source) {
        let counter = match source {
            Source::Own => &self.metrics.from_view,
            Source::Cache => &self.metrics.from_cache,
            Source::Store => &self.metrics.from_store,
        };
        counter.increment(stored.raw_length.into());
    }

    /// What lies before the first block that is missing. Why it is, the reader hears once it gets there.
    fn end(self) -> ReadWant {
        let read = match self.failed {
            Some(unread) if self.read.is_empty() => Err(unread),
            _ => Ok(self.read),
        };
        (self.partition, read)
    }
}

fn places(read: &Read) -> impl Iterator<Item = Place> {
    let owner = read.partition;
    let stored = read.extents.iter().filter_map(Extent::stored);
    stored.map(move |stored| Place {
        object: stored.object,
        range: stored.block,
        owner,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use metadata::{ObjectKey, Offset};
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::{ObjectStore, ObjectStoreExt};

    use super::*;
    use crate::storage::Store;
    use crate::storage::segment::{BlockInput, Compression, encode};
    use crate::storage::tests::faulty::{Fate, Faulty};
    use crate::tasks::Tasks;

    const PARTITION: TopicPartition = TopicPartition {
        topic: metadata::TopicId(1),
        partition: metadata::PartitionIndex(0),
    };

    struct Fixture {
        faulty: Arc<Faulty>,
        reader: Reader,
        extents: Vec<Extent>,
    }

    /// An object of five blocks, of which every other is far enough away for a request of its own; the first two are at
    /// hand.
    async fn fixture() -> Fixture {
        let faulty = Arc::new(Faulty::default());
        let objects = Arc::clone(&faulty);
        let store = Store::from_object_store(objects, Path::default(), true);
        let object = ObjectKey(1);
        let blocks: Vec<_> = (0..5_u8).map(block).collect();
        let encoded = encode(&blocks, &[], Compression::Off);
        store.put_segment(object, encoded.payload).await.unwrap();
        let cache = Cache::new(store, 4 << 20, Duration::from_secs(60));
        for (block, range) in blocks.iter().zip(&encoded.ranges).take(2) {
            let place = Place {
                object,
                range: *range,
                owner: PARTITION,
            };
            cache.insert(place, block.batches.clone());
        }
        let extents = encoded.ranges.iter().zip(0..).map(|(range, index)| Extent {
            base_offset: Offset(index),
            offset_span: 1,
            record_count: 1,
            max_timestamp: metadata::Timestamp(0),
            flags: metadata::ExtentFlags::default(),
            content: metadata::Content::Stored(Stored {
                object,
                block: *range,
                raw_start: 0,
                raw_length: range.raw_length,
            }),
        });
        Fixture {
            faulty,
            reader: Reader::new(cache),
            extents: extents.collect(),
        }
    }

    fn block(index: u8) -> BlockInput {
        BlockInput {
            partition: PARTITION,
            batches: vec![Bytes::from(vec![index; 70_000])],
            record_count: 1,
            min_timestamp: metadata::Timestamp(0),
            max_timestamp: metadata::Timestamp(0),
            compressed: true,
        }
    }

    impl Fixture {
        /// Reads wants of these blocks: how many each got, or none when it failed; and how long it took.
        async fn read(&self, wants: &[&[usize]]) -> (Vec<Option<usize>>, Duration) {
            let extents = |want: &&[usize]| Read {
                partition: PARTITION,
                extents: want.iter().map(|index| self.extents[*index]).collect(),
            };
            let plan = Plan {
                reads: wants.iter().map(extents).collect(),
                ..Plan::default()
            };
            let began = Instant::now();
            let read = self.reader.read(&plan).await;
            let lengths = read.iter().map(|(_, want)| Some(want.as_ref().ok()?.len()));
            (lengths.collect(), began.elapsed())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_at_hand_does_not_wait_for_a_bucket_that_is_away() {
        let f = fixture().await;
        f.faulty.plan([], Fate::Silent);
        let (read, took) = f.read(&[&[0], &[2], &[1, 3], &[]]).await;
        assert_eq!(read, [Some(1), Some(0), Some(1), Some(0)]);
        assert_eq!(took, LATE_MAX);
        let (read, took) = f.read(&[&[0, 1]]).await;
        assert_eq!((read, took), (vec![Some(2)], Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_takes_its_time_is_waited_for_while_nothing_is_at_hand() {
        let f = fixture().await;
        f.faulty.plan([], Fate::Takes(3000));
        let (read, took) = f.read(&[&[2, 3]]).await;
        assert_eq!((read, took), (vec![Some(2)], Duration::from_secs(3)));
        // And what came meanwhile is at hand.
        f.faulty.plan([], Fate::Silent);
        assert_eq!(f.read(&[&[3]]).await.0, [Some(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_of_a_slow_bucket_is_not_held_back_by_the_others() {
        let f = fixture().await;
        f.faulty.plan([Fate::Takes(2000)], Fate::Silent);
        let (read, took) = f.read(&[&[2], &[4]]).await;
        assert_eq!(read, [Some(1), Some(0)]);
        assert_eq!(took, Duration::from_secs(2) + LATE_MAX);
    }

    /// Whoever reads many partitions reads blocks that lie side by side.
    #[tokio::test(start_paused = true)]
    async fn neighbours_of_several_wants_come_with_one_request() {
        let f = fixture().await;
        f.faulty.plan([], Fate::Works);
        assert_eq!(f.read(&[&[2], &[3], &[4]]).await.0, [Some(1); 3]);
        assert_eq!(f.faulty.requests(), 1);
    }

    /// Beside bytes that are at hand nobody waits for a slow bucket to say that an object is gone; but it is said.
    #[tokio::test(start_paused = true)]
    async fn a_want_that_is_damaged_says_so_beside_one_that_is_at_hand() {
        let f = fixture().await;
        let tasks = Tasks::new();
        tasks.spawn("cache", {
            let run = f.reader.cache.clone().run(tasks.stopping());
            async move {
                run.await;
                Ok(())
            }
        });
        let objects: &InMemory = &f.faulty.objects;
        let listed: Vec<_> = objects.list(None).map(Result::unwrap).collect().await;
        assert_eq!(listed.len(), 1);
        objects.delete(&listed[0].location).await.unwrap();
        f.faulty.plan([], Fate::Takes(700));
        let mut answers = Vec::new();
        for _ in 0..4 {
            let (read, took) = f.read(&[&[0], &[2]]).await;
            assert!(took <= LATE_MAX);
            answers.extend(read);
        }
        tasks.stop();
        tasks.wait(Duration::from_secs(5)).await;
        let healthy = answers.iter().step_by(2);
        assert!(healthy.eq([&Some(1); 4]));
        assert_eq!(answers[7], None, "{answers:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_want_without_a_byte_fails() {
        let f = fixture().await;
        f.faulty.plan([], Fate::Refused);
        let (read, took) = f.read(&[&[2], &[0, 2, 1], &[3]]).await;
        assert_eq!((read, took), (vec![None, Some(1), None], Duration::ZERO));
    }
}
