//! Leader epochs of a partition. One begins where an operator accepted a store that went back in time: what consumers had
//! read past that point is lost, and other records take its offsets. By where epochs began they find out (KIP-320).

use super::Offset;

/// A partition keeps no more: then the two oldest become one.
pub const EPOCHS_MAX: usize = 8;

/// Where a leader epoch began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochStart {
    /// Never negative.
    pub epoch: i32,
    /// Its first record, if it has any.
    pub start: Offset,
}

/// Where the leader epochs of a partition began, but for the first of all, which is 0 and begins with the partition. Both
/// epochs and offsets rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// Those past `count` are as by default.
    starts: [EpochStart; EPOCHS_MAX],
    count: u8,
}

impl Epochs {
    /// Oldest first.
    #[must_use]
    pub fn starts(&self) -> &[EpochStart] {
        &self.starts[..self.count.into()]
    }

    /// An epoch begins. Those that were to come after it, or have no records before it, are none any more. If there are too
    /// many, the two oldest become one that begins with the first and has the name of the second: whoever read in the
    /// first is then told that it ended where it began, so it reads again what it may have read, and misses nothing.
    pub fn begin(&mut self, epoch: i32, start: Offset) {
        let stays = |known: &EpochStart| known.epoch < epoch && known.start < start;
        let mut count = self
            .starts()
            .iter()
            .take_while(|known| stays(known))
            .count();
        if count == EPOCHS_MAX {
            self.starts[1].start = self.starts[0].start;
            self.starts.rotate_left(1);
            count -= 1;
        }
        self.starts[count] = EpochStart { epoch, start };
        self.starts[count + 1..].fill(EpochStart::default());
        self.count = u8::try_from(count + 1).unwrap_or(u8::MAX);
    }

    /// The epoch of the record at an offset.
    #[must_use]
    pub fn of(&self, offset: Offset) -> i32 {
        let before = self.starts().iter().rev();
        let mut before = before.skip_while(|known| known.start > offset);
        before.next().map_or(0, |known| known.epoch)
    }

    /// Where the records of an epoch and of those before it end, in a log that ends at `high_watermark`.
    #[must_use]
    pub fn end_of(&self, epoch: i32, high_watermark: Offset) -> Offset {
        let mut after = self.starts().iter().filter(|known| known.epoch > epoch);
        after.next().map_or(high_watermark, |next| next.start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn epochs(starts: &[(i32, i64)]) -> Epochs {
        let mut epochs = Epochs::default();
        for (epoch, start) in starts {
            epochs.begin(*epoch, Offset(*start));
        }
        epochs
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins() {
        let none = Epochs::default();
        assert_eq!(none.end_of(0, Offset(42)), Offset(42));
        assert_eq!((none.of(Offset(0)), none.of(Offset(41))), (0, 0));
        let some = epochs(&[(1, 10), (4, 30)]);
        let ends = [0, 1, 2, 3, 4].map(|epoch| some.end_of(epoch, Offset(42)).0);
        assert_eq!(ends, [10, 30, 30, 30, 42]);
        let of = [0, 9, 10, 29, 30, 42].map(|offset| some.of(Offset(offset)));
        assert_eq!(of, [0, 0, 1, 1, 4, 4]);
    }

    #[test]
    fn one_that_is_begun_again_or_has_no_records_is_not_kept_twice() {
        assert_eq!(epochs(&[(1, 10), (1, 10)]), epochs(&[(1, 10)]));
        assert_eq!(epochs(&[(1, 10), (2, 10)]), epochs(&[(2, 10)]));
        assert_eq!(
            epochs(&[(1, 10), (2, 30), (3, 20)]),
            epochs(&[(1, 10), (3, 20)])
        );
        assert_eq!(epochs(&[(5, 10), (2, 30)]), epochs(&[(2, 30)]));
    }

    proptest! {
        /// Against a list that forgets nothing: what is said of an epoch's end is true, or earlier.
        #[test]
        fn however_many_there_are_nobody_is_told_of_a_later_end(
            steps in prop::collection::vec((1..5_i32, 1..50_i64), 0..40),
            asked in 0..200_i32,
            offset in 0..2_500_i64,
        ) {
            let (mut epochs, mut all) = (Epochs::default(), vec![(0, 0)]);
            for (epoch, start) in steps {
                let (last, at) = all[all.len() - 1];
                all.push((last + epoch, at + start));
                epochs.begin(last + epoch, Offset(at + start));
            }
            let (newest, end) = (all[all.len() - 1].0, Offset(3_000));
            let is = all.iter().find(|(epoch, _)| *epoch > asked);
            let is = is.map_or(end, |(_, start)| Offset(*start));
            let said = epochs.end_of(asked, end);
            let kept = epochs.starts().first().map_or(0, |first| first.epoch);
            prop_assert!(said == is || (said < is && asked < kept), "{said:?} {is:?}");
            let of = all.iter().rfind(|(_, start)| *start <= offset).unwrap().0;
            let said = epochs.of(Offset(offset));
            prop_assert!(said == of || (said > of && said == kept));
            prop_assert!(epochs.starts().len() <= EPOCHS_MAX);
            prop_assert_eq!(epochs.end_of(newest, end), end);
        }
    }
}
