//! What waits for a sequencer, or for a link to one: bounded in number by the channel, and in bytes by room that each
//! command takes until it is answered, and each question until a drain takes it. Of some kinds an agent has no more than a
//! part, so that there is always room for commits.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::command::{Answer, Command, CommitBatch, CommitBlock, Outcome, Submission};
use crate::error::{Error, Happened};
use crate::sequencer::openers::Opening;
use crate::sequencer::reads::Read;

/// Commands and reads that may wait for a drain, all agents together.
pub(crate) const QUEUE_MAX: usize = 16 * 1024;
/// Bytes of commands that are not answered yet, all agents together. A command that is larger goes alone.
const QUEUE_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// What the questions weigh that may wait for a drain, all agents together: what is asked of the order stands behind no
/// more of them. A drain answers about as many.
const QUESTION_BYTES_MAX: u32 = 8 * 1024 * 1024;
/// What a question counts for at the least: half of the queue is left to commands, however many ask and go away again.
const QUESTION_BYTES_MIN: usize = 1024;
/// Of the bytes of commands so many are there for an agent's changes of topics that are not answered, and as many for its
/// blocks of producer ids. Whoever asked for one may have stopped waiting and ask for another: commits find the rest.
const PART_BYTES_MAX: u32 = QUEUE_BYTES_MAX / 4;
/// What each of them counts for at the least, so that there are 2,048 of a kind at the most, an eighth of the queue.
const PART_BYTES_MIN: usize = 8 * 1024;
/// Of a command, whatever is in it.
const COMMAND_BYTES: usize = 256;

/// What the sequencer is asked.
#[derive(Debug)]
pub(crate) enum Asked {
    Command(Submission, ReplyTo),
    Read(Read, Held),
    /// Finish what was asked before, write a checkpoint, end.
    Close,
}

const UNANSWERED: &str = "the process ended before the outcome was known";

/// Where a command's answer goes. It holds the command's room until then. Dropped without an answer it leaves it to the
/// receiver to say that nothing happened, unless that is not certain.
#[derive(Debug)]
pub(crate) struct ReplyTo {
    /// Until it is answered.
    sender: Option<oneshot::Sender<Result<Answer, Error>>>,
    room: Held,
    /// Of a kind of which there may be so many.
    part: Held,
    /// Of a command that opens an agent's session.
    opening: Option<Opening>,
    happened: Happened,
}

/// Room that something takes until this is dropped; none for what takes none.
pub(crate) type Held = Option<OwnedSemaphorePermit>;

/// Room in the queue.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    commands: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    topic_changes: Arc<Semaphore>,
    id_blocks: Arc<Semaphore>,
}

impl From<oneshot::Sender<Result<Answer, Error>>> for ReplyTo {
    fn from(sender: oneshot::Sender<Result<Answer, Error>>) -> Self {
        Self {
            sender: Some(sender),
            room: None,
            part: None,
            opening: None,
            happened: Happened::No,
        }
    }
}

impl ReplyTo {
    /// What was asked for is sent to where it is done: it may happen from now on.
    pub(crate) fn begin(&mut self) {
        self.happened = Happened::Unknown;
    }

    /// Whether it may have happened.
    pub(crate) fn happened(&self) -> Happened {
        self.happened
    }

    /// With what counts the session that the command opens.
    pub(crate) fn opening(mut self, opening: Opening) -> Self {
        self.opening = Some(opening);
        self
    }

    pub(crate) fn send(mut self, answer: Result<Answer, Error>) {
        if let Ok(Answer {
            outcome: Outcome::SessionOpened(session),
            ..
        }) = &answer
            && let Some(opening) = self.opening.take()
        {
            opening.opened(*session);
        }
        if let Some(sender) = self.sender.take() {
            // Whoever asked may have gone; what was decided stays.
            let _ = sender.send(answer);
        }
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if let (Some(sender), Happened::Unknown) = (self.sender.take(), self.happened) {
            let _ = sender.send(Err(Error::unknown(UNANSWERED)));
        }
    }
}

impl Room {
    pub(crate) fn new() -> Self {
        Self {
            commands: Arc::new(Semaphore::new(QUEUE_BYTES_MAX as usize)),
            questions: Arc::new(Semaphore::new(QUESTION_BYTES_MAX as usize)),
            topic_changes: Arc::new(Semaphore::new(PART_BYTES_MAX as usize)),
            id_blocks: Arc::new(Semaphore::new(PART_BYTES_MAX as usize)),
        }
    }

    /// What a command takes of the part that its kind has, at once, or not at all.
    pub(crate) fn try_take_part(&self, command: &Command, reply: &mut ReplyTo) -> bool {
        let part = match command {
            Command::CreateTopic(_) | Command::DeleteTopic(_) | Command::CreatePartitions(_) => {
                &self.topic_changes
            }
            Command::AllocateProducerIds { .. } => &self.id_blocks,
            _ => return true,
        };
        let wanted = units(weight(command).max(PART_BYTES_MIN)).min(PART_BYTES_MAX);
        reply.part = Arc::clone(part).try_acquire_many_owned(wanted).ok();
        reply.part.is_some()
    }

    /// At once, or not at all.
    pub(crate) fn try_take(&self, command: &Command, reply: &mut ReplyTo) -> bool {
        let taken = Arc::clone(&self.commands).try_acquire_many_owned(units(weight(command)));
        reply.room = taken.ok();
        reply.room.is_some()
    }

    /// As soon as there is some; in the order of asking. What concerns an agent's stream waits with commands, which come
    /// behind it, and not with the questions of all others.
    pub(crate) async fn take(&self, asked: &mut Asked) {
        // They are never closed.
        match asked {
            Asked::Command(Submission { command, .. }, reply) => {
                let taken = Arc::clone(&self.commands).acquire_many_owned(units(weight(command)));
                reply.room = taken.await.ok();
            }
            Asked::Read(read, held) => {
                let (room, max) = match read.is_of_a_stream() {
                    true => (&self.commands, QUEUE_BYTES_MAX),
                    false => (&self.questions, QUESTION_BYTES_MAX),
                };
                let wanted = units(read.weight().max(QUESTION_BYTES_MIN)).min(max);
                let taken = Arc::clone(room).acquire_many_owned(wanted);
                *held = taken.await.ok();
            }
            Asked::Close => {}
        }
    }

    /// Bytes that are taken.
    pub(crate) fn taken(&self) -> usize {
        QUEUE_BYTES_MAX as usize - self.commands.available_permits()
    }
}

/// About what a command takes in memory.
pub(crate) fn weight(command: &Command) -> usize {
    let bytes = match command {
        Command::CommitObject(commit) => {
            let batches = commit.blocks.iter().map(|block| block.batches.len());
            commit.blocks.len() * size_of::<CommitBlock>()
                + batches.sum::<usize>() * size_of::<CommitBatch>()
        }
        Command::CreateTopic(create) => {
            let configs = create.configs.iter();
            let configs = configs.map(|(name, value)| COMMAND_BYTES + name.len() + value.len());
            create.name.len() + configs.sum::<usize>()
        }
        Command::OpenSession { closing, .. } => size_of_val(closing.as_slice()),
        _ => 0,
    };
    COMMAND_BYTES + bytes
}

/// What is larger than all room takes it all.
fn units(weight: usize) -> u32 {
    u32::try_from(weight)
        .unwrap_or(u32::MAX)
        .min(QUEUE_BYTES_MAX)
}
