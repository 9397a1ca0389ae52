//! Where records lie, exact whether extents are in memory, in index rows, or in both.

use super::*;
use crate::keys::Key;
use crate::types::{Content, ExtentFlags, Stored};

/// What was committed to partition 0, in order.
#[derive(Default)]
struct Model(Vec<(Extent, Timestamp)>);

impl Model {
    fn end(&self) -> i64 {
        self.0.last().map_or(0, |(extent, _)| extent.end_offset().0)
    }

    /// Commits one batch whose size and time depend on `number`.
    async fn add(&mut self, metadata: &Metadata, number: u64) {
        let random = mix(number);
        let count = u32::try_from(random % 7 + 1).unwrap();
        let time = START + i64::try_from(mix(random) % 500).unwrap() * 10;
        let mut one = batch(count, None);
        one.max_timestamp = Timestamp(time);
        let answer = metadata.submit(commit(number, 0, vec![one])).await.unwrap();
        let base_offset = placed(&answer.outcome).base_offset;
        assert_eq!(base_offset.0, self.end());
        let extent = Extent {
            base_offset,
            offset_span: count,
            record_count: count,
            max_timestamp: Timestamp(time),
            flags: ExtentFlags::default(),
            content: Content::Stored(Stored {
                object: object(number),
                block: BlockRange {
                    position: 0,
                    stored_length: 100,
                    raw_length: 100,
                    codec: BlockCodec::Raw,
                    checksum: 0,
                },
                raw_start: 0,
                raw_length: 100,
            }),
        };
        self.0.push((extent, Timestamp(time)));
    }

    fn from(&self, offset: i64) -> &[(Extent, Timestamp)] {
        let first = self
            .0
            .partition_point(|(extent, _)| extent.end_offset().0 <= offset);
        &self.0[first..]
    }

