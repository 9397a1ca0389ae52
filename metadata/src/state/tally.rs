//! Which rows of the state the store has, and which of each: counted, and summed up by hashes of their bytes. The cluster's
//! row says so, and goes with each transaction that writes or clears one of them. A row that a store lost, or has as it was
//! before, would pass for the truth: it is whole, and nothing else says that there was a newer one.

use crc_fast::{CrcAlgorithm, Digest};

use crate::keys::Key;

/// What is remembered of a row that the store has: a hash of its key and of all its bytes. The default is that of no row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn of(key: &[u8], row: &[u8]) -> Self {
        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
        digest.update(key);
        digest.update(row);
        // Sums of checksums as they are may be alike where rows differ alike.
        Self(mix(digest.finalize()).max(1))
    }

    /// Whether there is one.
    pub(crate) fn is_row(self) -> bool {
        self != Self::NONE
    }
}

/// SplitMix64's mix.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

wire_struct! {
    /// Rows, in whatever order they came.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Tally {
        count: u64,
        /// Of their marks. It wraps.
        sum: u64,
    }
}

impl Tally {
    /// One more, if it is one.
    pub(crate) fn add(&mut self, row: Mark) {
        self.count = self.count.wrapping_add(row.is_row().into());
        self.sum = self.sum.wrapping_add(row.0);
    }

    /// All of those, too.
    pub(crate) fn add_all(&mut self, rows: Self) {
        self.count = self.count.wrapping_add(rows.count);
        self.sum = self.sum.wrapping_add(rows.sum);
    }

    /// Without those, which are among them.
    pub(crate) fn remove_all(&mut self, rows: Self) {
        self.count = self.count.wrapping_sub(rows.count);
        self.sum = self.sum.wrapping_sub(rows.sum);
    }
}

impl From<Mark> for Tally {
    fn from(row: Mark) -> Self {
        let mut tally = Self::default();
        tally.add(row);
        tally
    }
}

impl FromIterator<Mark> for Tally {
    fn from_iter<T: IntoIterator<Item = Mark>>(rows: T) -> Self {
        let mut tally = Self::default();
        rows.into_iter().for_each(|row| tally.add(row));
        tally
    }
}

wire_struct! {
    /// All rows of the state that are not the cluster's own, nor such as others rewrite: objects, indexes.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Tallies {
        /// With the marks of deleted ones.
        pub(crate) topics: Tally,
        /// But for those of topics that are marked as deleted there: they are cleared in pieces, and nobody reads them.
        pub(crate) partitions: Tally,
        pub(crate) producers: Tally,
        /// With their outcomes.
        pub(crate) sessions: Tally,
    }
}

impl Tallies {
    /// Where rows under such a key are counted, if anywhere.
    pub(crate) fn of(&mut self, key: Key) -> Option<&mut Tally> {
        match key {
            Key::Topic(_) | Key::Deleted(_) => Some(&mut self.topics),
            Key::Partition(_) => Some(&mut self.partitions),
            Key::Producer(..) => Some(&mut self.producers),
            Key::Session(_) | Key::Outcome(..) => Some(&mut self.sessions),
            Key::Format
            | Key::Owner
            | Key::Head
            | Key::Lineage
            | Key::Checkpoint
            | Key::Log(..)
            | Key::Index(..)
            | Key::Object(_)
            | Key::Cluster => None,
        }
    }

    /// What is wrong where `found` are there in place of these.
    pub(crate) fn differ(&self, found: &Self) -> Option<String> {
        let kinds = [
            ("topics", self.topics, found.topics),
            ("partitions", self.partitions, found.partitions),
            ("producers", self.producers, found.producers),
            ("sessions", self.sessions, found.sessions),
        ];
        let (kind, written, found) = kinds.into_iter().find(|kind| kind.1 != kind.2)?;
        Some(match written.count == found.count {
            true => format!(
                "among the {} rows of {kind} some are not those that were written last, as where a part of an older copy was \
                 brought back; only a copy of the whole store is of use",
                found.count
            ),
            false => format!(
                "{} rows of {kind} were written, and {} are there; only a copy of the whole store is of use",
                written.count, found.count
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_apart_by_key_and_bytes() {
        let all = [
            Mark::of(b"a", b"1"),
            Mark::of(b"b", b"1"),
            Mark::of(b"a", b"2"),
        ];
        let tallies = all.map(Tally::from);
        assert!(all.iter().all(|mark| mark.is_row()));
        assert!(tallies[0] != tallies[1] && tallies[0] != tallies[2] && tallies[1] != tallies[2]);
        assert_eq!(Tally::from(Mark::default()), Tally::default());
    }

    /// The order is nobody's business, and what goes leaves no trace.
    #[test]
    fn what_comes_and_goes_is_as_it_was() {
        let rows: Vec<Mark> = (0..100_u8).map(|row| Mark::of(b"key", &[row])).collect();
        let all: Tally = rows.iter().copied().collect();
        let mut some: Tally = rows.iter().rev().take(60).copied().collect();
        assert_ne!(some, all);
        some.add_all(rows[..40].iter().copied().collect());
        assert_eq!(some, all);
        all_gone(some, &rows);
    }

    fn all_gone(mut tally: Tally, rows: &[Mark]) {
        rows.iter().for_each(|row| tally.remove_all((*row).into()));
        assert_eq!(tally, Tally::default());
    }

    #[test]
    fn what_differs_is_named() {
        let one = Tallies {
            producers: Mark::of(b"a", b"1").into(),
            ..Tallies::default()
        };
        let other = Tallies {
            producers: Mark::of(b"a", b"2").into(),
            ..Tallies::default()
        };
        assert_eq!(one.differ(&one), None);
        let older = one.differ(&other).unwrap();
        assert!(older.contains("among the 1 rows of producers"), "{older}");
        let lost = one.differ(&Tallies::default()).unwrap();
        assert!(lost.contains("1 rows of producers were written, and 0 are there"));
    }
}
