//! Checkpoints of large and odd states: within the limits of a store, and read back whole.

mod outcomes;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::*;
use crate::accounting::account_for;
use crate::command::{
    BatchProducer, Command, CommitBatch, CommitBlock, CommitObject, CreateTopic, Submission,
};
use crate::effect::{Effect, PartitionEffect};
use crate::index::Chunk;
use crate::kv::Write;
use crate::kv::over_memory::OverMemory;
use crate::kv::{KvError, LIMITS, Memory, Redb};
use crate::types::{
    BatchFlags, BlockCodec, BlockRange, NamingEpoch, ProducerEpoch, Sequence, Timestamp,
};
use crate::types::{ObjectKey, Offset, PartitionIndex, ProducerId, Share, TopicId, TopicPartition};

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const TOPIC: TopicId = TopicId(7);

fn partition(index: u32) -> TopicPartition {
    TopicPartition {
        topic: TOPIC,
        partition: PartitionIndex(index.cast_signed()),
    }
}

fn execute(state: &mut State, command: Command) {
    let own = Submission {
        session: 0,
        sequence: 0,
        seen: 0,
        command,
    };
    let lsn = Lsn(state.lsn.0 + 1);
    state.execute(lsn, NOW, &own);
}

fn with_partitions(partitions: u32) -> State {
    let mut state = State::default();
    let create = CreateTopic {
        name: "wide".to_owned(),
        id: TOPIC,
        partitions: partitions.cast_signed(),
        replication_factor: 1,
        configs: [].into(),
    };
    execute(&mut state, Command::CreateTopic(create));
    execute(&mut state, Command::AllocateProducerIds { count: 100_000 });
    state
}

/// One object with a block of one batch for each partition given.
fn commit(state: &mut State, object: u32, partitions: impl Iterator<Item = u32>, producer: i64) {
    let batch = CommitBatch {
        raw_length: 100,
        record_count: 1,
        max_timestamp: NOW,
        producer: (producer >= 0).then_some(BatchProducer {
            id: ProducerId(producer),
            epoch: ProducerEpoch(i16::MAX),
            base_sequence: Sequence(0),
            share: Share(0),
        }),
        flags: BatchFlags::default(),
        withheld: false,
    };
    let block = |index| CommitBlock {
        topic: TOPIC,
        partition: partition(index).partition,
        range: BlockRange {
            position: u32::MAX,
            stored_length: 100,
            raw_length: 100,
            codec: BlockCodec::Raw,
            checksum: 0,
        },
        batches: vec![batch],
    };
    let commit = CommitObject {
        object: ObjectKey::new(NamingEpoch(0), 7, object),
        size: 1_000,
        blocks: partitions.map(block).collect(),
    };
    execute(state, Command::CommitObject(commit));
}

/// Transactions that a whole checkpoint took, each of which the store had to take.
async fn write(kv: &dyn Kv, state: &mut State) -> usize {
    let mut checkpoint = Checkpoint::begin(state);
    let mut transactions = 0;
    while !checkpoint.is_done() {
        let transaction = checkpoint.step(kv, state).await.unwrap();
        assert!(transaction.bytes() < LIMITS.transaction_bytes_max);
        kv.commit(transaction).await.unwrap();
        transactions += 1;
    }
    transactions
}

/// A store whose reads take a round trip on tokio's clock.
#[derive(Debug)]
struct Far(Memory);

const ROUND_TRIP: Duration = Duration::from_millis(1);

#[async_trait]
impl OverMemory for Far {
    fn memory(&self) -> &Memory {
        &self.0
    }