    /// The answers to a spread of offsets and times.
    async fn compare(&self, metadata: &Metadata, context: &str) {
        for step in 0..60 {
            let offset = self.end() * step / 59;
            let located = metadata
                .locate(partition(0), Offset(offset), 1_000)
                .await
                .unwrap();
            let Located::Extents { bounds, extents } = located else {
                panic!("{context}: {located:?}")
            };
            assert_eq!(bounds.high_watermark.0, self.end(), "{context}");
            let expected = self.from(offset);
            assert_eq!(
                extents.is_empty(),
                expected.is_empty(),
                "{context}, offset {offset}"
            );
            assert!(extents.len() <= 10, "{context}: no more than asked for");
            for (found, (extent, _)) in extents.iter().zip(expected) {
                assert_eq!(found, extent, "{context}, offset {offset}");
            }
        }
        for step in 0..20 {
            // One at least, whatever is asked for.
            let offset = Offset(self.end() * step / 20);
            let located = metadata.locate(partition(0), offset, 0).await;
            let Ok(Located::Extents { extents, .. }) = located else {
                panic!("{context}: {located:?}")
            };
            let first = self.from(offset.0).first().map(|(extent, _)| *extent);
            assert_eq!(extents.first().copied(), first, "{context}, {offset:?}");
        }
        for offset in [-1, self.end() + 1] {
            let located = metadata
                .locate(partition(0), Offset(offset), 1)
                .await
                .unwrap();
            assert!(
                matches!(located, Located::OutOfRange(_)),
                "{context}: {located:?}"
            );
        }
        // A spread, and the last ones exactly, which are the largest of their rows.
        let exact = (START + 4_950..START + 5_000).step_by(10);
        for time in (START - 10..START + 5_020).step_by(333).chain(exact) {
            let found = metadata
                .locate_timestamp(partition(0), Timestamp(time))
                .await
                .unwrap();
            let expected = self.0.iter().find(|(_, max)| max.0 >= time);
            assert_eq!(
                found,
                expected.map(|(extent, _)| *extent),
                "{context}, time {time}"
            );
        }
        let found = metadata.locate_max_timestamp(partition(0)).await.unwrap();
        let largest = self.0.iter().map(|(_, max)| *max).max();
        let expected = self.0.iter().find(|(_, max)| Some(*max) == largest);
        assert_eq!(found, expected.map(|(extent, _)| *extent), "{context}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_offset_and_time_is_found_before_and_after_checkpoints() {
    let memory = Memory::new();
    let mut running = fresh(&memory).await;
    let mut model = Model::default();
    model.compare(&running.metadata, "empty").await;
    let mut number = 0;
    for round in 0..12_u64 {
        for _ in 0..[1, 3, 200, 1500][usize::try_from(round % 4).unwrap()] {
            number += 1;
            model.add(&running.metadata, number).await;
        }
        model
            .compare(&running.metadata, &format!("round {round}, before"))
            .await;
        seconds(20).await;
        model
            .compare(&running.metadata, &format!("round {round}, after"))
            .await;
        if round % 3 == 2 {
            running.kill().await;
            running = run(memory.clone(), options(round)).await;
            model
                .compare(&running.metadata, &format!("round {round}, reborn"))
                .await;
        }
    }
    let rows = memory.snapshot();
    let chunks = rows
        .keys()
        .filter(|key| matches!(Key::decode(key), Ok(Key::Index(_, _, 0, _))));
    assert!(chunks.count() > 16, "many index rows");
    let large = rows.values().map(Bytes::len).max().unwrap();
    assert!(large < 9 * 1024, "and none of them large: {large}");
    assert_eq!(extents(&running.metadata, 0).await.len(), model.0.len());
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_takes_more_extents_than_one_step_and_may_stop_between() {
    for commits in [2, 3, 4, 5, 9] {
        let memory = Memory::new();
        let running = fresh(&memory).await;
        // Refused duplicates between the batches, so that each one is an extent of its own.
        let mut answers = Vec::new();
        for round in 0..100_u64 {
            let mut batches = Vec::new();
            for index in 0..100 {
                let sequence = i32::try_from(round * 100 + index).unwrap();
                batches.push(batch(1, Some((5, sequence))));
                batches.push(batch(1, Some((5, sequence))));
            }
            answers.push(running.metadata.submit(commit(round, 0, batches)));
        }
        for answer in answers {
            answer.await.unwrap();
        }
        running.kill().await;
        let gated = Gated::open(&memory);
        let running = run(gated.clone(), options(2)).await;
        gated.let_through(commits);
        tokio::select! {
            () = running.metadata.close() => {}
            () = seconds(10) => {}
        }
        running.task.abort();
        let running = run(memory.clone(), options(3)).await;
        let all = extents(&running.metadata, 0).await;
        assert_eq!(all.len(), 10_000, "{commits}");
        committed(&running.metadata, plain(1_000, 0)).await;
        running.close().await;
        let running = run(memory, options(4)).await;
        let all = extents(&running.metadata, 0).await;
        assert_eq!(
            all.last().unwrap().end_offset(),
            Offset(10_010),
            "{commits}"
        );
        running.close().await;
    }
}

/// Index rows lost under a running sequencer: whoever reads there is told, and what lies elsewhere is found.
#[tokio::test(start_paused = true)]
async fn a_hole_is_damage_and_never_silence() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let mut model = Model::default();
    for number in 1..=1_500 {
        model.add(&running.metadata, number).await;
    }
    seconds(20).await;
    let index: Vec<_> = memory
        .snapshot()
        .into_keys()
        .filter_map(|key| match Key::decode(&key) {
            Ok(Key::Index(_, _, 0, end)) => Some((key, end)),
            _ => None,
        })
        .collect();
    assert!(index.len() > 3, "{}", index.len());
    for (at, (key, end)) in index.iter().enumerate() {
        let start = at.checked_sub(1).map_or(Offset(0), |at| index[at].1);
        let row = memory.snapshot()[key].clone();
        let mut lose = Transaction::default();
        lose.clear(key.clone());
        memory.commit(lose).await.unwrap();
        for offset in [start.0, (start.0 + end.0) / 2, end.0 - 1] {
            let located = running.metadata.locate(partition(0), Offset(offset), 1_000);
            let located = located.await;
            assert!(matches!(located, Err(Error::Damaged(_))), "{located:?}");
        }
        // Up to the hole, and from behind it on.
        let before = Offset((start.0 - 1).max(0));
        for offset in [before, *end] {
            let found = running.metadata.locate(partition(0), offset, 1 << 20).await;
            match found {
                Ok(Located::Extents { extents, .. }) => {
                    let stop = if offset < start {
                        start
                    } else {
                        model.0.last().unwrap().0.end_offset()
                    };
                    assert_eq!(extents.last().map_or(stop, Extent::end_offset), stop);
                }
                other => assert!(at == 0 && offset == before, "{other:?}"),
            }
        }
        let mut mend = Transaction::default();
        mend.set(key.clone(), row);
        memory.commit(mend).await.unwrap();
    }
    model.compare(&running.metadata, "mended").await;
    running.close().await;
}

/// Whoever asks for all that there is, as with `max.partition.fetch.bytes` of 2 GiB: the index is not read whole for it.
#[tokio::test(start_paused = true)]
async fn an_answer_has_a_bounded_number_of_extents_whatever_is_asked_for() {
    const EXTENTS: usize = 30_000;
    let memory = Memory::new();
    let running = fresh(&memory).await;
    for round in 0..EXTENTS / 1_000 {
        // Refused duplicates between the batches, so that each one is an extent of its own.
        let both = |index: usize| {
            let sequence = i32::try_from(round * 1_000 + index).unwrap();
            [batch(1, Some((5, sequence))), batch(1, Some((5, sequence)))]
        };
        let batches = (0..1_000).flat_map(both).collect();
        let number = u64::try_from(round).unwrap();
        let committed = running.metadata.submit(commit(number, 0, batches)).await;
        committed.unwrap();
    }
    for memory_or_rows in ["memory", "rows"] {
        let mut all = 0;
        while all < EXTENTS {
            let next = Offset(i64::try_from(all).unwrap());
            let located = running.metadata.locate(partition(0), next, u64::MAX).await;
            let Ok(Located::Extents { extents, .. }) = located else {
                panic!("{located:?}")
            };
            let count = extents.len();
            assert!((1..=4096).contains(&count), "{count} from {memory_or_rows}");
            assert_eq!(extents[0].base_offset, next);
            all += count;
        }
        seconds(20).await;
    }
    running.close().await;
}

/// For figures: `cargo test --release -p penstock-metadata what_a_cold_look -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "figures, not a test"]
async fn what_a_cold_look_costs() {
    const EXTENTS: i64 = 50_000;
    let folder = tempfile::tempdir().unwrap();
    let kv = crate::kv::Redb::open(&folder.path().join("store.redb")).unwrap();
    let mut options = options(1);
    options.checkpoint_interval = Duration::from_millis(20);
    let running = run(kv, options).await;
    let metadata = &running.metadata;
    create_topic(metadata, TOPIC, "orders", 1).await;
    for number in 0..EXTENTS.unsigned_abs() / 1_000 {
        let answers = (0..1_000).map(|at| metadata.submit(plain(number * 1_000 + at, 0)));
        futures::future::try_join_all(answers).await.unwrap();
    }
    seconds(1).await;
    for raw_bytes_max in [1_000, 100_000, 1_000_000] {
        let begin = Instant::now();
        let mut found = 0;
        for at in 0..2_000_i64 {
            let offset = Offset(at * 7_919 % (EXTENTS * 9));
            let located = metadata.locate(partition(0), offset, raw_bytes_max).await;
            match located.unwrap() {
                Located::Extents { extents, .. } => found += extents.len(),
                other => panic!("{other:?}"),
            }
        }
        let each = begin.elapsed() / 2_000;
        println!("{each:?} for {} extents", found / 2_000);
    }
    running.close().await;
}
