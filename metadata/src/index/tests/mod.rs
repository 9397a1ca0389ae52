//! The tree against a list of extents: whatever is appended, cut short, freed and asked.

mod beside;
mod moving;

use bytes::Bytes;
use proptest::prelude::*;

use super::free::free_first;
use super::lookup::largest;
use super::summary::{Child, Summary, Totals};
use super::*;
use crate::kv::{Kv, Memory, Transaction};
use crate::types::{
    BlockCodec, BlockRange, Content, ExtentFlags, Marker, ObjectKey, PartitionIndex, ProducerEpoch,
    ProducerId, Stored, Timestamp, TopicId,
};

const PLACE: Place = Place {
    partition: TopicPartition {
        topic: TopicId(7),
        partition: PartitionIndex(3),
    },
    generation: 2,
};

/// As an agent makes them: a segment each, some 100 ms apart, at times of one of three agents.
fn ordinary(number: u32, base_offset: Offset) -> Extent {
    let agent = u128::from(number % 3);
    let stored_length = 9_000 + number * 7 % 4_000;
    let raw_length = stored_length * 3;
    Extent {
        base_offset,
        offset_span: 100 + number % 150,
        record_count: 100 + number % 150,
        max_timestamp: Timestamp(1_790_000_000_000 + i64::from(number) * 100),
        flags: ExtentFlags::default(),
        content: Content::Stored(Stored {
            object: ObjectKey((agent << 40) | (77 << 96) | u128::from(number)),
            block: BlockRange {
                position: number.wrapping_mul(977_777) % 8_000_000,
                stored_length,
                raw_length,
                codec: BlockCodec::Zstd,
                checksum: number.wrapping_mul(0x9e37_79b9),
            },
            raw_start: 0,
            raw_length,
        }),
    }
}

/// From an offset on.
fn run(count: u32, from: u32, mut offset: Offset) -> Vec<Extent> {
    let next = |number| {
        let extent = ordinary(number, offset);
        offset = extent.end_offset();
        extent
    };
    (from..from + count).map(next).collect()
}

#[test]
fn an_extent_takes_at_most_20_bytes_in_the_ordinary_case() {
    let chunks = chunk::cut(None, true, &run(100_000, 0, Offset(1 << 40)));
    let key = |chunk: &Chunk| PLACE.key(0, chunk.end());
    let rows = chunks.iter().map(|chunk| chunk.encode(&key(chunk)));
    let bytes: usize = rows.map(|row| row.len()).sum();
    assert!(bytes <= 20 * 100_000, "{} for 100,000", bytes);
    for chunk in chunks {
        let row = chunk.encode(&key(&chunk));
        assert!(row.len() <= ROW_BYTES);
        assert_eq!(Chunk::decode(&key(&chunk), row), Ok(chunk));
    }
}

fn any_u32() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), 0..300_u32, Just(u32::MAX)]
}

fn content() -> impl Strategy<Value = Content> {
    let stored = (
        (any::<u128>(), any_u32(), any_u32(), any_u32()),
        (any::<bool>(), any_u32(), any::<(u32, u32, bool)>()),
    );
    let stored = stored.prop_map(
        |((object, position, stored_length, raw), (zstd, checksum, (start, length, whole)))| {
            let raw_start = if whole { 0 } else { start % raw.max(1) };
            let rest = raw - raw_start.min(raw);
            Content::Stored(Stored {
                object: ObjectKey(object),
                block: BlockRange {
                    position,
                    stored_length,
                    raw_length: raw,
                    codec: if zstd {
                        BlockCodec::Zstd
                    } else {
                        BlockCodec::Raw
                    },
                    checksum,
                },
                raw_start,
                raw_length: if whole { raw } else { length % rest.max(1) },
            })
        },
    );
    prop_oneof![
        6 => stored,
        1 => any::<(i64, i16, bool)>().prop_map(|(producer, epoch, committed)| {
            Content::Marker(Marker {
                producer: ProducerId(producer),
                epoch: ProducerEpoch(epoch),
                committed,
            })
        }),
        1 => Just(Content::Compacted),
        1 => Just(Content::Lost),
    ]
}

