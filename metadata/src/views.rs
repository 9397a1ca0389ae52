//! The views of one agent: how many there are, how much they keep together, and which of them go. What one lets go of, the
//! index rows and the sequencer still have: a reader behind a view's beginning asks, as one that is far behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::types::{Extent, PartitionIndex, TopicId, TopicPartition};
use crate::view::{VIEW_EXTENTS_MAX, View};

/// Views kept while nobody holds them, and no more are asked for while somebody holds each of so many.
pub const VIEWS_MAX: usize = 64 * 1024;
/// Extents that all of them keep together: as many as a view can have for each of a thousand, sixteen for each of
/// [`VIEWS_MAX`].
const EXTENTS_MAX: usize = 1024 * 1024;
/// A view that nobody holds or asks for goes after this time, and before twice as much.
pub(crate) const VIEW_IDLE: Duration = Duration::from_secs(60);
/// What a view takes besides its extents, about.
const VIEW_BYTES: usize = 2 * (size_of::<View>() + size_of::<(TopicPartition, Arc<View>)>());
/// What all of them take.
pub const VIEWS_BYTES_MAX: usize = EXTENTS_MAX * size_of::<Extent>() + VIEWS_MAX * VIEW_BYTES;

/// The views of one agent.
#[derive(Debug)]
pub(crate) struct Views {
    /// Sorted, so that who waits is woken in an order that simulation can repeat.
    kept: Mutex<BTreeMap<TopicPartition, Arc<View>>>,
    /// Extents that each of them keeps at the most, so that all together keep no more than they may. It changes when there
    /// are twice as many views, or a quarter: then all are looked at.
    extents_each: AtomicUsize,
}

impl Default for Views {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            extents_each: AtomicUsize::new(VIEW_EXTENTS_MAX),
        }
    }
}

impl Views {
    pub(crate) fn get(&self, partition: TopicPartition) -> Option<Arc<View>> {
        self.kept.lock().get(&partition).cloned()
    }

    /// The same for a reader: it is not idle.
    pub(crate) fn wanted(&self, partition: TopicPartition) -> Option<Arc<View>> {
        let view = self.get(partition)?;
        view.want();
        Some(view)
    }

    /// How many extents a view is to keep.
    pub(crate) fn extents_each(&self) -> usize {
        self.extents_each.load(Ordering::Relaxed)
    }

    /// The view there is, or the one given. Room is made before, for what makes room is to be let go of elsewhere.
    pub(crate) fn insert(&self, partition: TopicPartition, view: View) -> Arc<View> {
        let mut kept = self.kept.lock();
        let entry = kept.entry(partition);
        let view = Arc::clone(entry.or_insert_with(|| Arc::new(view)));
        let (before, each) = (self.extents_each(), extents_each(kept.len()));
        if each < before {
            self.extents_each.store(each, Ordering::Relaxed);
            kept.values().for_each(|view| view.keep(each));
        } else {
            view.keep(before);
        }
        view
    }

    /// Forgets views that nobody holds, of those that may go, once there are many; which they were.
    pub(crate) fn make_room(
        &self,
        may_go: impl Fn(&TopicPartition) -> bool,
    ) -> Vec<TopicPartition> {
        match self.are_full() {
            true => self.let_go(|partition, view| !is_held(view) && may_go(partition)),
            false => Vec::new(),
        }
    }

    /// Forgets views that nobody held or asked for since this was last called, of those that may go; which they were. To be
    /// called once in [`VIEW_IDLE`].
    pub(crate) fn let_idle_go(
        &self,
        may_go: impl Fn(&TopicPartition) -> bool,
    ) -> Vec<TopicPartition> {
        self.let_go(|partition, view| {
            let wanted = view.was_wanted();
            if is_held(view) {
                view.want();
                return false;
            }
            !wanted && may_go(partition)
        })
    }

    fn let_go(&self, goes: impl Fn(&TopicPartition, &Arc<View>) -> bool) -> Vec<TopicPartition> {
        let mut kept = self.kept.lock();
        let gone = kept.extract_if(.., |partition, view| goes(partition, view));
        let gone = gone.map(|(partition, _)| partition).collect();
        // Not before they can be twice as many: who comes and goes would have all looked at each time.
        let each = extents_each(2 * kept.len());
        self.extents_each.fetch_max(each, Ordering::Relaxed);
        gone
    }

    /// Whether there are as many as are kept.
    pub(crate) fn are_full(&self) -> bool {
        self.kept.lock().len() >= VIEWS_MAX
    }

    /// Ends the views whose partitions are gone.
    pub(crate) fn retain(&self, mut exists: impl FnMut(TopicPartition) -> bool) {
        self.kept.lock().retain(|partition, view| {
            let keep = exists(*partition);
            if !keep {
                view.end();
            }
            keep
        });
    }

