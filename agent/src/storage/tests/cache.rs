//! One download for all who ask, a bound in bytes, and nothing kept that nobody reads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use metadata::{BlockRange, ObjectKey, PartitionIndex, Timestamp, TopicId, TopicPartition};
use object_store::path::Path;
use tokio::time::{sleep, timeout};

use super::faulty::{Faulty, Planned};
use crate::jobs::Jobs;
use crate::random::Random;
use crate::storage::segment::{BlockInput, Compression, encode};
use crate::storage::{Cache, Coming, ErrorKind, Place, Source, Store, Sweep};
use crate::tasks::Tasks;

const IDLE: Duration = Duration::from_secs(20);
pub(super) const OBJECT: ObjectKey = ObjectKey(1);

pub(super) struct Fixture {
    pub(super) faulty: Arc<Faulty>,
    pub(super) store: Store,
    pub(super) cache: Cache,
    pub(super) ranges: Vec<BlockRange>,
}

/// A bucket with one segment: blocks of these lengths, each filled with its index.
pub(super) async fn fixture(lengths: &[usize], bytes_max: u64) -> Fixture {
    let faulty = Arc::new(Faulty::default());
    let objects = Arc::clone(&faulty);
    let store = Store::from_object_store(objects, Path::default(), false);
    let blocks: Vec<_> = lengths.iter().enumerate().map(block).collect();
    let encoded = encode(&blocks, &[], Compression::Off);
    store.put_segment(OBJECT, encoded.payload).await.unwrap();
    faulty.plan([], Planned::Takes(100));
    let cache = Cache::new(store.clone(), bytes_max, IDLE);
    Fixture {
        faulty,
        store,
        cache,
        ranges: encoded.ranges,
    }
}

pub(super) fn owner(index: usize) -> TopicPartition {
    TopicPartition {
        topic: TopicId(1),
        partition: PartitionIndex(i32::try_from(index).unwrap()),
    }
}

pub(super) fn block((index, length): (usize, &usize)) -> BlockInput {
    let fill = u8::try_from(index).unwrap();
    BlockInput {
        partition: owner(index),
        batches: vec![vec![fill; *length].into()],
        record_count: 1,
        min_timestamp: Timestamp(0),
        max_timestamp: Timestamp(0),
        compressed: true,
    }
}

impl Fixture {
    pub(super) fn place(&self, index: usize) -> Place {
        Place {
            object: OBJECT,
            range: self.ranges[index],
            owner: owner(index),
        }
    }

    /// Asks for blocks by their indexes; where each came from.
    pub(super) async fn read(&self, indexes: &[usize]) -> Vec<Source> {
        let wanted: Vec<_> = indexes.iter().map(|i| self.place(*i)).collect();
        let blocks = self.cache.blocks(&wanted).await.unwrap();
        assert_eq!(blocks.len(), indexes.len());
        for ((block, _), index) in blocks.iter().zip(indexes) {
            let fill = u8::try_from(*index).unwrap();
            let bytes: Vec<u8> = block.concat();
            assert_eq!(bytes.len(), self.ranges[*index].raw_length as usize);
            assert!(bytes.iter().all(|byte| *byte == fill), "block {index}");
        }
        blocks.into_iter().map(|(_, source)| source).collect()
    }

    pub(super) fn run(&self) -> Tasks {
        let tasks = Tasks::new();
        let (cache, stop) = (self.cache.clone(), tasks.stopping());
        tasks.spawn("cache", async move {
            cache.run(stop).await;
            Ok(())
        });
        let jobs = Jobs::new(tasks.clone(), Random::seeded(1));
        jobs.start(Sweep::of(self.cache.clone()));
        tasks
    }
}

