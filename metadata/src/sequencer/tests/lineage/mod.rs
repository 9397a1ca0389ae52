//! Stores that went back in time: whoever remembers more than they hold serves from them no more.

mod accepted;
mod away;
mod emptied;
mod repeated;

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::*;
use crate::command::Rejected;
use crate::keys::Key;
use crate::kv::Fault;
use crate::sequencer::check;
use crate::sequencer::operate::{Acceptance, accept_older_store, finalize, release_hold};
use crate::sequencer::store::Head;
use crate::types::EpochStart;
use crate::witness::{Remembered, WRITE_INTERVAL, Witness};

/// The rows of a store at some time, put back.
async fn put_back(memory: &Memory, rows: impl IntoIterator<Item = (Bytes, Bytes)>) {
    let mut transaction = Transaction::default();
    transaction.clear_range(Bytes::new(), Bytes::from_static(&[u8::MAX; 64]));
    for (key, row) in rows {
        transaction.set(key, row);
    }
    memory.commit(transaction).await.unwrap();
}

fn went_back(error: &Error) -> String {
    let text = error.to_string();
    assert!(matches!(error, Error::WentBack(_)), "{text}");
    assert!(text.contains("accept-older-store"), "{text}");
    text
}

/// A bucket that holds a witness, and whether it can be reached.
#[derive(Clone, Default)]
struct Bucket {
    remembered: Arc<Mutex<Option<Remembered>>>,
    away: Arc<Mutex<bool>>,
    /// What is read of it is not answered for as long.
    silent: Arc<tokio::sync::watch::Sender<bool>>,
}

impl Bucket {
    fn witness(&self) -> Witness {
        let (reader, writer) = (self.clone(), self.clone());
        Witness {
            read: Arc::new(move || {
                let read = match *reader.away.lock() {
                    false => Ok(reader.remembered.lock().clone()),
                    true => Err("the bucket is away".to_owned()),
                };
                let mut silent = reader.silent.subscribe();
                Box::pin(async move {
                    let _ = silent.wait_for(|silent| !silent).await;
                    read
                })
            }),
            write: Arc::new(move |remembered| {
                let written = match *writer.away.lock() {
                    false => {
                        *writer.remembered.lock() = Some(remembered);
                        Ok(())
                    }
                    true => Err("the bucket is away".to_owned()),
                };
                Box::pin(async { written })
            }),
        }
    }

    fn options(&self, seed: u64) -> Options {
        Options {
            witness: Some(self.witness()),
            ..options(seed)
        }
    }
}

/// A holder over a new store, with a topic, and the bucket that remembers it.
async fn witnessed() -> (Memory, Bucket, Running) {
    let (memory, bucket) = (Memory::new(), Bucket::default());
    let running = run(memory.clone(), bucket.options(1)).await;
    create_topic(&running.metadata, TOPIC, "orders", 3).await;
    (memory, bucket, running)
}

/// A store that lost its last record, and the rows that had it.
async fn one_record_behind() -> (Memory, Bucket, BTreeMap<Bytes, Bytes>) {
    let (memory, bucket, running) = witnessed().await;
    running.close().await;
    let older = memory.snapshot();
    let running = run(memory.clone(), bucket.options(2)).await;
    committed(&running.metadata, plain(1, 0)).await;
    running.close().await;
    let newer = memory.snapshot();
    put_back(&memory, older).await;
    (memory, bucket, newer)
}

async fn refused(memory: &Memory, options: Options) -> Error {
    start(Arc::new(memory.clone()), options).await.unwrap_err()
}

