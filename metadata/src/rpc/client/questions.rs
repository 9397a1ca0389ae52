//! Questions that are not answered yet: numbered here, asked again on every new link.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::Error;
use crate::queue::QUEUE_MAX;
use crate::rpc::message::{Question, Reply, Up};
use crate::sequencer::reads::{InMemory, Read};
use crate::sequencer::times::{InMemoryByTime, TimeQuery};
use crate::shown::Shown;
use crate::types::TopicPartition;
use crate::views::Views;

/// A question that is not answered in this time is refused.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(8);
/// Partitions asked for, or let go, at once.
pub(super) const WATCHED_AT_ONCE: usize = 1000;

/// By number; at most [`QUEUE_MAX`].
#[derive(Default)]
pub(super) struct Questions {
    waiting: BTreeMap<u64, Questioned>,
    /// Views that were asked for over this link and are not answered, whether or not anybody waits for them any more; at most
    /// [`QUEUE_MAX`] questions.
    watching: BTreeMap<u64, Vec<TopicPartition>>,
    last: u64,
}

struct Questioned {
    read: Read,
    deadline: Instant,
}

impl Questions {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What costs least to answer, and is only answered once the store was looked at. As a frame.
    pub(super) fn ask_for_life(&mut self) -> Option<Bytes> {
        let (partitions, reply) = (Vec::new(), oneshot::channel().0);
        self.take(Read::Bounds { partitions, reply })
    }

    /// As a frame; none if it was refused, or is only asked inside a sequencer's process.
    pub(super) fn take(&mut self, read: Read) -> Option<Bytes> {
        let is_view = matches!(read, Read::Views { .. });
        if self.waiting.len() >= QUEUE_MAX || is_view && self.watching.len() >= QUEUE_MAX {
            read.refuse(&Error::unavailable(
                "too many questions wait for the sequencer",
            ));
            return None;
        }
        self.last += 1;
        let frame = ask(self.last, &read)?;
        if let Read::Views { partitions, .. } = &read {
            self.watching.insert(self.last, partitions.clone());
        }
        let deadline = Instant::now() + QUESTION_TIME_MAX;
        self.waiting
            .insert(self.last, Questioned { read, deadline });
        Some(frame)
    }

    /// Frames with which a new link begins: they ask for these partitions' views anew, which nobody waits for. Of what was asked
    /// before that is forgotten for which nobody waits any more.
    pub(super) fn watch_again(&mut self, partitions: &[TopicPartition]) -> Vec<Bytes> {
        self.waiting.retain(|_, each| each.read.is_wanted());
        self.watching.clear();
        for (id, Questioned { read, .. }) in &self.waiting {
            if let Read::Views { partitions, .. } = read {
                self.watching.insert(*id, partitions.clone());
            }
        }
        let some = partitions.chunks(WATCHED_AT_ONCE);
        some.map(|some| {
            self.last += 1;
            self.watching.insert(self.last, some.to_vec());
            let question = Question::Watch(some.to_vec());
            let id = self.last;
            Up::Ask { id, question }.encode()
        })
        .collect()
    }

    /// What must not be let go of: its view is on the way, and would be taken for one that is told of further.
    pub(super) fn unanswered(&self) -> HashSet<TopicPartition> {
        self.watching.values().flatten().copied().collect()
    }

    /// All as frames.
    pub(super) fn all(&self) -> impl Iterator<Item = Bytes> {
        let all = self.waiting.iter();
        all.filter_map(|(id, questioned)| ask(*id, &questioned.read))
    }

    /// Gives up what waited too long. Over a link its answer may still come; without one it was never asked, or of a link
    /// that is gone.
    pub(super) fn expire(&mut self, linked: bool) {
        let now = Instant::now();
        let old = self.waiting.extract_if(.., |_, each| each.deadline <= now);
        for (id, questioned) in old {
            if !linked {
                self.watching.remove(&id);
            }
            let error = Error::unavailable("the sequencer did not answer in time");
            questioned.read.refuse(&error);
        }
    }

    /// An error, if it is no answer to what was asked.
    pub(super) fn answer(&mut self, id: u64, reply: Reply, views: &Views) -> Result<(), String> {
        self.watching.remove(&id);
        // Given up meanwhile, or a view of an earlier link.
        let Some(Questioned { read, .. }) = self.waiting.remove(&id) else {
            return Ok(());
        };
        if let Reply::Failed(reason) = reply {
            read.refuse(&Error::Damaged(Shown::sentence(reason).to_string()));
            return Ok(());
        }
        // Whoever asked may have gone.
        match (read, reply) {
            (Read::Bounds { partitions, reply }, Reply::Bounds(bounds))
                if bounds.len() == partitions.len() =>
            {
                let _ = reply.send(Ok(bounds));
            }
            (Read::Views { partitions, reply }, Reply::Watched(found))
                if found.len() == partitions.len() =>
            {
                let view = |(partition, found): (&TopicPartition, &bool)| {
                    match (views.get(*partition), found) {
                        // It has already made room for those that came behind it.
                        (None, true) => Err(Error::unavailable("too many views at once")),
                        (view, _) => Ok(view),
                    }
                };
                let _ = reply.send(Ok(partitions.iter().zip(&found).map(view).collect()));
            }
            (Read::Locate { reply, .. }, Reply::Located(located)) => {
                let _ = reply.send(Ok(InMemory::Found(located)));
            }
            (Read::ByTime { reply, .. }, Reply::Extent(extent)) => {
                let _ = reply.send(Ok(extent.map(InMemoryByTime::found)));
            }
            (read, _) => {
                let reason = "another answer than was asked for";
                read.refuse(&Error::unavailable(reason));
                return Err(reason.to_owned());
            }
        }
        Ok(())
    }
}

