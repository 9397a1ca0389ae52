//! Index rows of one partition that were changed or lost: that partition's readers are told of damage, nothing is written
//! over what is left, and everybody else goes on, whoever holds the order.

use super::damaged::{changed, store};
use super::*;
use crate::keys::Key;

/// All that can be located of a partition from an offset on; `None` behind what is damage.
async fn located(metadata: &Metadata, index: i32, from: i64) -> Option<Vec<Extent>> {
    let (mut all, mut next) = (Vec::new(), Offset(from));
    loop {
        match metadata.locate(partition(index), next, 10_000).await {
            Ok(Located::Extents { extents, .. }) if extents.is_empty() => return Some(all),
            Ok(Located::Extents { extents, .. }) => {
                assert!(extents[0].base_offset <= next);
                next = extents.last().unwrap().end_offset();
                all.extend(extents);
            }
            Err(Error::Damaged(_)) => return None,
            located => panic!("{located:?}"),
        }
    }
}

/// Commits to two partitions, and a checkpoint behind each. Where what was committed in the first begins.
async fn go_on(memory: &Memory, seed: u64) -> i64 {
    let options = Options {
        checkpoint_interval: Duration::from_secs(1),
        ..options(seed)
    };
    let running = run(memory.clone(), options).await;
    let metadata = &running.metadata;
    let begun = committed(metadata, plain(1_000 * seed, 0)).await;
    for number in 1..4 {
        seconds(3).await;
        for index in [0, 1] {
            let number = 1_000 * seed + 10 * number + u64::try_from(index).unwrap();
            committed(metadata, plain(number, index)).await;
        }
    }
    seconds(3).await;
    let stats = metadata.stats();
    assert!(stats.checkpoints >= 3, "{stats:?}");
    let all = located(metadata, 0, begun)
        .await
        .expect("what came since can be found");
    assert_eq!(all.len(), 4);
    assert!(located(metadata, 1, 0).await.is_some());
    running.close().await;
    begun
}

/// Of an index row of the first partition.
fn level(key: &Bytes) -> Option<u8> {
    match Key::decode(key) {
        Ok(Key::Index(of, _, level, _)) if of == partition(0) => Some(level),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_index_row_harms_its_partition_alone() {
    let memory = store().await;
    let truth = {
        let running = run(memory.copy(), options(3)).await;
        let truth = extents(&running.metadata, 0).await;
        running.kill().await;
        truth
    };
    let mut tried = 0;
    for (number, (key, row)) in (0..).zip(memory.snapshot()) {
        if level(&key).is_none() {
            continue;
        }
        let others = changed(&row, number * 1_000).into_iter().map(Some);
        for other in others.chain([None]) {
            let damaged = memory.copy();
            let mut change = Transaction::default();
            match &other {
                Some(other) => change.set(key.clone(), other.clone()),
                None => change.clear(key.clone()),
            };
            damaged.commit(change).await.unwrap();
            let before = damaged.snapshot();
            let first = go_on(&damaged, 4).await;
            // And whoever comes next.
            go_on(&damaged, 5).await;
            let rows = damaged.snapshot();
            if let Some(other) = &other {
                assert_eq!(rows.get(&key), Some(other), "it is left as it is");
            }
            let index: Vec<_> = before
                .iter()
                .filter(|(key, _)| level(key).is_some())
                .collect();
            for pair in index.windows(2) {
                let ((key, row), (next, _)) = (pair[0], pair[1]);
                let is_last = level(key) != level(next);
                assert!(
                    is_last || rows.get(key) == Some(row),
                    "and so are all before the last"
                );
            }
            let running = run(damaged, options(6)).await;
            for extent in &truth {
                let from = extent.base_offset;
                match running.metadata.locate(partition(0), from, 1).await {
                    Ok(Located::Extents { extents, .. }) => assert_eq!(extents[0], *extent),
                    Err(Error::Damaged(_)) => {}
                    located => panic!("{located:?}"),
                }
            }
            let all = located(&running.metadata, 0, first).await;
            assert_eq!(all.expect("what came since can be found").len(), 8);
            running.kill().await;
            tried += 1;
        }
    }
    assert!(tried > 30, "{tried}");
}