/// What stops it is its next write, or its next beat; a second later nothing was acknowledged on the older store.
#[tokio::test(start_paused = true)]
async fn a_holder_stops_when_its_store_went_back() {
    for unclear in [None, Some(Fault::UnknownLost), Some(Fault::Unavailable)] {
        let memory = Memory::new();
        let running = fresh(&memory).await;
        assert_eq!(committed(&running.metadata, plain(1, 0)).await, 0);
        let older = memory.snapshot();
        assert_eq!(committed(&running.metadata, plain(2, 0)).await, 10);
        put_back(&memory, older.clone()).await;
        memory.faults().inject(unclear);
        running.metadata.submit(plain(3, 0)).await.unwrap_err();
        let ended = running.task.await.unwrap().unwrap_err();
        went_back(&ended);
        assert_eq!(memory.snapshot(), older, "{unclear:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_stops_when_its_store_went_back_past_its_own_take_over() {
    let memory = Memory::new();
    fresh(&memory).await.close().await;
    let older = memory.snapshot();
    let running = run(memory.clone(), options(2)).await;
    assert_eq!(committed(&running.metadata, plain(1, 0)).await, 0);
    put_back(&memory, older).await;
    let refused = running.metadata.bounds(vec![partition(0)]).await;
    went_back(&refused.unwrap_err());
    went_back(&running.task.await.unwrap().unwrap_err());
}

/// The standby passed the old store's position by the time anybody looks: a newer lsn proves nothing.
#[tokio::test(start_paused = true)]
async fn a_holder_stops_when_another_went_on_from_an_older_store() {
    let memory = Memory::new();
    let running = fresh(&memory).await;
    let older = memory.snapshot();
    assert_eq!(committed(&running.metadata, plain(1, 0)).await, 0);
    put_back(&memory, older).await;
    let other = run(memory.clone(), options(2)).await;
    for number in 2..10 {
        committed(&other.metadata, plain(number, 0)).await;
    }
    running.metadata.submit(plain(10, 0)).await.unwrap_err();
    went_back(&running.task.await.unwrap().unwrap_err());
    other.close().await;
}

/// The log is whole, but what the last checkpoint wrote is not there any more, and the holder believes that it is.
#[tokio::test(start_paused = true)]
async fn a_store_that_went_back_among_checkpoints_is_loaded_anew() {
    for unclear in [None, Some(Fault::UnknownLost)] {
        let memory = Memory::new();
        let mut options = options(1);
        options.checkpoint_interval = Duration::from_secs(15);
        let running = run(memory.clone(), options).await;
        create_topic(&running.metadata, TOPIC, "orders", 3).await;
        assert_eq!(committed(&running.metadata, plain(1, 0)).await, 0);
        let older = memory.snapshot();
        seconds(20).await;
        assert_ne!(memory.snapshot(), older, "a checkpoint");
        put_back(&memory, older).await;
        memory.faults().inject(unclear);
        let refused = running.metadata.submit(plain(2, 0)).await;
        assert!(
            matches!(refused, Err(Error::Unavailable { .. })),
            "{refused:?}"
        );
        seconds(1).await;
        assert_eq!(committed(&running.metadata, plain(3, 0)).await, 10);
        seconds(20).await;
        running.kill().await;
        let again = run(memory, super::options(2)).await;
        assert_eq!(offsets(&extents(&again.metadata, 0).await), [0..10, 10..20]);
        again.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_bucket_remembers_what_the_store_forgot() {
    let (memory, bucket, running) = witnessed().await;
    let older = memory.snapshot();
    committed(&running.metadata, plain(1, 0)).await;
    tokio::time::sleep(2 * WRITE_INTERVAL).await;
    running.kill().await;
    let newer = memory.snapshot();
    put_back(&memory, older.clone()).await;
    let text = went_back(&refused(&memory, bucket.options(2)).await);
    assert!(text.contains("the bucket remembers"), "{text}");
    assert_eq!(memory.snapshot(), older, "nothing is written");
    // Nor once somebody without a witness took the older store past what is remembered.
    let other = run(memory.clone(), options(3)).await;
    for number in 2..10 {
        committed(&other.metadata, plain(number, 0)).await;
    }
    other.close().await;
    went_back(&refused(&memory, bucket.options(4)).await);
    put_back(&memory, newer).await;
    let running = run(memory, bucket.options(5)).await;
    assert_eq!(high_watermark(&running.metadata, 0).await, 10);
    running.close().await;
}

/// Both stores are alive, each with a holder, over one bucket.
#[tokio::test(start_paused = true)]
async fn a_store_split_in_two_is_seen_by_the_bucket() {
    let (memory, bucket, running) = witnessed().await;
    tokio::time::sleep(2 * WRITE_INTERVAL).await;
    let standby = Memory::new();
    put_back(&standby, memory.snapshot()).await;
    let other = run(standby, bucket.options(2)).await;
    for number in 1..9 {
        committed(&running.metadata, plain(number, 0)).await;
        let _ = other.metadata.submit(plain(number + 100, 0)).await;
        seconds(10).await;
    }
    let ended = [&running, &other].map(|each| each.task.is_finished());
    assert_ne!(ended[0], ended[1], "one goes on");
    let stopped = if ended[0] { running } else { other };
    went_back(&stopped.task.await.unwrap().unwrap_err());
}

/// The deposed one is not told that its store went back.
#[tokio::test(start_paused = true)]
async fn whoever_was_deposed_is_not_upset_by_the_bucket() {
    let (memory, bucket, old) = witnessed().await;
    let new = run(memory.clone(), bucket.options(2)).await;
    committed(&new.metadata, plain(1, 0)).await;
    tokio::time::sleep(2 * WRITE_INTERVAL).await;
    let ended = old.task.await.unwrap();
    assert!(matches!(ended, Err(Error::Fenced)), "{ended:?}");
    new.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_witness_that_cannot_be_read_is_waited_for_and_one_that_cannot_be_written_is_not() {
    let (memory, bucket, running) = witnessed().await;
    *bucket.away.lock() = true;
    for number in 1..10 {
        committed(&running.metadata, plain(number, 0)).await;
        seconds(10).await;
    }
    running.close().await;
    let unread = refused(&memory, bucket.options(2)).await;
    assert!(matches!(unread, Error::Unavailable { .. }), "{unread}");
    *bucket.away.lock() = false;
    let running = run(memory, bucket.options(2)).await;
    assert_eq!(high_watermark(&running.metadata, 0).await, 90);
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_bucket_of_another_cluster_is_refused() {
    let (_, bucket, running) = witnessed().await;
    running.close().await;
    let other = Memory::new();
    run(other.clone(), options(2)).await.close().await;
    let error = refused(&other, bucket.options(3)).await;
    assert!(matches!(error, Error::OtherBucket { .. }), "{error}");
}

/// The witness is rewritten seldom, however much is committed, and has the last point once the sequencer closed.
#[tokio::test(start_paused = true)]
async fn the_witness_is_written_at_most_every_ten_seconds() {
    let (memory, bucket) = (Memory::new(), Bucket::default());
    let writes = Arc::new(AtomicU64::new(0));
    let (inner, counted) = (bucket.witness(), Arc::clone(&writes));
    let mut options = options(1);
    options.witness = Some(Witness {
        write: Arc::new(move |remembered| {
            counted.fetch_add(1, Ordering::Relaxed);
            (inner.write)(remembered)
        }),
        ..bucket.witness()
    });
    let running = run(memory.clone(), options).await;
    create_topic(&running.metadata, TOPIC, "orders", 3).await;
    for number in 1..=600 {
        committed(&running.metadata, plain(number, 0)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let written = writes.load(Ordering::Relaxed);
    assert!((6..=8).contains(&written), "{written}");
    running.close().await;
    let point = bucket.remembered.lock().clone().unwrap().point.unwrap();
    let head = memory.snapshot()[&Key::Head.encode()].clone();
    assert_eq!(point.lsn, Head::decode(head).unwrap().lsn);
}

/// The bucket's memory may be ten seconds old; who stops leaves what it knows itself.
#[tokio::test(start_paused = true)]
async fn whoever_stops_leaves_word_for_the_next() {
    let (memory, bucket, running) = witnessed().await;
    tokio::time::sleep(2 * WRITE_INTERVAL).await;
    let older = memory.snapshot();
    committed(&running.metadata, plain(1, 0)).await;
    put_back(&memory, older).await;
    running.metadata.submit(plain(2, 0)).await.unwrap_err();
    went_back(&running.task.await.unwrap().unwrap_err());
    went_back(&refused(&memory, bucket.options(2)).await);
    accept_older_store(&memory, bucket.options(3))
        .await
        .unwrap();
    run(memory, bucket.options(4)).await.close().await;
}

/// As of a peer that makes up what it was told.
#[tokio::test(start_paused = true)]
async fn doubts_without_end_have_the_bucket_asked_no_more_often_than_it_is_written() {
    let (_, bucket, running) = witnessed().await;
    let reads = Arc::new(AtomicU64::new(0));
    let (inner, counted) = (bucket.witness(), Arc::clone(&reads));
    running.close().await;
    let mut options = bucket.options(2);
    options.witness = Some(Witness {
        read: Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            (inner.read)()
        }),
        ..bucket.witness()
    });
    let memory = Memory::new();
    *bucket.remembered.lock() = None;
    let running = run(memory, options).await;
    create_topic(&running.metadata, TOPIC, "orders", 3).await;
    committed(&running.metadata, plain(1, 0)).await;
    let point = running.metadata.shared().point().unwrap();
    let before = reads.load(Ordering::Relaxed);
    for _ in 0..600 {
        running.metadata.shared().doubts.hear(&point, point.lsn);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let asked = reads.load(Ordering::Relaxed) - before;
    assert!((5..=8).contains(&asked), "{asked}");
    running.close().await;
}
