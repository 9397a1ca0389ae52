//! Checkpoints go on while somebody searches: the last row of each level is replaced by a longer one between any two reads.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::*;
use crate::kv::KvError;
use crate::kv::over_memory::OverMemory;

/// Rows that change before the read whose turn it is.
#[derive(Debug)]
struct Moving {
    kv: Memory,
    /// Reads until then.
    left: AtomicUsize,
    change: Mutex<Option<Transaction>>,
}

impl Moving {
    async fn turn(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) != 0 {
            return;
        }
        let change = self.change.lock().take();
        if let Some(change) = change {
            self.kv.commit(change).await.unwrap();
        }
    }

    fn moved(&self) -> bool {
        self.change.lock().is_none()
    }
}

#[async_trait]
impl OverMemory for Moving {
    fn memory(&self) -> &Memory {
        &self.kv
    }

    async fn before_read(&self, _from: &[u8]) -> Result<(), KvError> {
        self.turn().await;
        Ok(())
    }
}

/// With times that have their largest anywhere.
fn shuffled(count: u32, from: u32, offset: Offset) -> Vec<Extent> {
    let mut extents = run(count, from, offset);
    for (extent, number) in extents.iter_mut().zip(from..) {
        extent.max_timestamp = Timestamp(i64::from(number.wrapping_mul(0x9e37_79b9) >> 12));
    }
    extents
}

/// What makes rows of those extents.
async fn writes(kv: &Memory, extents: &[Extent]) -> Transaction {
    let mut writes = Transaction::default();
    let start = extents[0].base_offset;
    let tail = read_tail(kv, PLACE, start).await.unwrap();
    append(PLACE, Offset(0), tail, extents, &mut writes).unwrap();
    writes
}

async fn ask(kv: &Moving, extents: &[Extent], from: usize) {
    let lookup = Lookup::new(kv, PLACE);
    let (live, until) = (&extents[from..], extents.last().unwrap().end_offset());
    let log_start = live[0].base_offset;
    match from % 3 {
        0 => {
            let found = lookup.largest(log_start, until).await.unwrap();
            assert_eq!(found, largest(live));
        }
        1 => {
            let last = live.last().unwrap().max_timestamp;
            let expected = live.iter().find(|extent| extent.max_timestamp >= last);
            let found = lookup.at_or_after(log_start, until, last).await;
            assert_eq!(found.unwrap().as_ref(), expected);
        }
        _ => {
            let found = lookup.at_or_after(log_start, until, Timestamp(i64::MAX));
            assert_eq!(found.await.unwrap(), None);
        }
    }
}

/// Nobody is told of damage, or of another extent than the one that was right when it was asked.
#[tokio::test]
async fn rows_that_grow_meanwhile_are_searched_all_the_same() {
    for (count, more) in [
        (20, 5),
        (20, 2_000),
        (700, 3),
        (700, 900),
        (2_000, 400),
        (90_000, 300),
        (90_000, 20_000),
    ] {
        let before = Memory::new();
        let extents = shuffled(count, 0, Offset(0));
        for some in extents.chunks(20_000) {
            let rows = writes(&before, some).await;
            before.commit(rows).await.unwrap();
        }
        let end = extents.last().unwrap().end_offset();
        let change = writes(&before, &shuffled(more, count, end)).await;
        for from in [
            0,
            1,
            2,
            count / 2,
            count / 2 + 1,
            count - 3,
            count - 2,
            count - 1,
        ] {
            let from = from as usize;
            for left in 0.. {
                let moving = Moving {
                    kv: before.copy(),
                    left: AtomicUsize::new(left),
                    change: Mutex::new(Some(change.clone())),
                };
                ask(&moving, &extents, from).await;
                if !moving.moved() {
                    break;
                }
            }
        }
    }
}
