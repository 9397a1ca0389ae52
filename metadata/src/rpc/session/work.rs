//! A session's loop: what it waits for, and what it does with it. Nothing that the queue or the store make it wait for keeps
//! it from saying that it lives.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::outgoing::Outgoing;
use super::{lineage, say};
use crate::command::Answer;
use crate::error::Error;
use crate::handle::Metadata;
use crate::history::Chain;
use crate::rpc::budget::OVER;
use crate::rpc::link::Link;
use crate::rpc::message::{Down, Reply, Up};
use crate::rpc::topics::Frames;
use crate::sequencer::Heard;
use crate::sequencer::feed::{Updates, Waiting};
use crate::sequencer::reads::Attached;
use crate::types::Lsn;
use crate::update::Update;

/// An agent says something every second; one that does not, or takes nothing, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// An agent leaves a process from which it hears nothing for 2 s.
const BEAT_INTERVAL: Duration = Duration::from_millis(500);
/// Commands and questions of one agent that are not answered, and what they weigh; it has to wait with more.
const COMMANDS_MAX: usize = 1024;
const QUESTIONS_MAX: usize = 256;
const ASKED_BYTES_MAX: usize = 32 * 1024 * 1024;
const LEFT: &str = "the agent goes on with another stream";
const CUT_OFF: &str = "the stream is cut off: begin afresh";

pub(super) struct Pending {
    pub(super) sequence: u64,
    /// That it weighs, or its frame has.
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Receiver<Result<Answer, Error>>,
}

pub(super) struct Answered {
    pub(super) id: u64,
    /// That the question weighs, or its frame has.
    pub(super) bytes: usize,
    pub(super) reply: Result<Reply, Error>,
}

type Putting = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Why a session's loop ends.
pub(super) type End = String;

pub(super) struct Session {
    link: Link,
    pub(super) metadata: Metadata,
    pub(super) id: u64,
    pub(super) subscriber: u64,
    /// Of the welcome. The agent takes whatever it is told for the work of these owners.
    chain: Arc<Chain>,
    /// All topics, which go out before anything else.
    catalogue: Option<Frames>,
    updates: Updates,
    heard: Arc<Heard>,
    /// The number of the last command: agents number them, and ask each once on a link.
    pub(super) asked_last: u64,
    /// Commands in the queue, in order.
    pub(super) commands: VecDeque<Pending>,
    pub(super) questions: JoinSet<Answered>,
    /// Of all that is not answered.
    pub(super) asked_bytes: usize,
    /// What it took when all links of the process were last told.
    counted: usize,
    /// What waits for room in the queue. Nothing more is read meanwhile.
    pub(super) putting: Option<Putting>,
    pub(super) outgoing: Outgoing,
    beat: Instant,
    /// Whether the agent is listened to; not while it must wait.
    listening: bool,
    /// When something last came, or went while nothing could come.
    moved: Instant,
}

/// What a session waits for.
enum Event {
    Update(Option<Update>),
    Command(Result<Answer, Error>),
    Question(Answered),
    Put(Result<(), Error>),
    Sent,
    Received(Option<Bytes>),
    Beat,
    Silence,
    Ended,
}

impl Session {
    pub(super) fn new(
        link: Link,
        metadata: Metadata,
        id: u64,
        chain: Arc<Chain>,
        attached: Attached,
        updates: Updates,
    ) -> Self {
        let now = Instant::now();
        Self {
            link,
            metadata,
            id,
            subscriber: attached.subscriber,
            chain,
            catalogue: Some(Frames::all(attached.catalogue)),
            updates,
            heard: attached.heard,
            asked_last: 0,
            commands: VecDeque::new(),
            questions: JoinSet::new(),
            asked_bytes: 0,
            counted: 0,
            putting: None,
            outgoing: Outgoing::default(),
            beat: now + BEAT_INTERVAL,
            listening: true,
            moved: now,
        }
    }

    pub(super) async fn run(mut self) {
        tracing::debug!(session = self.id, "an agent's stream begins");
        let reason = loop {
            let event = self.select().await;
            let applied = self.apply(event).await;
            if let Err(reason) = applied.and_then(|()| self.count()) {
                break reason;
            }
        };
        tracing::debug!(session = self.id, reason, "an agent's stream ends");
        let link = self.give_up();
        say(&link, Down::End(reason)).await;
    }

    /// What it takes counts among what all links take; an error if that is too much.
    fn count(&mut self) -> Result<(), End> {
        let Some(part) = &self.link.part else {
            return Ok(());
        };
        let takes = self.asked_bytes + self.outgoing.bytes() + self.updates.bytes();
        part.add(takes);
        part.sub(std::mem::replace(&mut self.counted, takes));
        match part.is_over() {
            true => Err(OVER.into()),
            false => Ok(()),
        }
    }

    /// All but the link: a peer may take a while to hear the last word.
    fn give_up(self) -> Link {
        if let Some(part) = &self.link.part {
            part.sub(self.counted);
        }
        self.link
    }

