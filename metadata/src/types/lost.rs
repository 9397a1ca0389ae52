//! Offsets that an operator gave up. Their records were damaged for good; readers step over them.

use std::ops::Range;

use super::{Offset, PartitionIndex};

/// Ranges of one topic, so that they fit in its row and in a message beside its settings.
pub const LOST_MAX: usize = 512;

/// A run of offsets of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostRange {
    pub partition: PartitionIndex,
    pub from: Offset,
    /// One past the last; more than `from`.
    pub until: Offset,
}

impl LostRange {
    fn holds(&self, partition: PartitionIndex, offset: Offset) -> bool {
        self.partition == partition && self.from <= offset && offset < self.until
    }

    /// Whether they overlap, or one follows the other.
    fn touches(&self, other: &Self) -> bool {
        self.partition == other.partition && self.from <= other.until && other.from <= self.until
    }
}

/// The ranges of a topic: by partition and offset, and apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost(Vec<LostRange>);

impl Lost {
    /// Ranges that came from elsewhere; `None` where they are not as they must be.
    pub(crate) fn new(ranges: Vec<LostRange>) -> Option<Self> {
        let sound = |range: &LostRange| range.from.0 >= 0 && range.from < range.until;
        let apart = |pair: &[LostRange]| pair[0] < pair[1] && !pair[0].touches(&pair[1]);
        let good =
            ranges.len() <= LOST_MAX && ranges.iter().all(sound) && ranges.windows(2).all(apart);
        good.then_some(Self(ranges))
    }

    pub(crate) fn ranges(&self) -> &[LostRange] {
        &self.0
    }

    /// With one more, which may lie over those that are there.
    pub(crate) fn with(&self, mut range: LostRange) -> Self {
        let mut ranges = Vec::with_capacity(self.0.len() + 1);
        for known in &self.0 {
            if known.touches(&range) {
                range.from = range.from.min(known.from);
                range.until = range.until.max(known.until);
            } else {
                ranges.push(*known);
            }
        }
        ranges.insert(ranges.partition_point(|known| *known < range), range);
        Self(ranges)
    }

    /// Where a reader at that offset goes on, if the offset was given up.
    #[must_use]
    pub fn end_of(&self, partition: PartitionIndex, offset: Offset) -> Option<Offset> {
        let holding = self.0.iter().find(|range| range.holds(partition, offset));
        holding.map(|range| range.until)
    }

    /// Whether all of those offsets were given up.
    #[must_use]
    pub fn covers(&self, partition: PartitionIndex, offsets: &Range<Offset>) -> bool {
        let end = self.end_of(partition, offsets.start);
        end.is_some_and(|end| end >= offsets.end)
    }

    /// What is left of those offsets, in order.
    pub(crate) fn left_of(
        &self,
        partition: PartitionIndex,
        offsets: Range<Offset>,
    ) -> Vec<Range<Offset>> {
        let mut left = Vec::new();
        let mut next = offsets.start;
        for range in self.0.iter().filter(|range| range.partition == partition) {
            left.push(next..range.from.min(offsets.end));
            next = next.max(range.until);
        }
        left.push(next..offsets.end);
        left.retain(|part| part.start < part.end);
        left
    }

    /// Where the next range begins, behind that offset.
    #[must_use]
    pub fn next(&self, partition: PartitionIndex, offset: Offset) -> Option<Offset> {
        let mut of_partition = self.0.iter().filter(|range| range.partition == partition);
        let next = of_partition.find(|range| range.from > offset);
        next.map(|range| range.from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range((partition, from, length): (i32, i64, i64)) -> LostRange {
        LostRange {
            partition: PartitionIndex(partition),
            from: Offset(from),
            until: Offset(from + length),
        }
    }

    proptest! {
        /// What is lost is what was marked, however it was marked.
        #[test]
        fn ranges_join_and_stay_in_order(marked in prop::collection::vec((0..3, 0..40_i64, 1..9_i64), 0..30)) {
            let lost = marked.iter().fold(Lost::default(), |lost, at| lost.with(range(*at)));
            prop_assert_eq!(Lost::new(lost.ranges().to_vec()), Some(lost.clone()));
            for (partition, offset) in (0..4).flat_map(|p| (0..60).map(move |o| (p, o))) {
                let (at, offset) = (PartitionIndex(partition), Offset(offset));
                let is_lost = |offset| marked.iter().any(|it| range(*it).holds(at, offset));
                let end = (offset.0..).map(Offset).find(|offset| !is_lost(*offset));
                prop_assert_eq!(lost.end_of(at, offset), end.filter(|_| is_lost(offset)));
                let begins = |o: &Offset| is_lost(*o) && !is_lost(Offset(o.0 - 1));
                let next = (offset.0 + 1..60).map(Offset).find(begins);
                prop_assert_eq!(lost.next(at, offset), next);
                let some = offset..Offset(45);
                let left = lost.left_of(at, some.clone()).into_iter();
                let left: Vec<i64> = left.flat_map(|part| part.start.0..part.end.0).collect();
                let all = (offset.0..45).map(Offset);
                let expected: Vec<i64> = all.filter(|o| !is_lost(*o)).map(|o| o.0).collect();
                prop_assert_eq!(lost.covers(at, &some), left.is_empty() && is_lost(offset));
                prop_assert_eq!(left, expected);
            }
        }
    }

    #[test]
    fn ranges_from_elsewhere_are_looked_at() {
        let new =
            |ranges: &[(i32, i64, i64)]| Lost::new(ranges.iter().copied().map(range).collect());
        assert!(new(&[]).is_some() && new(&[(0, 0, 1), (0, 2, 1), (1, 0, 1)]).is_some());
        for wrong in [
            &[(0, 0, 0)][..],
            &[(0, -1, 5)],
            &[(0, 5, 1), (0, 0, 1)],
            &[(0, 0, 3), (0, 3, 1)],
            &[(1, 0, 1), (0, 0, 1)],
        ] {
            assert_eq!(new(wrong), None, "{wrong:?}");
        }
        let many: Vec<_> = (0..=512).map(|n| (0, n * 2, 1)).collect();
        assert!(new(&many[..512]).is_some() && new(&many).is_none());
    }
}
