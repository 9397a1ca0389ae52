//! A topic's partitions, made a page at a time once one of them is used: a topic may have a hundred thousand of them, and
//! be gone before it has a record.

use std::collections::VecDeque;

use super::{Held, Known, PartitionLog};
use crate::state::tally::Mark;
use crate::types::{Lsn, Offset};

/// Partitions that are made at once.
const PAGE: usize = 64;

/// The partitions of one topic.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    total: usize,
    /// Of a page that is shorter than the topic says, the rest was not used yet.
    pages: Vec<Vec<PartitionLog>>,
}

/// What is known of one that was never used.
static UNUSED: PartitionLog = PartitionLog {
    known: Known {
        log_start: Offset(0),
        high_watermark: Offset(0),
        epochs: None,
        held: Held {
            stored_bytes: 0,
            raw_bytes: 0,
            records: 0,
        },
        generation: 0,
    },
    recent: VecDeque::new(),
    as_of: Lsn(0),
    stored: Mark::NONE,
    dirty: false,
};

impl Pages {
    /// There are so many now. Partitions are never taken away.
    pub(super) fn grow(&mut self, total: i32) {
        self.total = self.total.max(usize::try_from(total).unwrap_or(0));
    }

    pub(super) fn get(&self, index: i32) -> Option<&PartitionLog> {
        let index = self.place(index)?;
        let page = self.pages.get(index / PAGE);
        let made = page.and_then(|page| page.get(index % PAGE));
        Some(made.unwrap_or(&UNUSED))
    }

    /// To be used: it is made with its page unless it is there.
    pub(super) fn get_mut(&mut self, index: i32) -> Option<&mut PartitionLog> {
        let index = self.place(index)?;
        let (page, place) = (index / PAGE, index % PAGE);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, Vec::new);
        }
        let logs = &mut self.pages[page];
        if logs.len() <= place {
            let first = page * PAGE;
            let length = PAGE.min(self.total - first);
            logs.reserve_exact(length - logs.len());
            logs.resize(length, PartitionLog::default());
        }
        logs.get_mut(place)
    }

    fn place(&self, index: i32) -> Option<usize> {
        let index = usize::try_from(index).ok()?;
        (index < self.total).then_some(index)
    }

    /// All of them, used or not.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i32, &PartitionLog)> {
        (0..).map_while(|index| Some((index, self.get(index)?)))
    }

    /// Those that are made, by index.
    pub(super) fn into_made(self) -> impl Iterator<Item = (i32, PartitionLog)> {
        let pages = (0_i32..).step_by(PAGE).zip(self.pages);
        pages.flat_map(|(first, logs)| (first..).zip(logs))
    }

    /// Those that are made, among them all of which anything is known.
    pub(super) fn made(&self) -> impl Iterator<Item = &PartitionLog> {
        self.pages.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_takes_no_room() {
        let mut pages = Pages::default();
        pages.grow(100_000);
        assert_eq!(pages.made().count(), 0);
        assert_eq!(pages.iter().count(), 100_000);
        assert!(pages.get(99_999).is_some() && pages.get(100_000).is_none());
        assert!(pages.get(-1).is_none() && pages.get_mut(i32::MIN).is_none());
        assert!(pages.get_mut(99_999).is_some() && pages.get_mut(100_000).is_none());
        assert_eq!(pages.made().count(), 100_000 % PAGE);
        assert!(pages.get_mut(70).is_some());
        assert_eq!(pages.made().count(), 100_000 % PAGE + PAGE);
    }

    #[test]
    fn a_page_that_grows_keeps_what_is_known() {
        let mut pages = Pages::default();
        pages.grow(3);
        pages.get_mut(1).unwrap().known.high_watermark = Offset(7);
        pages.grow(70);
        pages.get_mut(69).unwrap();
        pages.get_mut(10).unwrap();
        assert_eq!(pages.made().count(), 70);
        let known = pages.iter().filter(|(_, log)| log.is_known());
        assert_eq!(known.map(|(index, _)| index).collect::<Vec<_>>(), [1]);
        assert_eq!(UNUSED, PartitionLog::default());
    }
}
