//! Names for objects: no two processes choose the same one, and none tells a time by this process's clock. Called by
//! `upload`.

use metadata::ObjectKey;
use parking_lot::Mutex;

use crate::context::Context;

/// What this process names its objects.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<Option<Next>>);

#[derive(Clone, Copy, Debug)]
struct Next {
    /// Random, and of this process alone.
    tag: u64,
    number: u32,
}

impl Names {
    /// A name that nobody chose before, in the epoch that the sequencer last handed out.
    pub(super) fn next(&self, context: &Context) -> ObjectKey {
        let (tag, number) = self.count(|| context.random.u64());
        ObjectKey::new(context.metadata.naming_epoch(), tag, number)
    }

    /// A tag is drawn for the first name, and again once its numbers are used up.
    fn count(&self, draw: impl FnOnce() -> u64) -> (u64, u32) {
        let mut next = self.0.lock();
        let Next { tag, number } = next.take().unwrap_or_else(|| Next {
            tag: draw(),
            number: 0,
        });
        *next = number.checked_add(1).map(|number| Next { tag, number });
        (tag, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_up_and_a_new_tag_is_drawn_when_they_are_used_up() {
        let names = Names::default();
        assert_eq!(names.count(|| 7), (7, 0));
        assert_eq!(names.count(|| unreachable!()), (7, 1));
        *names.0.lock() = Some(Next {
            tag: 7,
            number: u32::MAX,
        });
        assert_eq!(names.count(|| unreachable!()), (7, u32::MAX));
        assert_eq!(names.count(|| 8), (8, 0));
    }
}