    async fn before_read(&self, _from: &[u8]) -> Result<(), KvError> {
        sleep(ROUND_TRIP).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn many_partitions_wait_for_few_round_trips() {
    const PARTITIONS: u32 = 10_000;
    let kv = Far(Memory::new());
    let mut state = with_partitions(PARTITIONS);
    for object in 0..2 {
        commit(&mut state, object, 0..PARTITIONS, -1);
        let begin = Instant::now();
        write(&kv, &mut state).await;
        let round_trips = begin.elapsed().as_millis() / ROUND_TRIP.as_millis();
        // None before the first offset; afterwards each has an index row that must be read.
        let most = u128::from(PARTITIONS / 10) * u128::from(object);
        assert!(
            round_trips <= most,
            "{round_trips} round trips, one after the other"
        );
    }
    let mut loaded = load(&kv).await.unwrap();
    commit(&mut loaded, 3, 0..PARTITIONS, -1);
    assert_eq!(
        loaded
            .partitions
            .get(partition(9))
            .unwrap()
            .bounds()
            .high_watermark,
        Offset(3)
    );
}

/// Rows are read before they are written, and drains come in between.
#[tokio::test]
async fn what_is_appended_after_the_index_row_was_read_joins_it() {
    let kv = Memory::new();
    let mut state = with_partitions(1);
    commit(&mut state, 1, 0..1, 7);
    write(&kv, &mut state).await;
    // Nothing to be indexed, but the partition's row must be written.
    let moved = Effect::Partition {
        partition: partition(0),
        what: PartitionEffect::EpochBegan {
            epoch: 1,
            start: Offset(1),
        },
    };
    state.fold(Lsn(state.lsn.0 + 1), NOW, &moved);
    let mut checkpoint = Checkpoint::begin(&mut state);
    while checkpoint.read_ahead(&kv, &state).await.unwrap() {}
    commit(&mut state, 2, 0..1, -1);
    while !checkpoint.is_done() {
        let transaction = checkpoint.step(&kv, &mut state).await.unwrap();
        kv.commit(transaction).await.unwrap();
    }
    let rows = kv.snapshot();
    let index = rows.iter().filter_map(|(key, row)| match Key::decode(key) {
        Ok(Key::Index(_, _, 0, _)) => Some(Chunk::decode(key, row.clone()).unwrap()),
        _ => None,
    });
    let extents: Vec<_> = index.flat_map(|chunk| chunk.extents).collect();
    let offsets: Vec<i64> = extents.iter().map(|extent| extent.base_offset.0).collect();
    assert_eq!(offsets, [0, 1]);
}

/// Small extents: the first that a step takes are few bytes, and there is room for more in it.
#[tokio::test]
async fn a_partition_of_more_extents_than_a_step_takes_keeps_them_all() {
    for steps in [
        Steps::default(),
        Steps {
            extents: 3,
            ..Steps::default()
        },
        Steps {
            bytes: 1_000,
            extents: 16,
            ..Steps::default()
        },
        Steps {
            bytes: 1,
            extents: 50,
            cleared: 1,
        },
    ] {
        let extents = u32::try_from(steps.extents).unwrap() * 2 + 100;
        let kv = Memory::new();
        let mut state = with_partitions(2);
        for round in 0..2 {
            for object in 0..extents {
                commit(&mut state, round * extents + object, 0..2, -1);
            }
            let mut checkpoint = Checkpoint::begin(&mut state).in_steps_of(steps);
            while !checkpoint.is_done() {
                let transaction = checkpoint.step(&kv, &mut state).await.unwrap();
                kv.commit(transaction).await.unwrap();
                account_for(&kv, &state).await.unwrap();
            }
        }
    }
}

/// Index rows that a damaged store lost: what is left stays as it is, and what memory has goes behind it.
#[tokio::test]
async fn rows_that_do_not_reach_memory_are_found_and_left_as_they_are() {
    let kv = Memory::new();
    let mut state = with_partitions(2);
    for object in 0..2000 {
        commit(&mut state, object, 0..1, -1);
    }
    write(&kv, &mut state).await;
    account_for(&kv, &state).await.unwrap();
    let keys: Vec<Bytes> = kv.snapshot().into_keys().collect();
    let index = |key: &Bytes| matches!(Key::decode(key), Ok(Key::Index(_, _, 0, _)));
    let rows: Vec<_> = keys.into_iter().filter(index).collect();
    assert!(rows.len() > 2, "{}", rows.len());
    commit(&mut state, 2000, 0..2, -1);
    for (at, row) in rows.iter().enumerate() {
        let (damaged, mut state) = (kv.copy(), state.clone());
        let mut lost = Transaction::default();
        lost.clear(row.clone());
        damaged.commit(lost).await.unwrap();
        let found = account_for(&damaged, &state).await;
        assert!(matches!(found, Err(Error::Corrupt(_))), "{at}: {found:?}");
        let before = damaged.snapshot();
        write(&damaged, &mut state).await;
        // Of the other partition and of this one.
        assert!(state.is_clean());
        let found = account_for(&damaged, &state).await;
        assert!(matches!(found, Err(Error::Corrupt(_))), "{at}: {found:?}");
        let after = damaged.snapshot();
        for key in &rows[..rows.len() - 1] {
            assert_eq!(after.get(key), before.get(key), "{at}");
        }
    }
}

/// A store clears so many rows at once and no more, and would refuse the same transaction for ever.
#[tokio::test]
async fn the_outcomes_of_a_session_are_cleared_in_pieces() {
    const OUTCOMES: u64 = 12_000;
    for closes in [false, true] {
        let kv = Memory::new();
        let mut state = with_partitions(1);
        let open = |closing| Command::OpenSession { closing, nonce: 1 };
        execute(&mut state, open(Vec::new()));
        let ask = |state: &mut State, sequence, seen| {
            let asked = Submission {
                session: 1,
                sequence,
                seen,
                command: Command::AllocateProducerIds { count: 1 },
            };
            state.execute(Lsn(state.lsn.0 + 1), NOW, &asked);
        };
        (1..=OUTCOMES).for_each(|sequence| ask(&mut state, sequence, 1));
        write(&kv, &mut state).await;
        // One process goes on, the other begins with the rows.
        for loads in [false, true] {
            let kv = kv.copy();
            let mut state = match loads {
                true => load(&kv).await.unwrap(),
                false => state.clone(),
            };
            match closes {
                true => execute(&mut state, open(vec![1])),
                false => ask(&mut state, OUTCOMES + 1, OUTCOMES + 1),
            }
            let transactions = write(&kv, &mut state).await;
            assert!(transactions > 2, "{transactions}");
            let left = kv.snapshot().into_keys();
            let left = left.filter(|key| matches!(Key::decode(key), Ok(Key::Outcome(1, ..))));
            assert_eq!(left.count(), usize::from(!closes), "{closes} {loads}");
        }
    }
}

/// A crash between the pieces of a checkpoint leaves outcomes whose session has no row, and never gets one.
#[tokio::test]
async fn outcomes_of_no_session_are_cleared() {
    let kv = Memory::new();
    let mut state = with_partitions(1);
    write(&kv, &mut state).await;
    let (closing, nonce) = (Vec::new(), 7);
    execute(&mut state, Command::OpenSession { closing, nonce });
    for sequence in 1..=2 {
        let asked = Submission {
            session: 1,
            sequence,
            seen: 1,
            command: Command::AllocateProducerIds { count: 1 },
        };
        let lsn = Lsn(state.lsn.0 + 1);
        state.execute(lsn, NOW, &asked);
    }
    let has = |key: Key| kv.snapshot().contains_key(&key.encode());
    let one_row = Steps {
        bytes: 1,
        ..Steps::default()
    };
    let mut checkpoint = Checkpoint::begin(&mut state).in_steps_of(one_row);
    while !has(Key::Outcome(1, 1, 0)) {
        let transaction = checkpoint.step(&kv, &mut state).await.unwrap();
        kv.commit(transaction).await.unwrap();
    }
    assert!(!has(Key::Session(1)));
    let mut loaded = load(&kv).await.unwrap();
    write(&kv, &mut loaded).await;
    assert!(!has(Key::Outcome(1, 1, 0)));
    load(&kv).await.unwrap();
}

/// A store may give up a transaction that takes long, and would again each time.
#[tokio::test]
async fn the_rows_of_deleted_topics_are_cleared_in_pieces() {
    const PARTITIONS: u32 = 20_000;
    let kv = Memory::new();
    let mut state = with_partitions(PARTITIONS);
    commit(&mut state, 1, 0..PARTITIONS, 7);
    write(&kv, &mut state).await;
    execute(&mut state, Command::DeleteTopic(TOPIC));
    let mut checkpoint = Checkpoint::begin(&mut state);
    let mut rows = kv.snapshot().len();
    let mut pieces = 0;
    while !checkpoint.is_done() {
        let transaction = checkpoint.step(&kv, &mut state).await.unwrap();
        kv.commit(transaction).await.unwrap();
        let left = kv.snapshot().len();
        let cleared = rows.saturating_sub(left);
        assert!(cleared <= 10_000, "{cleared} rows in one transaction");
        pieces += usize::from(cleared > 1000);
        rows = left;
    }
    assert!(pieces >= 4, "{pieces}");
    let rows = kv.snapshot();
    let left = rows.keys().filter(|key| {
        let key = Key::decode(key).unwrap();
        matches!(key, Key::Topic(_) | Key::Partition(_) | Key::Producer(..))
    });
    assert_eq!(left.count(), 0);
    assert!(load(&kv).await.unwrap().topics.get(TOPIC).is_none());
}

/// 100,000 partitions and 50,000 objects in one interval.
async fn large(kv: &dyn Kv) {
    let begin = Instant::now();
    let mut state = with_partitions(100_000);
    for object in 0..50_000 {
        let first = object * 4;
        commit(
            &mut state,
            object,
            (first..first + 4).map(|index| index % 100_000),
            -1,
        );
    }
    println!("{:?} to decide 50,000 commits of 4 blocks", begin.elapsed());
    for round in ["first", "second"] {
        let begin = Instant::now();
        let transactions = write(kv, &mut state).await;
        println!(
            "{:?}, {transactions} transactions: the {round} checkpoint",
            begin.elapsed()
        );
        assert!(transactions < 1_000, "{transactions}");
        let begin = Instant::now();
        let loaded = load(kv).await.unwrap();
        println!("{:?} to load it", begin.elapsed());
        assert_eq!(loaded.lsn, state.lsn);
        assert_eq!(loaded.objects.iter().count(), 0);
        assert!(state.is_clean());
        for index in (0..100_000).step_by(997) {
            let found = loaded.partitions.get(partition(index)).unwrap();
            let known = state.partitions.get(partition(index)).unwrap();
            assert_eq!(found.bounds(), known.bounds());
            assert!(known.recent().is_empty());
            assert_eq!(known.recent_capacity(), 0, "memory is given back");
        }
        commit(&mut state, 1_000_000, 0..100_000, -1);
    }
}

#[tokio::test]
async fn a_large_state_goes_to_rows_and_back() {
    large(&Memory::new()).await;
}

/// For figures: `cargo test --release -p penstock-metadata large_state -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "takes long in the dev profile; the same over memory always runs"]
async fn a_large_state_goes_to_a_file_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = &folder.path().join("store.redb");
    large(&Redb::open(path).unwrap()).await;
    let begin = Instant::now();
    let again: Arc<dyn Kv> = Arc::new(Redb::open(path).unwrap());
    load(again.as_ref()).await.unwrap();
    println!("{:?} to open and load it", begin.elapsed());
}

/// Many producers with the longest numbers, and extents beside them. Only those that sent since are written again.
#[tokio::test]
async fn a_partition_full_of_producers_fits() {
    let kv = Memory::new();
    let mut state = with_partitions(2);
    let ids = 0..4_999_u32;
    for object in ids.clone() {
        commit(&mut state, object, 0..1, object.into());
    }
    let known = portrait(&state);
    assert_eq!(known.len(), 4_999);
    write(&kv, &mut state).await;
    assert_eq!(portrait(&load(&kv).await.unwrap()), known);
    commit(&mut state, 5_000, 0..1, 5_000);
    let mut checkpoint = Checkpoint::begin(&mut state);
    let transaction = checkpoint.step(&kv, &mut state).await.unwrap();
    let written = transaction.writes.iter().filter(|write| match write {
        Write::Set(key, _) => matches!(Key::decode(key), Ok(Key::Producer(..))),
        _ => false,
    });
    assert_eq!(written.count(), 1);
    kv.commit(transaction).await.unwrap();
    // Forgotten ones leave no rows behind.
    let before = Timestamp(NOW.0 + 1);
    execute(&mut state, Command::ExpireProducers { before });
    write(&kv, &mut state).await;
    assert_eq!(portrait(&load(&kv).await.unwrap()), []);
    let rows = kv.snapshot();
    let left = rows
        .keys()
        .filter(|key| matches!(Key::decode(key), Ok(Key::Producer(..))));
    assert_eq!(left.count(), 0);
}

/// The producers of the first partition with their last batches.
fn portrait(state: &State) -> Vec<(ProducerId, Offset)> {
    let of = state.producers.of(partition(0));
    let last = |(id, known): (ProducerId, _)| {
        let known: crate::state::Producer = known;
        (id, known.batches.last().unwrap().base_offset)
    };
    of.into_iter().map(last).collect()
}
