//! The bytes of a plan, through the cache. Called by `handler`.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesOrdered, FuturesUnordered, StreamExt};
use metadata::{Extent, Stored, TopicPartition};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::plan::{Plan, Read};
use crate::metrics;
use crate::storage::{Awaited, Cache, Coming, InLine, Place, RawBlock, Source, StoreError};

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

    /// All side by side: one whose object is out of reach does not hold back the others' bytes. What is still in line for
    /// room then keeps its place there for the connection, which is going to ask for it again: however many others come, it
    /// has its turn.
    pub(super) async fn read(&self, plan: &Plan, in_line: &Mutex<Option<InLine>>) -> Vec<ReadWant> {
        let ahead: Vec<Place> = plan.ahead.iter().flat_map(places).collect();
        if !ahead.is_empty() {
            self.cache.prefetch(&ahead);
        }
        let reads = plan.reads.iter();
        let mut readings: Vec<_> = reads
            .map(|read| Reading::new(read, &self.metrics))
            .collect();
        let (mut late, mut left) = (None, usize::MAX);
        let mut awaited = Vec::new();
        // Where there is little room, those behind have their turn once the first have what is theirs: whoever always asks
        // for the same ones first would never hear of the others.
        loop {
            let mut starved: Vec<_> = readings
                .iter_mut()
                .filter(|each| each.is_starved())
                .collect();
            if starved.is_empty() || starved.len() >= left || is_over(late) {
                break;
            }
            left = starved.len();
            awaited.extend(self.turn(&mut starved, &mut late).await);
        }
        // What was kept until now goes only after that.
        let kept = self.cache.keep(awaited);
        *in_line.lock() = kept;
        readings.into_iter().map(Reading::end).collect()
    }

    /// Reads what comes for those at once, and says for what it waited. Until when what is late is waited for is known from
    /// when something is here.
    async fn turn(
        &self,
        readings: &mut [&mut Reading<'_>],
        late: &mut Option<Instant>,
    ) -> Vec<Awaited> {
        // Together, so that neighbours of several partitions come with one request.
        let wanted: Vec<Place> = readings.iter().flat_map(|each| each.places()).collect();
        let coming = self.cache.begin(&wanted);
        let awaited = coming.iter().filter_map(Coming::awaited).collect();
        let mut coming = coming.into_iter();
        for reading in &mut *readings {
            if reading.begin(&mut coming) {
                late.get_or_insert_with(|| Instant::now() + LATE_MAX);
            }
        }
        let mut under_way: FuturesUnordered<_> =
            readings.iter_mut().map(|each| each.go_on()).collect();
        loop {
            let next = under_way.next();
            let ended = match *late {
                None => next.await,
                Some(late) => timeout_at(late, next).await.unwrap_or(None),
            };
            match ended {
                None => return awaited,
                Some(true) => {
                    late.get_or_insert_with(|| Instant::now() + LATE_MAX);
                }
                Some(false) => {}
            }
        }
    }
}

fn is_over(late: Option<Instant>) -> bool {
    late.is_some_and(|late| late <= Instant::now())
}

/// What became of a block that was asked for.
type Came = Result<Option<(RawBlock, Source)>, StoreError>;

/// A want whose blocks are taken one after the other.
struct Reading<'a> {
    partition: TopicPartition,
    extents: Vec<(&'a Extent, Stored)>,
    /// All are waited for at once: one that is here is taken out of what was read with it, however long others take.
    coming: FuturesOrdered<BoxFuture<'static, Came>>,
    read: Vec<ReadExtent>,
    failed: Option<Unread>,
    metrics: &'a metrics::Fetch,
}

impl<'a> Reading<'a> {
    fn new(read: &'a Read, metrics: &'a metrics::Fetch) -> Self {
        let stored = |extent: &'a Extent| extent.stored().map(|stored| (extent, *stored));
        Self {
            partition: read.partition,
            extents: read.extents.iter().filter_map(stored).collect(),
            coming: FuturesOrdered::new(),
            read: Vec::new(),
            failed: None,
            metrics,
        }
    }

    /// Whether there are bytes for it, and none have come.
    fn is_starved(&self) -> bool {
        !self.extents.is_empty() && self.read.is_empty() && self.failed.is_none()
    }

    fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let stored = self.extents.iter().map(|(_, stored)| stored);
        stored.map(|stored| place(self.partition, stored))
    }

    /// Takes what is coming for it, which is next. Whether there are bytes without waiting.
    fn begin(&mut self, coming: &mut impl Iterator<Item = Coming>) -> bool {
        let mut coming = coming.take(self.extents.len()).peekable();
        let here = matches!(coming.peek(), Some(Coming::Here(..)));
        self.coming = coming.map(|each| each.block().boxed()).collect();
        here
    }

    /// Until all are here or one cannot be read. Whether there are any bytes.
    async fn go_on(&mut self) -> bool {
        for (extent, stored) in &self.extents {
            match self.coming.next().await.unwrap_or(Ok(None)) {
                // The reader asks for it again.
                Ok(None) => break,
                Ok(Some((block, source))) => {
                    self.count(stored, source);
                    self.read.push(ReadExtent {
                        extent: **extent,
                        stored: *stored,
                        block,
                    });
                }
                Err(error) => {
                    let extent = **extent;
                    self.failed = Some(Unread { extent, error });
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
    stored.map(move |stored| place(owner, stored))
}

fn place(owner: TopicPartition, stored: &Stored) -> Place {
    Place {
        object: stored.object,
        range: stored.block,
        owner,
    }
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
    use crate::storage::tests::faulty::{Faulty, Planned};
    use crate::tasks::Tasks;

    const PARTITION: TopicPartition = TopicPartition {
        topic: metadata::TopicId(1),
        partition: metadata::PartitionIndex(0),
    };

    struct Fixture {
        faulty: Arc<Faulty>,
        reader: Reader,
        extents: Vec<Extent>,
        in_line: Mutex<Option<InLine>>,
    }

    /// An object of five blocks, of which every other is far enough away for a request of its own; the first two are at
    /// hand, if the cache has room for them.
    async fn fixture(cache_bytes: u64) -> Fixture {
        let faulty = Arc::new(Faulty::default());
        let objects = Arc::clone(&faulty);
        let store = Store::from_object_store(objects, Path::default(), true);
        let object = ObjectKey(1);
        let blocks: Vec<_> = (0..5_u8).map(block).collect();
        let encoded = encode(&blocks, &[], Compression::Off);
        store.put_segment(object, encoded.payload).await.unwrap();
        let cache = Cache::new(store, cache_bytes, Duration::from_secs(60));
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
            in_line: Mutex::new(None),
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
            let read = self.reader.read(&plan, &self.in_line).await;
            let lengths = read.iter().map(|(_, want)| Some(want.as_ref().ok()?.len()));
            (lengths.collect(), began.elapsed())
        }

        /// Runs what looks after the cache until told to stop.
        fn run(&self) -> Tasks {
            let tasks = Tasks::new();
            let run = self.reader.cache.clone().run(tasks.stopping());
            tasks.spawn("cache", async move {
                run.await;
                Ok(())
            });
            tasks
        }

        /// Reads one object after another that is not there, which takes as much room, and time, as one that is.
        async fn crowd(&self, first: u128) {
            let stored = *self.extents[2].stored().unwrap();
            for object in first.. {
                let other = Stored {
                    object: ObjectKey(object),
                    ..stored
                };
                let wanted = [place(PARTITION, &other)];
                assert!(self.reader.cache.blocks(&wanted).await.is_err());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_at_hand_does_not_wait_for_a_bucket_that_is_away() {
        let f = fixture(4 << 20).await;
        f.faulty.plan([], Planned::Silent);
        let (read, took) = f.read(&[&[0], &[2], &[1, 3], &[]]).await;
        assert_eq!(read, [Some(1), Some(0), Some(1), Some(0)]);
        assert_eq!(took, LATE_MAX);
        let (read, took) = f.read(&[&[0, 1]]).await;
        assert_eq!((read, took), (vec![Some(2)], Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_takes_its_time_is_waited_for_while_nothing_is_at_hand() {
        let f = fixture(4 << 20).await;
        f.faulty.plan([], Planned::Takes(3000));
        let (read, took) = f.read(&[&[2, 3]]).await;
        assert_eq!((read, took), (vec![Some(2)], Duration::from_secs(3)));
        // And what came meanwhile is at hand.
        f.faulty.plan([], Planned::Silent);
        assert_eq!(f.read(&[&[3]]).await.0, [Some(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_of_a_slow_bucket_is_not_held_back_by_the_others() {
        let f = fixture(4 << 20).await;
        f.faulty.plan([Planned::Takes(2000)], Planned::Silent);
        let (read, took) = f.read(&[&[2], &[4]]).await;
        assert_eq!(read, [Some(1), Some(0)]);
        assert_eq!(took, Duration::from_secs(2) + LATE_MAX);
    }

    /// Where there is room for one at a time, the others are read all the same.
    #[tokio::test(start_paused = true)]
    async fn whoever_is_behind_in_a_request_is_not_starved_by_those_before() {
        let f = fixture(1).await;
        assert_eq!(f.read(&[&[0], &[2], &[4]]).await.0, [Some(1); 3]);
    }

    /// Whoever reads many partitions reads blocks that lie side by side.
    #[tokio::test(start_paused = true)]
    async fn neighbours_of_several_wants_come_with_one_request() {
        let f = fixture(4 << 20).await;
        f.faulty.plan([], Planned::Works);
        assert_eq!(f.read(&[&[2], &[3], &[4]]).await.0, [Some(1); 3]);
        assert_eq!(f.faulty.requests(), 1);
    }

    /// Beside bytes that are at hand nobody waits for a slow bucket to say that an object is gone; but it is said.
    #[tokio::test(start_paused = true)]
    async fn a_want_that_is_damaged_says_so_beside_one_that_is_at_hand() {
        let f = fixture(4 << 20).await;
        let tasks = f.run();
        let objects: &InMemory = &f.faulty.objects;
        let listed: Vec<_> = objects.list(None).map(Result::unwrap).collect().await;
        assert_eq!(listed.len(), 1);
        objects.delete(&listed[0].location).await.unwrap();
        f.faulty.plan([], Planned::Takes(700));
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

    /// It lost its place every half a second, and others came in between.
    #[tokio::test(start_paused = true)]
    async fn what_is_in_line_beside_bytes_at_hand_has_its_turn_however_many_others_come() {
        let f = fixture(420_000).await;
        let tasks = f.run();
        f.faulty.plan([], Planned::Takes(1000));
        let crowd = (1..6).map(|number| f.crowd(number << 64));
        let crowd = futures::future::join_all(crowd);
        let reader = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let mut answers = 1;
            while f.read(&[&[0], &[2]]).await.0 != [Some(1); 2] {
                answers += 1;
            }
            answers
        };
        let reader = tokio::time::timeout(Duration::from_secs(120), reader);
        let answers = tokio::select! {
            _ = crowd => unreachable!("they go on"),
            answers = reader => answers.expect("it is never served"),
        };
        assert!(answers > 5, "it did not wait: {answers}");
        // With nobody who wants it any more nothing is left.
        *f.in_line.lock() = None;
        tasks.stop();
        tasks.wait(Duration::from_secs(5)).await;
    }

    /// Nobody reads what nobody waits for.
    #[tokio::test(start_paused = true)]
    async fn a_connection_keeps_its_place_in_line_until_it_is_gone() {
        for stays in [true, false] {
            let f = fixture(420_000).await;
            let tasks = f.run();
            f.faulty.plan([], Planned::Takes(3000));
            let begin = |block: usize| {
                let place = place(PARTITION, f.extents[block].stored().unwrap());
                f.reader.cache.begin(&[place]).remove(0)
            };
            let takes_all_room = begin(4);
            assert_eq!(f.read(&[&[0], &[2]]).await.0, [Some(1), Some(0)]);
            if !stays {
                *f.in_line.lock() = None;
            }
            takes_all_room.block().await.unwrap();
            tokio::time::sleep(Duration::from_secs(30)).await;
            assert_eq!(matches!(begin(2), Coming::Here(..)), stays);
            tasks.stop();
            tasks.wait(Duration::from_secs(5)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_want_without_a_byte_fails() {
        let f = fixture(4 << 20).await;
        f.faulty.plan([], Planned::Refused);
        let (read, took) = f.read(&[&[2], &[0, 2, 1], &[3]]).await;
        assert_eq!((read, took), (vec![None, Some(1), None], Duration::ZERO));
    }
}