/// Anything that may be committed, its base offset apart.
fn any_extent() -> impl Strategy<Value = Extent> {
    let counts = (1..=u32::MAX, any_u32());
    let flags = any::<(bool, bool, bool)>();
    (counts, any::<i64>(), flags, content()).prop_map(
        |((offset_span, count), time, (offsets_in_bytes, transactional, control), content)| {
            Extent {
                base_offset: Offset(0),
                offset_span,
                record_count: count.min(offset_span),
                max_timestamp: Timestamp(time),
                flags: ExtentFlags {
                    offsets_in_bytes,
                    transactional,
                    control,
                },
                content,
            }
        },
    )
}

fn joined(mut extents: Vec<Extent>, mut base: Offset) -> Vec<Extent> {
    for extent in &mut extents {
        extent.base_offset = base;
        base = extent.end_offset();
    }
    extents
}

/// A partition's rows beside what they should say.
struct World {
    kv: Memory,
    extents: Vec<Extent>,
    log_start: Offset,
    number: u32,
}

impl World {
    fn new() -> Self {
        let (kv, extents) = (Memory::new(), Vec::new());
        let (log_start, number) = (Offset(0), 0);
        Self {
            kv,
            extents,
            log_start,
            number,
        }
    }

    fn end(&self) -> Offset {
        self.extents
            .last()
            .map_or(self.log_start, Extent::end_offset)
    }

    /// Appends so many; those that rows have already, `again` of them, are appended once more, as after a crash.
    async fn append(&mut self, count: u32, again: usize) {
        let at = self.extents.len().saturating_sub(again);
        let live = |extent: &Extent| extent.base_offset >= self.log_start;
        let at = at.max(
            self.extents
                .iter()
                .position(live)
                .unwrap_or(self.extents.len()),
        );
        let more = run(count, self.number, self.end());
        self.number += count;
        self.extents.extend(more);
        let extents = &self.extents[at..];
        let Some(start) = extents.first().map(|first| first.base_offset) else {
            return;
        };
        let tail = read_tail(&self.kv, PLACE, start).await.unwrap();
        let mut writes = Transaction::default();
        let next = append(PLACE, self.log_start, tail, extents, &mut writes).unwrap();
        self.kv.commit(writes).await.unwrap();
        // What the next append goes on from is what it would find.
        let found = read_tail(&self.kv, PLACE, self.end()).await.unwrap();
        assert_eq!(next, found);
        let found = verify(&self.kv, PLACE).await.unwrap();
        assert_eq!(found.map(|(_, end)| end), Some(self.end()));
    }

    /// Frees what lies before so many extents, chunk by chunk.
    async fn free(&mut self, count: usize) {
        let at = count.min(self.extents.len());
        self.log_start = self.extents.get(at).map_or(self.end(), |e| e.base_offset);
        let mut pieces = 0;
        while let Some(freed) = free_first(&self.kv, PLACE, self.log_start).await.unwrap() {
            let gone = self
                .extents
                .iter()
                .take_while(|e| e.end_offset() <= freed.end);
            let mut objects = std::collections::BTreeMap::<_, u32>::new();
            for stored in gone.filter_map(Extent::stored) {
                *objects.entry(stored.object).or_default() += 1;
            }
            assert_eq!(freed.objects, objects);
            self.extents
                .retain(|extent| extent.base_offset >= freed.end);
            self.kv.commit(freed.writes).await.unwrap();
            pieces += 1;
            if pieces % 37 == 1 {
                self.check_base().await;
            }
        }
        self.check_base().await;
    }

    async fn check_base(&self) {
        let found = verify(&self.kv, PLACE).await.unwrap();
        let base = self.extents.first().map(|first| first.base_offset);
        assert_eq!(found.map(|(base, _)| base), base);
    }

