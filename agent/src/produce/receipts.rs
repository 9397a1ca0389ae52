//! What became of this agent's earlier segments, until a later one carries it into the bucket: should the metadata be lost,
//! offsets are found there, all but those of each agent's last segments. Owned by `flusher`. Pure.

use std::collections::VecDeque;

use metadata::ObjectKey;

use super::buffer::BatchOutcome;
use crate::storage::segment::{Receipt, ReceiptOutcome};

/// What one segment carries, about; a receipt that alone is larger goes by itself.
const SEGMENT_BYTES_MAX: usize = 256 * 1024;
/// What waits for a segment. While more come than segments can carry, the oldest are given up: they are a second record of
/// what the metadata has, and no bound of the agent's memory bends for them.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Receipts {
    waiting: VecDeque<Receipt>,
    bytes: usize,
}

impl Receipts {
    /// A segment was committed, and that became of its batches.
    pub(super) fn settled(&mut self, object: ObjectKey, outcomes: &[BatchOutcome]) {
        let fate = |outcome: &BatchOutcome| match outcome {
            Ok(placed) if placed.duplicate => ReceiptOutcome::Duplicate,
            Ok(placed) => ReceiptOutcome::Placed(placed.base_offset),
            Err(_) => ReceiptOutcome::Refused,
        };
        let outcomes = outcomes.iter().map(fate).collect();
        self.push(Receipt { object, outcomes });
        while self.bytes > WAITING_BYTES_MAX {
            self.pop();
        }
    }

    /// What the next segment carries, oldest first.
    pub(super) fn take(&mut self) -> Vec<Receipt> {
        let mut taken = Vec::new();
        let mut left = SEGMENT_BYTES_MAX;
        while let Some(next) = self.waiting.front() {
            if next.bytes() > left && !taken.is_empty() {
                break;
            }
            left = left.saturating_sub(next.bytes());
            taken.extend(self.pop());
        }
        taken
    }

    /// The segment that carried them was not committed, so nobody will look into it.
    pub(super) fn put_back(&mut self, receipts: Vec<Receipt>) {
        for receipt in receipts.into_iter().rev() {
            if self.bytes + receipt.bytes() > WAITING_BYTES_MAX {
                return;
            }
            self.bytes += receipt.bytes();
            self.waiting.push_front(receipt);
        }
    }

    fn push(&mut self, receipt: Receipt) {
        self.bytes += receipt.bytes();
        self.waiting.push_back(receipt);
    }

    fn pop(&mut self) -> Option<Receipt> {
        let oldest = self.waiting.pop_front()?;
        self.bytes -= oldest.bytes();
        Some(oldest)
    }
}

#[cfg(test)]
mod tests {
    use metadata::{Offset, Placed};
    use protocol::ErrorCode;

    use super::*;

    fn placed(offset: i64, duplicate: bool) -> BatchOutcome {
        Ok(Placed {
            base_offset: Offset(offset),
            log_start_offset: Offset(0),
            duplicate,
        })
    }

    fn objects(receipts: &[Receipt]) -> Vec<u128> {
        receipts.iter().map(|receipt| receipt.object.0).collect()
    }

    #[test]
    fn the_next_segment_says_what_became_of_the_one_before() {
        let mut receipts = Receipts::default();
        let refused = Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
        let outcomes = [placed(7, false), placed(3, true), refused];
        receipts.settled(ObjectKey(1), &outcomes);
        receipts.settled(ObjectKey(2), &[]);
        let taken = receipts.take();
        assert_eq!(objects(&taken), [1, 2]);
        let outcomes = [
            ReceiptOutcome::Placed(Offset(7)),
            ReceiptOutcome::Duplicate,
            ReceiptOutcome::Refused,
        ];
        assert_eq!(taken[0].outcomes, outcomes);
        assert!(receipts.take().is_empty());
        receipts.settled(ObjectKey(3), &[]);
        receipts.put_back(taken);
        assert_eq!(objects(&receipts.take()), [1, 2, 3]);
    }

    #[test]
    fn what_waits_and_what_is_carried_is_bounded() {
        let mut receipts = Receipts::default();
        let outcomes = vec![placed(0, false); SEGMENT_BYTES_MAX / 8 / 4];
        for object in 0..1000 {
            receipts.settled(ObjectKey(object), &outcomes);
            assert!(receipts.bytes <= WAITING_BYTES_MAX);
        }
        let first = objects(&receipts.take());
        assert_eq!(first.len(), 3);
        assert!(first[0] > 900, "the oldest are given up");
        let huge = vec![placed(0, false); SEGMENT_BYTES_MAX];
        let mut receipts = Receipts::default();
        receipts.settled(ObjectKey(1), &huge);
        receipts.settled(ObjectKey(2), &[]);
        assert_eq!(objects(&receipts.take()), [1]);
        assert_eq!(objects(&receipts.take()), [2]);
    }
}
