//! Commands that are not answered yet: numbered by the handle, kept as bytes, sent again in order on every new link.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::command::{Answer, Outcome, Rejected, Submission};
use crate::error::Error;
use crate::queue::{QUEUE_MAX, ReplyTo};
use crate::rpc::message::{FRAME_BYTES_MAX, command_bytes, submit};

/// A command that is not answered in this time is given up; whether it happened is then not known.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(20);
/// A command past this would not fit in a frame, and break every link it is put on.
const COMMAND_BYTES_MAX: usize = FRAME_BYTES_MAX - 64;
/// All that wait, together; more are refused. As many as a sequencer takes from one agent, several times over, and little
/// beside the segments that they name.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

pub(super) const SESSION_CLOSED: &str = "the agent's session was closed";
const SKIPS: &str = "a command before it was refused";

/// By sequence; at most [`QUEUE_MAX`] of [`WAITING_BYTES_MAX`].
#[derive(Default)]
pub(super) struct Commands {
    waiting: BTreeMap<u64, Submitted>,
    bytes: usize,
    /// The last that was kept.
    last: u64,
    /// The last that was kept when some were given up.
    given_up: u64,
}

struct Submitted {
    command: Bytes,
    reply: ReplyTo,
    deadline: Instant,
}

impl Commands {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether it was kept; refused otherwise, unless it is of another session than `session`.
    pub(super) fn take(&mut self, session: u64, submission: Submission, reply: ReplyTo) -> bool {
        let submitted = Submitted {
            command: command_bytes(&submission.command),
            reply,
            deadline: Instant::now() + COMMAND_TIME_MAX,
        };
        let length = submitted.command.len();
        let skips = submission.sequence > self.last + 1 && submission.seen < submission.sequence;
        // It waited in the queue, and its agent had not heard of that when it asked.
        let behind = submission.seen <= self.given_up;
        if submission.session != session {
            submitted.fail(SESSION_CLOSED);
        } else if length > COMMAND_BYTES_MAX {
            submitted.fail("the command is too large for the sequencer");
        } else if self.waiting.len() >= QUEUE_MAX || self.bytes + length > WAITING_BYTES_MAX {
            submitted.fail("too many commands wait for the sequencer");
        } else if skips || behind {
            submitted.fail(SKIPS);
        } else {
            self.last = submission.sequence;
            self.bytes += length;
            self.waiting.insert(submission.sequence, submitted);
            return true;
        }
        false
    }

    /// The first that is not answered: outcomes of everything below need not be kept.
    pub(super) fn first(&self) -> Option<u64> {
        self.waiting.keys().next().copied()
    }

    /// All as frames, in order. They may have happened from now on.
    pub(super) fn all(&mut self, seen: u64) -> impl Iterator<Item = Bytes> {
        let all = self.waiting.iter_mut();
        all.map(move |(sequence, submitted)| submitted.frame(*sequence, seen))
    }

    /// The newest as a frame.
    pub(super) fn newest(&mut self, seen: u64) -> Option<Bytes> {
        let (sequence, newest) = self.waiting.iter_mut().next_back()?;
        Some(newest.frame(*sequence, seen))
    }

    pub(super) fn answer(&mut self, sequence: u64, answer: Answer) {
        if let Some(submitted) = self.waiting.remove(&sequence) {
            self.bytes -= submitted.command.len();
            let refused = answer.outcome == Outcome::Rejected(Rejected::TooManyOutcomes);
            match &answer.outcome {
                // On an earlier link, when the session was open, it may have been done.
                Outcome::Rejected(Rejected::SessionClosed) => submitted.fail(SESSION_CLOSED),
                _ => submitted.reply.send(Ok(answer)),
            }
            if refused {
                // Its session does not remember that it was: asked again, what is behind it would be decided.
                self.give_up(sequence, SKIPS);
            }
        }
    }

    /// Gives up what waited too long, and what was asked behind it: that may build on it.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        let mut waiting = self.waiting.iter();
        if let Some((first, _)) = waiting.find(|(_, each)| each.deadline <= now) {
            self.give_up(*first, "the sequencer did not answer in time");
        }
    }

    /// All from `first` on.
    fn give_up(&mut self, first: u64, reason: &str) {
        self.given_up = self.last;
        for (_, submitted) in self.waiting.split_off(&first) {
            self.bytes -= submitted.command.len();
            submitted.fail(reason);
        }
    }

    /// Nobody will know what became of them.
    pub(super) fn fail_all(&mut self, reason: &str) {
        (self.bytes, self.last, self.given_up) = (0, 0, 0);
        for (_, submitted) in std::mem::take(&mut self.waiting) {
            submitted.fail(reason);
        }
    }
}

impl Submitted {
    fn frame(&mut self, sequence: u64, seen: u64) -> Bytes {
        // Put on a link.
        self.reply.begin();
        submit(sequence, seen, &self.command)
    }