/// A question as a frame; none for what is only asked inside a sequencer's process.
fn ask(id: u64, read: &Read) -> Option<Bytes> {
    let question = match read {
        Read::Bounds { partitions, .. } => Question::Bounds(partitions.clone()),
        Read::Views { partitions, .. } => Question::Watch(partitions.clone()),
        Read::Locate {
            partition,
            offset,
            raw_bytes_max,
            ..
        } => Question::Locate {
            partition: *partition,
            offset: *offset,
            raw_bytes_max: *raw_bytes_max,
        },
        Read::ByTime {
            partition, wanted, ..
        } => match wanted {
            TimeQuery::AtOrAfter(timestamp) => Question::Timestamp(*partition, *timestamp),
            TimeQuery::Largest => Question::MaxTimestamp(*partition),
        },
        Read::Attach { .. } | Read::Watch { .. } | Read::Withdraw { .. } | Read::Unwatch { .. } => {
            return None;
        }
    };
    Some(Up::Ask { id, question }.encode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequencer::reads::Viewed;
    use crate::sequencer::tests::partition;
    use crate::view::View;

    fn asked(found: bool, views: &Views) -> Viewed {
        let (read, mut answer) = awaited(0);
        let mut questions = Questions::default();
        questions.take(read).unwrap();
        let reply = Reply::Watched(vec![found]);
        questions.answer(questions.last, reply, views).unwrap();
        answer.try_recv().unwrap().unwrap().remove(0)
    }

    /// It would be told of another partition.
    #[tokio::test(start_paused = true)]
    async fn an_answer_about_fewer_views_than_were_asked_for_is_none() {
        let (reply, mut answer) = oneshot::channel();
        let partitions = vec![partition(0), partition(1)];
        let (mut questions, views) = (Questions::default(), Views::default());
        questions.take(Read::Views { partitions, reply }).unwrap();
        let told = questions.answer(questions.last, Reply::Watched(vec![false]), &views);
        assert!(told.is_err() && answer.try_recv().unwrap().is_err());
    }

    /// A partition that is there is never said not to be, though its view was dropped for others before anybody took it.
    #[tokio::test(start_paused = true)]
    async fn a_view_that_made_room_for_others_is_no_partition_that_is_not_there() {
        let views = Views::default();
        assert!(matches!(asked(false, &views), Ok(None)));
        assert!(matches!(
            asked(true, &views),
            Err(Error::Unavailable { .. })
        ));
        let view = View::new(crate::types::Bounds::default(), &[].into());
        views.insert(partition(0), view);
        assert!(matches!(asked(true, &views), Ok(Some(_))));
    }

    /// Whose asker has left.
    fn view_of(index: i32) -> Read {
        awaited(index).0
    }

    fn awaited(index: i32) -> (Read, oneshot::Receiver<Result<Vec<Viewed>, Error>>) {
        let (reply, waits) = oneshot::channel();
        let partitions = vec![partition(index)];
        (Read::Views { partitions, reply }, waits)
    }

    /// Otherwise the view that comes for the second question stays, though the sequencer was told to tell of it no more.
    #[tokio::test(start_paused = true)]
    async fn a_view_is_not_let_go_of_before_all_who_asked_for_it_are_answered() {
        let (mut questions, views) = (Questions::default(), Views::default());
        let answer = |questions: &mut Questions, id| {
            let reply = Reply::Watched(vec![true]);
            questions.answer(id, reply, &views).unwrap();
        };
        questions.take(view_of(1)).unwrap();
        questions.take(view_of(1)).unwrap();
        answer(&mut questions, 1);
        assert_eq!(questions.unanswered(), HashSet::from([partition(1)]));
        tokio::time::advance(QUESTION_TIME_MAX).await;
        questions.expire(true);
        assert_eq!(questions.unanswered(), HashSet::from([partition(1)]));
        answer(&mut questions, 2);
        assert!(questions.unanswered().is_empty());
        let (read, _waits) = awaited(2);
        questions.take(read).unwrap();
        questions.watch_again(&[partition(3)]);
        let both = HashSet::from([partition(2), partition(3)]);
        assert_eq!(questions.unanswered(), both);
        answer(&mut questions, 4);
        assert_eq!(questions.unanswered(), HashSet::from([partition(2)]));
    }

    /// Readers may have come and gone for as long as there was no link.
    #[tokio::test(start_paused = true)]
    async fn a_new_link_is_not_asked_what_nobody_waits_for_any_more() {
        let mut questions = Questions::default();
        let (read, _waits) = awaited(1);
        questions.take(read).unwrap();
        for index in 2..100 {
            questions.take(view_of(index)).unwrap();
        }
        questions.watch_again(&[]);
        assert_eq!(questions.all().count(), 1);
        assert_eq!(questions.unanswered(), HashSet::from([partition(1)]));
    }

    #[tokio::test(start_paused = true)]
    async fn views_that_were_never_asked_for_are_forgotten_with_the_questions_and_those_that_were_are_bounded()
     {
        let mut questions = Questions::default();
        for _ in 0..3 {
            assert!(questions.take(view_of(1)).is_some());
            tokio::time::advance(QUESTION_TIME_MAX).await;
            questions.expire(false);
            assert!(questions.watching.is_empty());
        }
        for number in 0..2 * QUEUE_MAX {
            assert_eq!(questions.take(view_of(1)).is_some(), number < QUEUE_MAX);
            tokio::time::advance(QUESTION_TIME_MAX).await;
            questions.expire(true);
        }
        assert!(questions.ask_for_life().is_some());
        questions.watch_again(&[]);
        assert!(questions.take(view_of(1)).is_some());
    }
}