    async fn ask(&self, at: usize) {
        let lookup = Lookup::new(&self.kv, PLACE);
        let until = self.end();
        let live = || {
            self.extents
                .iter()
                .filter(|e| e.end_offset() > self.log_start)
        };
        let largest_of_all = largest(live());
        let found = lookup.largest(self.log_start, until).await.unwrap();
        assert_eq!(found, largest_of_all);
        let Some(some) = self.extents.get(at % self.extents.len().max(1)) else {
            return;
        };
        for timestamp in [some.max_timestamp.0 - 1, some.max_timestamp.0, i64::MAX] {
            let timestamp = Timestamp(timestamp);
            let expected = live().find(|extent| extent.max_timestamp >= timestamp);
            let found = lookup.at_or_after(self.log_start, until, timestamp).await;
            assert_eq!(found.unwrap().as_ref(), expected);
        }
        let chunks = lookup.chunks(some.base_offset, 16).await.unwrap();
        assert!(chunks[0].extents.contains(some));
        let mut before = self
            .extents
            .iter()
            .take_while(|e| e.end_offset() <= some.base_offset);
        let totals = Totals::of(before.by_ref());
        assert_eq!(lookup.before(some.base_offset).await.unwrap(), totals);
        assert_eq!(lookup.totals().await.unwrap(), Totals::of(&self.extents));
        // Whoever retains what lies from here on gets here again.
        let kept = self
            .extents
            .iter()
            .skip_while(|e| e.base_offset < some.base_offset);
        let bytes = Totals::of(kept).stored_bytes;
        let start = lookup.start_of_last(bytes).await.unwrap();
        assert_eq!(start, Some(some.base_offset));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append { count: u32, again: usize },
    Free { count: usize },
    Ask { at: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let count = prop_oneof![1..20_u32, 1..2_000_u32];
    let again = prop_oneof![3 => Just(0_usize), 1 => 0..20_usize, 1 => 0..2_000_usize];
    prop_oneof![
        3 => (count, again).prop_map(|(count, again)| Step::Append { count, again }),
        1 => prop_oneof![0..20_usize, 0..3_000_usize].prop_map(|count| Step::Free { count }),
        2 => any::<usize>().prop_map(|at| Step::Ask { at }),
    ]
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn rows_say_what_was_appended(steps in prop::collection::vec(step(), 1..20)) {
        block_on(async {
            let mut world = World::new();
            for step in steps {
                match step {
                    Step::Append { count, again } => world.append(count, again).await,
                    Step::Free { count } => world.free(count).await,
                    Step::Ask { at } => world.ask(at).await,
                }
            }
            world.ask(0).await;
        });
    }

    #[test]
    fn every_extent_comes_back_as_it_went(
        extents in prop::collection::vec(any_extent(), 1..300),
        base in 0..i64::MAX / 4,
        first in any::<bool>(),
    ) {
        let extents = joined(extents, Offset(base));
        let chunks = chunk::cut(None, first, &extents);
        let mut back = Vec::new();
        for chunk in chunks {
            let key = PLACE.key(0, chunk.end());
            let row = chunk.encode(&key);
            prop_assert!(row.len() <= ROW_BYTES);
            let decoded = Chunk::decode(&key, row).unwrap();
            prop_assert_eq!(&decoded, &chunk);
            back.extend(decoded.extents);
        }
        prop_assert_eq!(back, extents);
    }

    #[test]
    fn no_bytes_upset_it(
        noise in prop::collection::vec(any::<u8>(), 0..80),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let chunk = Chunk { first: true, extents: run(20, 0, Offset(5)) };
        let key = PLACE.key(0, chunk.end());
        let _ = Chunk::decode(&key, Bytes::from([&[1, 0], &noise[..]].concat()));
        let _ = Summary::decode(&key, Bytes::from([&[1, 0], &noise[..]].concat()));
        let mut row = chunk.encode(&key).to_vec();
        let at = at.index(row.len());
        row[at] = byte;
        if let Ok(chunk) = Chunk::decode(&key, row.into()) {
            // Whatever it is, it has no hole.
            let mut next = chunk.base();
            for extent in &chunk.extents {
                prop_assert_eq!(extent.base_offset, next);
                next = extent.end_offset();
            }
        }
    }

    #[test]
    fn every_summary_comes_back_as_it_went(
        children in prop::collection::vec((1..1_i64 << 40, any::<i64>(), any::<(u64, u64, u64)>()), 1..600),
    ) {
        let mut end = 0;
        let children: Vec<Child> = children.into_iter().map(|(span, time, totals)| {
            end += span;
            Child {
                end: Offset(end),
                max_timestamp: Timestamp(time),
                totals: Totals { stored_bytes: totals.0, raw_bytes: totals.1, records: totals.2 },
            }
        }).collect();
        let rows = summary::cut(None, true, Offset(0), &children);
        let mut back = Vec::new();
        for summary in rows {
            let key = PLACE.key(1, summary.end());
            let row = summary.encode(&key);
            prop_assert!(row.len() <= ROW_BYTES);
            let decoded = Summary::decode(&key, row).unwrap();
            prop_assert_eq!(&decoded, &summary);
            back.extend(decoded.children);
        }
        prop_assert_eq!(back, children);
    }
}

/// Enough for all levels: times, sizes and frees in the third.
#[tokio::test]
async fn a_tree_of_three_levels_is_searched_and_freed() {
    let mut world = World::new();
    for _ in 0..15 {
        world.append(20_000, 3_000).await;
    }
    let level = |level| Key::Index(PLACE.partition, PLACE.generation, level, Offset(0)).encode();
    let rows = world.kv.snapshot();
    let counts = [0, 1, 2].map(|at| rows.range(level(at)..level(at + 1)).count());
    assert!(
        counts[0] > 600 && counts[1] > 2 && counts[2] == 1,
        "{counts:?}"
    );
    for at in (0..300_000).step_by(30_001) {
        world.ask(at).await;
    }
    for count in [1, 400, 100_000, 30_000] {
        world.free(count).await;
        world.ask(0).await;
        world.ask(1_000).await;
    }
    world.append(1, 0).await;
    world.free(usize::MAX).await;
    assert!(world.kv.snapshot().is_empty());
    world.append(10, 0).await;
    world.ask(3).await;
}

/// A summary that names a row which is not there, or says of it what is not so.
#[tokio::test]
async fn a_lost_row_is_found_by_verifying_and_by_searching() {
    let mut world = World::new();
    world.append(2_000, 0).await;
    let rows = world.kv.snapshot();
    for key in rows.keys() {
        let damaged = world.kv.copy();
        let mut lose = Transaction::default();
        lose.clear(key.clone());
        damaged.commit(lose).await.unwrap();
        let found = verify(&damaged, PLACE).await;
        let Ok(Key::Index(_, _, level, end)) = Key::decode(key) else {
            panic!("{key:?}")
        };
        // Of the first and last chunk the log's bounds tell, and summaries.
        assert!(matches!(found, Err(Error::Corrupt(_))), "{level} {end:?}");
        if level == 0 {
            let last = world
                .extents
                .iter()
                .rfind(|e| e.end_offset() == end)
                .unwrap();
            let lookup = Lookup::new(&damaged, PLACE);
            let found = lookup.at_or_after(Offset(0), world.end(), last.max_timestamp);
            assert!(matches!(found.await, Err(Error::Damaged(_))));
        }
    }
}

/// What lies before a summary that cannot be read is found all the same.
#[tokio::test]
async fn a_summary_that_cannot_be_read_harms_no_search_that_ends_before_it() {
    let mut world = World::new();
    for _ in 0..10 {
        world.append(20_000, 0).await;
    }
    let level = |level| Key::Index(PLACE.partition, PLACE.generation, level, Offset(0)).encode();
    let rows = world.kv.snapshot();
    let summaries = || rows.range(level(1)..level(2));
    assert!(summaries().count() > 1, "one is read with the next");
    let (last, _) = summaries().next_back().unwrap();
    let mut harm = Transaction::default();
    harm.set(last.clone(), Bytes::from_static(b"nonsense"));
    world.kv.commit(harm).await.unwrap();
    let lookup = Lookup::new(&world.kv, PLACE);
    let first = world.extents.first().unwrap();
    let found = lookup
        .at_or_after(Offset(0), world.end(), first.max_timestamp)
        .await;
    assert_eq!(
        found.unwrap().map(|extent| extent.base_offset),
        Some(first.base_offset)
    );
}

/// As of a store that went back in time: who must find a time, or know that there is none, is told that rows are missing.
#[tokio::test]
async fn rows_that_end_too_early_are_no_answer() {
    const NEVER: Timestamp = Timestamp(i64::MAX);
    for count in [0, 1, 20, 700, 2_000, 90_000] {
        let mut world = World::new();
        for _ in 0..count / 10_000 {
            world.append(10_000, 0).await;
        }
        world.append(count % 10_000, 0).await;
        let end = world.end();
        let lookup = Lookup::new(&world.kv, PLACE);
        let nothing = lookup.at_or_after(Offset(0), end, NEVER).await;
        assert_eq!(nothing.unwrap(), None, "{count}");
        let missing = Offset(end.0 + 1);
        for from in [Offset(0), Offset(end.0 / 2), end] {
            let found = lookup.at_or_after(from, missing, NEVER).await;
            assert!(matches!(found, Err(Error::Damaged(_))), "{count} {found:?}");
            let found = lookup.largest(from, missing).await;
            assert!(matches!(found, Err(Error::Damaged(_))), "{count} {found:?}");
        }
    }
}