    fn fail(self, reason: &str) {
        let (happened, reason) = (self.reply.happened(), reason.to_owned());
        self.reply
            .send(Err(Error::Unavailable { happened, reason }));
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::command::{Command, CreateTopic};
    use crate::error::Happened;
    use crate::types::{Lsn, TopicId};

    fn large(sequence: u64, bytes: usize) -> Submission {
        let command = Command::CreateTopic(CreateTopic {
            name: "x".repeat(bytes),
            id: TopicId(1),
            partitions: 1,
            replication_factor: 1,
            configs: BTreeMap::new(),
        });
        Submission {
            session: 7,
            sequence,
            seen: sequence,
            command,
        }
    }

    /// Whether it was kept, and what was said at once.
    fn take(commands: &mut Commands, submission: Submission) -> (bool, Option<Error>) {
        let (reply, mut answer) = oneshot::channel();
        let kept = commands.take(7, submission, reply.into());
        (kept, answer.try_recv().ok().and_then(Result::err))
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_bounded_in_bytes_and_there_is_room_again_when_it_is_answered() {
        let mut commands = Commands::default();
        let each = 15 * 1024 * 1024;
        for sequence in 1..=4 {
            assert!(take(&mut commands, large(sequence, each)).0);
        }
        let (kept, said) = take(&mut commands, large(5, each));
        assert!(!kept && said.is_some(), "it is refused, and did not happen");
        assert!(take(&mut commands, large(5, 1024)).0, "a small one fits");
        let outcome = Outcome::TopicDeleted;
        let lsn = Lsn(1);
        commands.answer(1, Answer { lsn, outcome });
        assert!(take(&mut commands, large(6, each)).0);
        let (kept, _) = take(&mut commands, large(7, COMMAND_BYTES_MAX));
        assert!(!kept, "no frame takes it");
        tokio::time::sleep(COMMAND_TIME_MAX).await;
        commands.expire();
        assert!(commands.is_empty() && commands.bytes == 0);
        assert!(take(&mut commands, large(8, each)).0);
        commands.fail_all("over");
        assert_eq!((commands.bytes, commands.first()), (0, None));
    }

    /// Of one that was sent before, on a link on which the session was open, that would say that it was not done.
    #[tokio::test(start_paused = true)]
    async fn what_was_sent_in_a_session_that_is_closed_is_unknown() {
        let mut commands = Commands::default();
        let (reply, mut answer) = oneshot::channel();
        assert!(commands.take(7, large(1, 1), reply.into()));
        let sent = commands.newest(1);
        assert!(sent.is_some());
        let outcome = Outcome::Rejected(Rejected::SessionClosed);
        let lsn = Lsn(1);
        commands.answer(1, Answer { lsn, outcome });
        assert!(matches!(
            answer.try_recv(),
            Ok(Err(Error::Unavailable {
                happened: Happened::Unknown,
                ..
            }))
        ));
    }

    /// What waits in the handle's queue meanwhile may build on it.
    #[tokio::test(start_paused = true)]
    async fn what_was_asked_before_its_agent_heard_that_some_were_given_up_is_refused() {
        let mut commands = Commands::default();
        assert!(take(&mut commands, large(1, 1)).0);
        tokio::time::sleep(COMMAND_TIME_MAX).await;
        commands.expire();
        let second = Submission {
            seen: 1,
            ..large(2, 1)
        };
        let (kept, said) = take(&mut commands, second.clone());
        assert!(!kept && said.is_some(), "it would overtake the first");
        assert!(take(&mut commands, large(3, 1)).0, "its agent has heard");
        commands.fail_all("a new session");
        let first = Submission {
            sequence: 1,
            ..second
        };
        assert!(take(&mut commands, first).0, "numbers begin again");
    }

    /// On the next link it would be decided without the first, of which the session remembers nothing.
    #[tokio::test(start_paused = true)]
    async fn what_is_behind_a_command_that_was_refused_for_room_is_given_up() {
        let mut commands = Commands::default();
        let (reply, mut second) = oneshot::channel();
        assert!(take(&mut commands, large(1, 1)).0);
        let behind = |sequence| Submission {
            seen: 1,
            ..large(sequence, 1)
        };
        assert!(commands.take(7, behind(2), reply.into()));
        let outcome = Outcome::Rejected(Rejected::TooManyOutcomes);
        let lsn = Lsn(1);
        commands.answer(1, Answer { lsn, outcome });
        assert!(commands.is_empty() && commands.bytes == 0);
        let said = second.try_recv().expect("it is answered");
        assert!(matches!(said, Err(Error::Unavailable { .. })), "{said:?}");
        assert!(!take(&mut commands, behind(3)).0, "nor what comes later");
        assert!(take(&mut commands, large(4, 1)).0, "its agent has heard");
    }
}
