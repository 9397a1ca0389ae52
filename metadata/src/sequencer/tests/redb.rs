//! The same over a file: what is answered is on disk.

use super::*;
use crate::kv::Redb;

#[tokio::test]
async fn a_file_keeps_what_was_answered_through_kills_and_closes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    keeps_what_was_answered(async || Redb::open(&path).unwrap()).await;
}

/// Every round opens the store anew, as the next process does.
pub(super) async fn keeps_what_was_answered<K: Kv + 'static>(open: impl AsyncFn() -> K) {
    let mut end = 0;
    for round in 0..6_i32 {
        let mut options = options(u64::from(round.unsigned_abs()));
        options.checkpoint_interval = Duration::from_millis(20);
        let running = run(open().await, options).await;
        if round == 0 {
            create_topic(&running.metadata, TOPIC, "orders", 3).await;
        }
        assert_eq!(high_watermark(&running.metadata, 0).await, end);
        assert_eq!(
            extents(&running.metadata, 0).await.len() * 10,
            usize::try_from(end).unwrap()
        );
        if round > 0 {
            let number = u64::from(round.unsigned_abs()) * 1000 + 999;
            let last = commit(number, 0, vec![batch(10, Some((5, round * 400 - 10)))]);
            let again = running.metadata.submit(last).await.unwrap();
            assert!(placed(&again.outcome).duplicate, "round {round}");
        }
        for index in 0..40 {
            let sequence = round * 400 + index * 10;
            let number = u64::try_from(round * 1000 + index).unwrap();
            let one = commit(number, 0, vec![batch(10, Some((5, sequence)))]);
            assert_eq!(committed(&running.metadata, one).await, end);
            end += 10;
        }
        if round % 2 == 0 {
            running.kill().await;
        } else {
            running.close().await;
        }
    }
}