#[tokio::test(start_paused = true)]
async fn own_blocks_need_no_request() {
    let f = fixture(&[100], 1 << 20).await;
    let batches = vec![Bytes::from(vec![0; 60]), Bytes::from(vec![0; 40])];
    f.cache.insert(f.place(0), batches);
    assert_eq!(f.read(&[0]).await, [Source::Own]);
    assert_eq!(f.faulty.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn many_askers_share_one_download() {
    let f = fixture(&[1000; 5], 1 << 20).await;
    let f = &f;
    let askers = (0..50).map(|n| async move {
        let indexes: &[usize] = if n % 2 == 0 {
            &[0, 1, 2, 3, 4]
        } else {
            &[3, 0, 3]
        };
        f.read(indexes).await
    });
    for sources in join_all(askers).await {
        assert!(sources.iter().all(|source| *source == Source::Store));
    }
    assert_eq!(f.faulty.requests(), 1);
    assert_eq!(f.read(&[4, 0]).await, [Source::Cache; 2]);
    assert_eq!(f.faulty.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_at_a_gap_and_at_its_largest_size() {
    let gap = 65 * 1024;
    let f = fixture(&[100, gap, 100, 60 * 1024, 100], 64 << 20).await;
    f.read(&[4, 0, 2]).await;
    assert_eq!(
        f.faulty.requests(),
        2,
        "0, then 2 and 4 with what is between"
    );
    let mib = 1 << 20;
    let f = fixture(&[mib; 20], 256 << 20).await;
    f.read(&(0..20).collect::<Vec<_>>()).await;
    assert_eq!(f.faulty.requests(), 3, "7, 7 and 6 blocks");
    let f = fixture(&[20 * mib, 10], 64 << 20).await;
    f.read(&[0, 1]).await;
    assert_eq!(f.faulty.requests(), 2, "a large block comes alone");
}

#[tokio::test(start_paused = true)]
async fn a_download_survives_those_who_asked() {
    let f = fixture(&[1000], 1 << 20).await;
    let tasks = f.run();
    let asked = timeout(Duration::from_millis(10), f.read(&[0])).await;
    assert!(asked.is_err(), "it takes 100 ms");
    sleep(Duration::from_millis(500)).await;
    assert_eq!(f.read(&[0]).await, [Source::Cache]);
    assert_eq!(f.faulty.requests(), 1);
    tasks.stop();
    assert_eq!(tasks.wait(Duration::from_secs(5)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn one_asker_going_away_does_not_harm_the_others() {
    // Nobody runs the cache, so those who stay must do.
    let f = fixture(&[1000], 1 << 20).await;
    let (gone, stayed) = tokio::join!(
        timeout(Duration::from_millis(10), f.read(&[0])),
        f.read(&[0])
    );
    assert!(gone.is_err());
    assert_eq!(stayed, [Source::Store]);
    assert_eq!(f.faulty.requests(), 1);
}

/// Thousands of which a block may have before it was stored, each an allocation of its own.
#[tokio::test(start_paused = true)]
async fn small_batches_count_for_what_they_take() {
    let f = fixture(&[1000], 1 << 20).await;
    let batches = (0..1000).map(|_| Bytes::copy_from_slice(&[0; 68]));
    f.cache.insert(f.place(0), batches.collect());
    assert!(f.cache.bytes() >= 1000 * 144, "{}", f.cache.bytes());
}

#[tokio::test(start_paused = true)]
async fn bytes_have_a_bound_and_the_least_recently_used_go() {
    let f = fixture(&[1000; 10], 5500).await;
    let _tasks = f.run();
    for index in 0..10 {
        f.read(&[index]).await;
        f.read(&[0]).await;
        assert!(f.cache.bytes() <= 5500);
    }
    assert_eq!(f.faulty.requests(), 10, "0 stayed");
    assert_eq!(f.read(&[9, 8, 0]).await, [Source::Cache; 3]);
    assert_eq!(f.read(&[1]).await, [Source::Store]);
}

#[tokio::test(start_paused = true)]
async fn a_block_larger_than_the_cache_drives_nothing_out() {
    let f = fixture(&[1000, 100_000], 5000).await;
    let _tasks = f.run();
    f.read(&[0]).await;
    f.read(&[1]).await;
    assert_eq!(f.read(&[0]).await, [Source::Cache]);
    assert!(f.cache.bytes() > 1000 && f.cache.bytes() <= 5000);
}

#[tokio::test(start_paused = true)]
async fn blocks_kept_do_not_keep_their_whole_run() {
    let f = fixture(&[1000; 3], 1 << 20).await;
    let wanted: Vec<_> = (0..f.ranges.len()).map(|index| f.place(index)).collect();
    let blocks = f.cache.blocks(&wanted).await.unwrap();
    let starts: Vec<_> = blocks
        .iter()
        .map(|(block, _)| block[0].as_ptr() as usize)
        .collect();
    let apart = f.ranges[1].position - f.ranges[0].position;
    assert_ne!(starts[1].wrapping_sub(starts[0]), apart as usize);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_reads_is_dropped() {
    let f = fixture(&[1000; 2], 1 << 20).await;
    let tasks = f.run();
    f.read(&[0, 1]).await;
    for _ in 0..3 {
        sleep(IDLE * 3 / 4).await;
        assert_eq!(f.read(&[0]).await, [Source::Cache]);
    }
    assert!(f.cache.bytes() < 2000, "1 is gone");
    sleep(IDLE * 2).await;
    assert_eq!(f.cache.bytes(), 0);
    tasks.stop();
    tasks.wait(Duration::from_secs(5)).await;
}

/// However many there are, others have their turn in between.
#[tokio::test(start_paused = true)]
async fn of_many_blocks_that_nobody_reads_some_go_at_once() {
    let f = fixture(&[100], 1 << 30).await;
    let place = |number: u128| Place {
        object: ObjectKey(10 + number),
        ..f.place(0)
    };
    for number in 0..10_000 {
        f.cache
            .insert(place(number), vec![Bytes::from_static(b"x")]);
    }
    sleep(IDLE).await;
    let before = f.cache.bytes();
    assert_eq!(f.cache.sweep(4_000), 4_000);
    assert!(f.cache.bytes() > 0 && f.cache.bytes() < before);
    assert_eq!((f.cache.sweep(4_000), f.cache.sweep(4_000)), (4_000, 2_000));
    assert_eq!(f.cache.bytes(), 0);
    for number in 0..10_000 {
        f.cache
            .insert(place(number), vec![Bytes::from_static(b"x")]);
    }
    let tasks = f.run();
    sleep(IDLE * 2).await;
    assert_eq!(f.cache.bytes(), 0);
    tasks.stop();
    tasks.wait(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_prefetched_is_there() {
    let f = fixture(&[1000; 2], 1 << 20).await;
    let tasks = f.run();
    f.cache.prefetch(&[f.place(0), f.place(1)]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(f.read(&[0, 1]).await, [Source::Cache; 2]);
    assert_eq!(f.faulty.requests(), 1);
    tasks.stop();
    tasks.wait(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn prefetching_without_end_is_forgotten_not_kept() {
    let f = fixture(&[1000; 200], 1 << 20).await;
    for index in 0..f.ranges.len() {
        f.cache.prefetch(&[f.place(index)]);
    }
    let tasks = f.run();
    sleep(Duration::from_secs(19)).await;
    assert!(
        (1..=64).contains(&f.faulty.requests()),
        "{}",
        f.faulty.requests()
    );
    tasks.stop();
    tasks.wait(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_download_is_tried_anew_by_the_next_asker() {
    let f = fixture(&[1000], 1 << 20).await;
    f.faulty.plan([Planned::Refused], Planned::Works);
    let wanted = [f.place(0)];
    let error = f.cache.blocks(&wanted).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(f.read(&[0]).await, [Source::Store]);
}

/// Downloads count from their beginning to their end, packed and unpacked.
#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_is_part_of_the_bound() {
    let mib = 1 << 20;
    let bound = 8 * mib as u64;
    let f = fixture(&[mib; 24], bound).await;
    let _tasks = f.run();
    let own = vec![vec![0; mib].into()];
    for index in 16..24 {
        f.cache.insert(f.place(index), own.clone());
    }
    assert!(f.cache.bytes() > 6 * mib as u64);
    let askers = (0..16).map(|index| f.cache.begin(&[f.place(index)]));
    let askers: Vec<_> = askers.flatten().map(Coming::block).collect();
    let mut most = 0;
    let mut all = Box::pin(join_all(askers));
    while futures::poll!(&mut all).is_pending() {
        most = most.max(f.cache.bytes() + f.cache.loading_bytes());
        assert!(f.cache.loading_bytes() <= bound / 2);
        sleep(Duration::from_millis(10)).await;
    }
    // Whose turn has come lets go of others before it reads.
    let turn = 2 * mib as u64 + 4;
    assert!((bound / 2..=bound + turn).contains(&most), "{most}");
    sleep(Duration::from_millis(10)).await;
    assert_eq!(f.cache.loading_bytes(), 0);
}

/// It takes what may be read at once, and at least the first; what else is wanted comes when it is asked for again.
#[tokio::test(start_paused = true)]
async fn one_asker_does_not_take_all_the_room() {
    let mib = 1 << 20;
    let f = fixture(&[mib; 16], 16 * mib as u64).await;
    let _tasks = f.run();
    let all: Vec<_> = (0..16).map(|index| f.place(index)).collect();
    let coming = f.cache.begin(&all);
    let begun = coming.iter().filter(|c| matches!(c, Coming::Loading(_)));
    assert_eq!(begun.count(), 1, "a quarter of it, packed and unpacked");
    let other = f.cache.begin(&all[8..9]).remove(0).block();
    assert!(timeout(Duration::from_millis(200), other).await.is_ok());
    drop(coming);
    assert_eq!(f.read(&(0..16).collect::<Vec<_>>()).await.len(), 16);
}

/// Who waits for a block of its own first has not yet taken one that somebody else read, and would wait for itself.
#[tokio::test(start_paused = true)]
async fn who_stands_in_line_holds_no_room_that_others_had() {
    let mib = 1 << 20;
    let f = fixture(&[4 * mib, mib], 16 * mib as u64).await;
    let _tasks = f.run();
    let first = f.cache.begin(&[f.place(1)]).remove(0);
    let mut both = f.cache.begin(&[f.place(0), f.place(1)]);
    assert!(first.block().await.unwrap().is_some());
    let own = both.remove(0).block();
    let came = timeout(Duration::from_secs(5), own).await;
    assert!(came.expect("it has its turn").unwrap().is_some());
    assert!(both.remove(0).block().await.unwrap().is_some());
}

/// Nothing is read for those who have gone before it was their turn.
#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_any_more_is_not_read() {
    let mib = 1 << 20;
    let f = fixture(&[mib; 8], 4 * mib as u64).await;
    let _tasks = f.run();
    let first = f.cache.begin(&[f.place(0)]).remove(0);
    for index in 1..7 {
        let indexes = [index];
        let gone = f.read(&indexes);
        assert!(timeout(Duration::from_millis(10), gone).await.is_err());
    }
    assert!(first.block().await.is_ok());
    assert_eq!(f.read(&[7]).await, [Source::Store]);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(f.faulty.requests(), 2);
    assert_eq!(
        f.read(&[1]).await,
        [Source::Store],
        "and can be asked for again"
    );
}

/// Every download that is kept takes memory that nobody is charged for.
#[tokio::test(start_paused = true)]
async fn of_what_somebody_waited_for_the_first_keep_their_places_in_line() {
    let mib = 1 << 20;
    let f = fixture(&[mib, 10], 4 * mib as u64).await;
    let all = f.cache.begin(&[f.place(0)]);
    let of = |number: u128| Place {
        object: ObjectKey(10 + number),
        ..f.place(1)
    };
    let wanted: Vec<_> = (0..100).map(of).collect();
    let coming = f.cache.begin(&wanted);
    let known = || {
        coming
            .iter()
            .filter_map(Coming::awaited)
            .collect::<Vec<_>>()
    };
    let (asked, seen) = (known(), known());
    assert_eq!(
        asked.len(),
        100,
        "there is no room: each has a place in line"
    );
    let in_line = f.cache.keep(asked);
    drop(coming);
    let kept: Vec<_> = seen.iter().map(|one| one.0.upgrade().is_some()).collect();
    assert_eq!(kept, [[true; 8].as_slice(), &[false; 92]].concat());
    // They come once there is room for them.
    let _tasks = f.run();
    drop(all);
    sleep(Duration::from_secs(60)).await;
    assert!(seen.iter().all(|one| one.0.upgrade().is_none()));
    assert_eq!(f.cache.loading_bytes(), 0);
    drop(in_line);
}
