//! Records that an operator gave up are no more to whoever looks for a time, wherever they lie: what is left is found.

use super::*;
use crate::keys::Key;
use crate::types::LostRange;

const EACH: i64 = 10;

/// What was committed to partition 0, ten records at a time, and what was given up of it.
struct World {
    memory: Memory,
    running: Running,
    times: Vec<i64>,
    lost: Vec<Range<i64>>,
}

impl World {
    async fn commit(&mut self, count: usize) {
        for _ in 0..count {
            let number = self.times.len() as u64;
            let time = START + i64::try_from(mix(number) % 50_000).unwrap();
            let mut one = batch(10, None);
            one.max_timestamp = Timestamp(time);
            committed(&self.running.metadata, commit(number, 0, vec![one])).await;
            self.times.push(time);
        }
    }

    /// The extents that are left: where they begin, and their times.
    fn left(&self) -> impl Iterator<Item = (i64, i64)> {
        let all = (0..).step_by(10).zip(self.times.iter().copied());
        all.filter(|(base, _)| {
            let covers = |lost: &Range<i64>| lost.start <= *base && base + EACH <= lost.end;
            !self.lost.iter().any(covers)
        })
    }

    /// The first of those with the largest time.
    fn largest(&self) -> Option<(i64, i64)> {
        self.left()
            .max_by_key(|(base, time)| (*time, std::cmp::Reverse(*base)))
    }

    async fn lose(&mut self, offsets: Range<i64>) {
        let range = LostRange {
            partition: PartitionIndex(0),
            from: Offset(offsets.start),
            until: Offset(offsets.end),
        };
        let marked = self.running.metadata.mark_lost("orders", range).await;
        marked.unwrap().unwrap();
        self.lost.push(offsets);
    }

    async fn compare(&self, context: &str) {
        let metadata = &self.running.metadata;
        let base = |found: Option<Extent>| found.map(|extent| extent.base_offset.0);
        let largest = self.largest();
        let found = metadata.locate_max_timestamp(partition(0)).await.unwrap();
        let expected = largest.map(|(base, _)| base);
        assert_eq!(base(found), expected, "{context}, the largest");
        let (_, last) = largest.unwrap_or_default();
        for time in (START..START + 50_000)
            .step_by(1_237)
            .chain([last, last + 1])
        {
            let found = metadata.locate_timestamp(partition(0), Timestamp(time));
            let expected = self.left().find(|(_, other)| *other >= time);
            let expected = expected.map(|(base, _)| base);
            assert_eq!(base(found.await.unwrap()), expected, "{context}, {time}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_is_found_among_the_records_that_were_not_given_up() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let (times, lost) = (Vec::new(), Vec::new());
    let mut world = World {
        memory,
        running,
        times,
        lost,
    };
    world.commit(2_000).await;
    world.compare("nothing is lost").await;
    for _ in 0..3 {
        let (base, _) = world.largest().unwrap();
        world.lose(base..base + EACH).await;
        world.compare("the largest of those in memory").await;
    }
    // The first, and parts of two neighbours.
    world.lose(0..50).await;
    world.lose(1_005..1_018).await;
    world.compare("in memory").await;
    seconds(20).await;
    world.compare("in rows").await;
    world.commit(20).await;
    world.compare("in both").await;
    for _ in 0..3 {
        let (base, _) = world.largest().unwrap();
        world.lose(base..base + EACH).await;
        world.compare("the largest of those in rows").await;
    }
    let key = |key: &Bytes| Key::decode(key).unwrap();
    let rows = world.memory.snapshot();
    let chunks = rows.keys().filter_map(|row| match key(row) {
        Key::Index(_, _, 0, end) => Some((row.clone(), end.0)),
        _ => None,
    });
    let chunks: Vec<_> = chunks.collect();
    let (row, end) = chunks[2].clone();
    let mut damage = Transaction::default();
    damage.clear(row);
    world.memory.commit(damage).await.unwrap();
    world.lose(chunks[1].1..end).await;
    world.compare("where a row is gone").await;
    let end = EACH * i64::try_from(world.times.len()).unwrap();
    world.lose(0..end).await;
    world.compare("all").await;
    world.running.close().await;
}
