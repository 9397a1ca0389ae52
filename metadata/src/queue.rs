//! What waits for a sequencer, or for a link to one: bounded in number by the channel, and in bytes by room that each
//! command takes until it is answered.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::command::{Answer, Command, CommitBatch, CommitBlock, Submission};
use crate::error::{Error, Happened};
use crate::sequencer::reads::Read;

/// Commands and reads that may wait for a drain, all agents together.
pub(crate) const QUEUE_MAX: usize = 16 * 1024;
/// Bytes of commands that are not answered yet, all agents together. A command that is larger goes alone.
const QUEUE_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// Of a command, whatever is in it.
const COMMAND_BYTES: usize = 256;

/// What the sequencer is asked.
#[derive(Debug)]
pub(crate) enum Asked {
    Command(Submission, ReplyTo),
    Read(Read),
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
    room: Option<OwnedSemaphorePermit>,
    happened: Happened,
}

/// Room in the queue.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Semaphore>);

impl From<oneshot::Sender<Result<Answer, Error>>> for ReplyTo {
    fn from(sender: oneshot::Sender<Result<Answer, Error>>) -> Self {
        Self {
            sender: Some(sender),
            room: None,
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

    pub(crate) fn send(mut self, answer: Result<Answer, Error>) {
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
        Self(Arc::new(Semaphore::new(QUEUE_BYTES_MAX as usize)))
    }

    /// At once, or not at all.
    pub(crate) fn try_take(&self, command: &Command, reply: &mut ReplyTo) -> bool {
        let taken = Arc::clone(&self.0).try_acquire_many_owned(weight(command));
        reply.room = taken.ok();
        reply.room.is_some()
    }

    /// As soon as there is some; in the order of asking.
    pub(crate) async fn take(&self, command: &Command, reply: &mut ReplyTo) {
        // It is never closed.
        let taken = Arc::clone(&self.0).acquire_many_owned(weight(command));
        reply.room = taken.await.ok();
    }

    /// Bytes that are taken.
    pub(crate) fn taken(&self) -> usize {
        QUEUE_BYTES_MAX as usize - self.0.available_permits()
    }
}

/// About what a command takes in memory.
fn weight(command: &Command) -> u32 {
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
    u32::try_from(COMMAND_BYTES + bytes)
        .unwrap_or(u32::MAX)
        .min(QUEUE_BYTES_MAX)
}
