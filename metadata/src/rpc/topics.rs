//! The catalogue and its changes as frames of bounded size, each made when there is room for it. Called by `session`.

use std::sync::Arc;

use super::message::{Down, FRAME_BYTES};
use crate::catalogue::{Catalogue, Topic, TopicsUpdate};
use crate::types::Scope;
use crate::update::Update;

/// A range of lost records in a frame, at most.
const LOST_BYTES: usize = 25;

/// What is left to be told.
#[derive(Debug)]
pub(super) struct Frames {
    what: What,
    told: usize,
    done: bool,
}

#[derive(Debug)]
enum What {
    All(Arc<Catalogue>),
    Change(Arc<TopicsUpdate>),
}

impl Frames {
    /// For an agent that knows nothing yet.
    pub(super) fn all(catalogue: Arc<Catalogue>) -> Self {
        Self::new(What::All(catalogue))
    }

    pub(super) fn change(update: Arc<TopicsUpdate>) -> Self {
        Self::new(What::Change(update))
    }

    fn new(what: What) -> Self {
        Self {
            what,
            told: 0,
            done: false,
        }
    }

    /// The next one; `None` behind the last.
    pub(super) fn next(&mut self) -> Option<Down> {
        if self.done {
            return None;
        }
        let changed = match &self.what {
            What::All(catalogue) => fitting(catalogue.topics_from(self.told)),
            What::Change(update) => fitting(update.changed.iter().skip(self.told)),
        };
        self.told += changed.len();
        let (lsn, scope, count) = match &self.what {
            What::All(catalogue) => (catalogue.lsn, Scope::All, catalogue.len()),
            What::Change(update) => (update.lsn, Scope::Change, update.changed.len()),
        };
        self.done = self.told == count;
        let gone = match &self.what {
            What::Change(update) if self.done => update.gone.clone(),
            _ => Vec::new(),
        };
        let update = TopicsUpdate {
            lsn,
            scope,
            changed,
            gone,
            more: !self.done,
        };
        Some(Down::Update(Update::Topics(Arc::new(update))))
    }
}

/// As many as a frame takes; one may be past its end.
fn fitting<'a>(topics: impl Iterator<Item = &'a Arc<Topic>>) -> Vec<Arc<Topic>> {
    let mut bytes = 0;
    let fits = |topic: &&Arc<Topic>| {
        let room = bytes < FRAME_BYTES;
        let configs = topic.configs.iter().map(|(k, v)| k.len() + v.len() + 2);
        let lost = topic.lost.ranges().len() * LOST_BYTES;
        bytes += 48 + topic.name.len() + configs.sum::<usize>() + lost;
        room
    };
    topics.take_while(fits).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Derived;
    use crate::types::{Lost, Lsn, Timestamp, TopicId};

    /// Names as long as Kafka allows, and some with as many settings as fit in a row.
    fn topic(number: u32) -> Arc<Topic> {
        let value = if number.is_multiple_of(1000) {
            60_000
        } else {
            1
        };
        Arc::new(Topic {
            id: TopicId(number.into()),
            name: format!("{number:0249}"),
            partitions: 1,
            replication_factor: 1,
            configs: [("x".to_owned(), "y".repeat(value))].into(),
            created: Timestamp(0),
            lost: Lost::default(),
            derived: Derived::default(),
        })
    }

    fn all_frames(mut frames: Frames) -> Vec<Arc<TopicsUpdate>> {
        let mut told = Vec::new();
        while let Some(down) = frames.next() {
            assert!(down.encode().len() <= FRAME_BYTES + 64 * 1024);
            let Down::Update(Update::Topics(update)) = down else {
                panic!("{down:?}")
            };
            told.push(update);
        }
        told
    }

    #[test]
    fn a_catalogue_goes_out_in_frames_of_bounded_size_until_the_last() {
        for count in [0, 1, 20_000] {
            let topics: Vec<_> = (0..count).map(topic).collect();
            let catalogue = Arc::new(Catalogue::new(Lsn(3), topics.iter()));
            let told = all_frames(Frames::all(catalogue));
            let last = told.iter().position(|update| !update.more);
            assert_eq!(last, Some(told.len() - 1));
            assert!(told.iter().all(|update| update.scope == Scope::All));
            let found: Vec<_> = told
                .iter()
                .flat_map(|update| update.changed.clone())
                .collect();
            assert_eq!(found, topics);
        }
    }

    #[test]
    fn what_is_gone_is_told_once() {
        let update = TopicsUpdate {
            lsn: Lsn(4),
            scope: Scope::Change,
            changed: (0..5000).map(topic).collect(),
            gone: vec![TopicId(9)],
            more: false,
        };
        let told = all_frames(Frames::change(Arc::new(update)));
        assert!(told.len() > 1);
        let gone: usize = told.iter().map(|update| update.gone.len()).sum();
        let last = told.last().unwrap();
        assert_eq!((gone, last.gone.len(), last.lsn), (1, 1, Lsn(4)));
    }
}