    /// Ends the views of a topic that is gone.
    pub(crate) fn end_topic(&self, topic: TopicId) {
        let partition = |index| TopicPartition {
            topic,
            partition: PartitionIndex(index),
        };
        let of_topic = partition(i32::MIN)..=partition(i32::MAX);
        let mut kept = self.kept.lock();
        let gone = kept.extract_if(of_topic, |_, _| true);
        gone.for_each(|(_, view)| view.end());
    }

    /// The partitions that are viewed.
    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        self.kept.lock().keys().copied().collect()
    }
}

/// Whether anybody has it but those who keep it.
fn is_held(view: &Arc<View>) -> bool {
    Arc::strong_count(view) > 1
}

/// The part of each, where there are so many views.
fn extents_each(views: usize) -> usize {
    (EXTENTS_MAX / views.next_power_of_two()).clamp(1, VIEW_EXTENTS_MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::sequencer::tests::partition;
    use crate::types::{Bounds, Content, ExtentFlags, Offset, Timestamp};
    use crate::view::Look;

    fn insert(views: &Views, index: usize) -> Arc<View> {
        let view = View::new(Bounds::default(), &VecDeque::new());
        views.insert(partition(i32::try_from(index).unwrap()), view)
    }

    /// So many extents of one offset, from `from` on.
    fn append(views: &Views, view: &View, from: i64, count: i64) {
        let extent = |offset| Extent {
            base_offset: Offset(offset),
            offset_span: 1,
            record_count: 1,
            max_timestamp: Timestamp(0),
            flags: ExtentFlags::default(),
            content: Content::Lost,
        };
        for offset in from..from + count {
            let bounds = Bounds {
                high_watermark: Offset(offset + 1),
                last_stable: Offset(offset + 1),
                ..Bounds::default()
            };
            let new = std::iter::once(extent(offset));
            view.append(bounds, new, views.extents_each());
        }
    }

    /// The sequencer is to be told to let go of them.
    #[test]
    fn no_view_is_dropped_but_when_it_is_said() {
        let views = Views::default();
        let held = insert(&views, 0);
        (1..VIEWS_MAX).for_each(|index| drop(insert(&views, index)));
        assert!(views.are_full());
        drop(insert(&views, VIEWS_MAX));
        assert_eq!(views.partitions().len(), VIEWS_MAX + 1);
        let dropped = views.make_room(|_| true);
        assert_eq!(dropped.len(), VIEWS_MAX);
        assert_eq!(views.partitions(), [partition(0)]);
        drop(held);
    }

    #[test]
    fn a_view_has_room_for_no_more_than_it_keeps() {
        let views = Views::default();
        let view = insert(&views, 0);
        append(&views, &view, 0, 1500);
        assert_eq!(view.room(), VIEW_EXTENTS_MAX);
    }

    #[test]
    fn all_views_together_keep_so_many_extents_and_go_on_to_be_right() {
        let views = Views::default();
        let all: Vec<_> = (0..1000).map(|index| insert(&views, index)).collect();
        all.iter().for_each(|view| append(&views, view, 0, 1100));
        let room = |all: &[Arc<View>]| all.iter().map(|view| view.room()).sum::<usize>();
        assert_eq!(room(&all), 1000 * VIEW_EXTENTS_MAX, "there is enough");
        let more: Vec<_> = (1000..5000).map(|index| insert(&views, index)).collect();
        more.iter().for_each(|view| append(&views, view, 0, 300));
        let together = room(&all) + room(&more);
        assert!(together <= EXTENTS_MAX, "room for {together}");
        let view = &all[0];
        let first_at = |offset| match view.look(Offset(offset), 1) {
            Look::Extents { extents, .. } => extents.first().map(|extent| extent.base_offset),
            Look::Earlier(_) => None,
            Look::Past(bounds) => panic!("{bounds:?}"),
        };
        assert_eq!(first_at(1099), Some(Offset(1099)));
        assert_eq!(first_at(972), Some(Offset(972)), "the newest 128");
        assert_eq!(first_at(971), None, "is to be asked for");
        append(&views, view, 1100, 1);
        assert_eq!(first_at(1100), Some(Offset(1100)));
        assert_eq!(first_at(972), None);
        // Those that stay grow again.
        drop(more);
        views.let_idle_go(|_| true);
        assert_eq!(views.let_idle_go(|_| true).len(), 4000);
        let view = &all[1];
        append(&views, view, 1100, 2000);
        assert_eq!(view.room(), 512, "until there are fewer still");
    }

    #[test]
    fn a_view_goes_that_nobody_holds_or_asks_for() {
        let views = Views::default();
        let held = insert(&views, 0);
        (1..4).for_each(|index| drop(insert(&views, index)));
        assert!(views.let_idle_go(|_| true).is_empty(), "all are new");
        assert!(views.wanted(partition(1)).is_some());
        let gone = views.let_idle_go(|each| *each != partition(2));
        assert_eq!(gone, [partition(3)]);
        drop(held);
        let gone = views.let_idle_go(|_| true);
        assert_eq!(gone, [partition(1), partition(2)]);
        assert_eq!(views.partitions(), [partition(0)], "it was held just now");
    }
}