    async fn select(&mut self) -> Event {
        if self.outgoing.has_room_for_the_catalogue() {
            let next = self.catalogue.as_mut().and_then(Frames::next);
            match next {
                Some(frame) => self.outgoing.push(&frame),
                None => self.catalogue = None,
            }
        }
        let room = self.outgoing.has_room() && self.catalogue.is_none();
        self.listening = room
            && self.putting.is_none()
            && self.commands.len() < COMMANDS_MAX
            && self.questions.len() < QUESTIONS_MAX
            && self.asked_bytes < ASKED_BYTES_MAX;
        tokio::select! {
            biased;
            () = self.metadata.ended() => Event::Ended,
            permit = self.link.sender.reserve(), if !self.outgoing.is_empty() => match permit {
                Ok(permit) => {
                    permit.send(self.outgoing.pop());
                    Event::Sent
                }
                Err(_) => Event::Received(None),
            },
            () = sleep_until(self.beat), if self.outgoing.is_empty() => Event::Beat,
            put = room_in_the_queue(&mut self.putting), if self.putting.is_some() => Event::Put(put),
            answer = front(&mut self.commands), if room && !self.commands.is_empty() => {
                Event::Command(answer)
            }
            Some(done) = self.questions.join_next(), if room => match done {
                Ok(done) => Event::Question(done),
                Err(_) => Event::Ended,
            },
            update = self.updates.next(), if room => Event::Update(update),
            frame = self.link.receiver.recv(), if self.listening => Event::Received(frame),
            () = sleep_until(self.moved + SILENCE_MAX) => Event::Silence,
        }
    }

    async fn apply(&mut self, event: Event) -> Result<(), End> {
        if self.heard.has_left(self.subscriber) {
            return Err(LEFT.into());
        }
        match event {
            Event::Update(Some(update)) => self.outgoing.tell(update),
            Event::Update(None) => return Err(CUT_OFF.into()),
            Event::Command(answer) => self.answer(answer)?,
            Event::Question(Answered { id, bytes, reply }) => {
                self.asked_bytes -= bytes;
                let reply = match reply {
                    Ok(reply) => reply,
                    Err(Error::Corrupt(reason) | Error::Damaged(reason)) => Reply::Failed(reason),
                    Err(error) => return Err(error.to_string()),
                };
                self.catch_up()?;
                self.outgoing.push(&Down::Reply { id, reply });
            }
            Event::Put(put) => {
                self.putting = None;
                self.moved = Instant::now();
                put.map_err(|error| error.to_string())?;
            }
            // Beats go to agents, too, that say nothing any more.
            Event::Sent if self.listening => {}
            Event::Sent => {
                self.moved = Instant::now();
                // What it says lies unread.
                self.heard.again();
            }
            Event::Received(Some(frame)) => {
                self.moved = Instant::now();
                self.heard.on(self.subscriber);
                self.link.took(&frame);
                let bytes = frame.len();
                let up = Up::decode(frame).map_err(|_| "a frame that cannot be read")?;
                self.receive(up, bytes).await?;
            }
            Event::Received(None) => return Err("the agent ended it".into()),
            Event::Beat => {
                self.beat = Instant::now() + BEAT_INTERVAL;
                let durable = self.durable()?;
                self.outgoing.push(&Down::Alive { durable });
            }
            Event::Silence => return Err("the agent is silent".into()),
            Event::Ended => return Err("another process holds the order".into()),
        }
        Ok(())
    }

    /// What the agent may remember. After the store failed this process goes on as another owner: what that one writes must
    /// not be told to an agent that would remember it as its predecessor's. The stream is cut off then, which is noticed
    /// here only if there was no room for what it may still hold.
    fn durable(&self) -> Result<Lsn, End> {
        match lineage(&self.metadata) {
            Some(now) if now.chain == self.chain => Ok(now.durable),
            _ => Err(CUT_OFF.into()),
        }
    }

    /// The oldest command is answered.
    fn answer(&mut self, answer: Result<Answer, Error>) -> Result<(), End> {
        let Some(Pending {
            sequence, bytes, ..
        }) = self.commands.pop_front()
        else {
            return Ok(());
        };
        self.asked_bytes -= bytes;
        // The agent submits it again elsewhere or later: only then it is known what became of it.
        let Answer { lsn, outcome } = answer.map_err(|error| error.to_string())?;
        let answer = Down::Answer {
            sequence,
            lsn,
            outcome,
        };
        planted!("answer-overtakes-view", {
            self.outgoing.push(&answer);
            return Ok(());
        });
        self.catch_up()?;
        self.outgoing.push(&answer);
        Ok(())
    }

    /// Whatever was published before an answer goes out before it.
    fn catch_up(&mut self) -> Result<(), End> {
        loop {
            match self.updates.waiting() {
                Waiting::Update(update) => self.outgoing.tell(update),
                Waiting::Nothing => return Ok(()),
                Waiting::CutOff => return Err(CUT_OFF.into()),
            }
        }
    }
}

/// The oldest command's answer.
async fn front(commands: &mut VecDeque<Pending>) -> Result<Answer, Error> {
    match commands.front_mut() {
        Some(Pending { answer, .. }) => answer.await.unwrap_or(Err(Error::Closing)),
        None => pending().await,
    }
}

async fn room_in_the_queue(putting: &mut Option<Putting>) -> Result<(), Error> {
    match putting {
        Some(putting) => putting.await,
        None => pending().await,
    }
}
