//! The same over a file: what is answered is on disk.

use std::fs::rename;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use tokio::time::sleep;

use super::*;
use crate::error::Happened;
use crate::kv::{Over, Redb};

#[tokio::test]
async fn a_file_keeps_what_was_answered_through_kills_and_closes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    keeps_what_was_answered(async || Redb::open(&path).unwrap()).await;
}

/// Nobody asks for anything meanwhile.
#[tokio::test]
async fn a_file_that_is_moved_away_under_an_idle_process_is_noticed_and_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let away = folder.path().join("away.redb");
    let running = run(Redb::open(&path).unwrap(), options(1)).await;
    create_topic(&running.metadata, TOPIC, "orders", 1).await;
    committed(&running.metadata, plain(1, 0)).await;
    rename(&path, &away).unwrap();
    while running.metadata.ready() {
        sleep(Duration::from_millis(20)).await;
    }
    let said = running.metadata.displaced().unwrap();
    assert!(said.contains("removed or replaced"), "{said}");
    let refused = running.metadata.submit(plain(2, 0)).await.unwrap_err();
    let refused = refused.to_string();
    assert!(refused.contains(&said), "{refused}");
    rename(&away, &path).unwrap();
    while !running.metadata.ready() {
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(running.metadata.displaced(), None);
    assert_eq!(committed(&running.metadata, plain(3, 0)).await, 10);
    running.close().await;
}

/// Though nobody noticed before.
#[tokio::test]
async fn a_process_whose_file_is_gone_does_not_end_as_if_all_were_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let running = run(Redb::open(&path).unwrap(), options(1)).await;
    create_topic(&running.metadata, TOPIC, "orders", 1).await;
    std::fs::remove_file(&path).unwrap();
    running.metadata.close().await;
    let ended = running.task.await.unwrap().unwrap_err();
    assert!(ended.to_string().contains("removed or replaced"), "{ended}");
}

/// A file that is moved away with the next commit, which is in it by then.
#[derive(Debug)]
struct Moving {
    kv: Redb,
    from: PathBuf,
    to: PathBuf,
    next: Arc<AtomicBool>,
}

impl Over for Moving {
    fn below(&self) -> &dyn Kv {
        &self.kv
    }

    async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
        self.kv.commit(transaction).await?;
        if self.next.swap(false, Ordering::SeqCst) {
            rename(&self.from, &self.to).unwrap();
            return Err(KvError::Unknown("moved".to_owned()));
        }
        Ok(())
    }
}

#[tokio::test]
async fn what_landed_in_a_file_that_is_gone_is_neither_acknowledged_nor_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("store.redb");
    let to = folder.path().join("away.redb");
    let next = Arc::new(AtomicBool::new(false));
    let moving = Moving {
        kv: Redb::open(&from).unwrap(),
        from: from.clone(),
        to: to.clone(),
        next: Arc::clone(&next),
    };
    let running = run(moving, options(1)).await;
    create_topic(&running.metadata, TOPIC, "orders", 1).await;
    let one = |number| commit(number, 0, vec![batch(10, Some((5, 0)))]);
    next.store(true, Ordering::SeqCst);
    let unclear = running.metadata.submit(one(1)).await;
    assert!(
        matches!(
            unclear,
            Err(Error::Unavailable {
                happened: Happened::Unknown,
                ..
            })
        ),
        "{unclear:?}"
    );
    assert!(running.metadata.submit(one(2)).await.is_err());
    assert!(running.metadata.displaced().is_some());
    rename(&to, &from).unwrap();
    while !running.metadata.ready() {
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(high_watermark(&running.metadata, 0).await, 10);
    let again = running.metadata.submit(one(3)).await.unwrap();
    assert!(placed(&again.outcome).duplicate);
    running.close().await;
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
