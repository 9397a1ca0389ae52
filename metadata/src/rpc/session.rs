//! One agent at the sequencer's process: its commands go into the queue in order, its questions are answered as they can
//! be, and what became durable is told before any answer that came after it. Whatever goes wrong ends the link: the agent
//! comes back and submits again what is unanswered. One task each, started by `server`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::link::Link;
use super::message::{
    Down, FRAME_BYTES, Hello, Question, Reply, Up, Versions, Welcome, no_common_version,
};
use super::topics::Frames;
use crate::catalogue::Agent;
use crate::command::{Answer, Command, Outcome, Submission};
use crate::error::Error;
use crate::handle::{Asked, Metadata};
use crate::history::Holds;
use crate::level::WRITER_LEVEL;
use crate::sequencer::lineage::Lineage;
use crate::sequencer::reads::Read;
use crate::sequencer::subscribers::{Updates, Waiting, feed};
use crate::sequencer::{Heard, Role, Status};
use crate::types::{Located, Lsn, SessionId};
use crate::update::Update;

/// The first frame must come in this time, and must be answered in it.
const HELLO_TIME_MAX: Duration = Duration::from_secs(5);
/// An agent says something every second; one that does not, or takes nothing, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Commands of one agent in the queue; it has to wait with more.
const COMMANDS_MAX: usize = 1024;
/// Questions of one agent being answered.
const QUESTIONS_MAX: usize = 256;
/// Frames for an agent that is slow to take them; then nothing more is made for it.
const OUTGOING_MAX: usize = 64;
/// Frames of the catalogue that wait to be taken; the others are made when these are gone.
const CATALOGUE_FRAMES_MAX: usize = 2;
/// Extents in one answer; the agent asks again from behind them.
const LOCATED_MAX: usize = 16 * 1024;

/// Serves one agent to the end of its link.
pub(super) async fn serve(mut link: Link, status: Status, ours: Versions) {
    let Ok(Some(frame)) = timeout(HELLO_TIME_MAX, link.receiver.recv()).await else {
        return;
    };
    let greeting = Up::decode_as(ours, frame);
    match greeting {
        Ok(Up::Who) => {
            let nonce = status.nonce();
            return say(&link, Down::Iam { nonce }).await;
        }
        Ok(Up::Hello(_) | Up::Stranger(_)) => {}
        _ => return tracing::info!("closed a link that does not speak the protocol"),
    }
    let metadata = match status.role() {
        Role::Holding(metadata) if metadata.ready() => metadata,
        Role::Holding(_) => return say(&link, Down::Redirect(String::new())).await,
        // Also those who do not speak this process's versions: the other one may speak theirs.
        Role::Waiting { holder } => return say(&link, Down::Redirect(holder)).await,
    };
    let hello = match greeting {
        Ok(Up::Hello(hello)) => hello,
        Ok(Up::Stranger(theirs)) => {
            let reason = no_common_version(ours, theirs);
            tracing::warn!(reason, "turned an agent away");
            return say(&link, Down::End(reason)).await;
        }
        _ => return,
    };
    let Some(version) = ours.common(hello.versions) else {
        return;
    };
    let begun = Session::begin(link, metadata, hello, version, &status);
    match timeout(HELLO_TIME_MAX, begun).await {
        Ok(Ok(Some(session))) => session.run().await,
        Ok(Ok(None)) => {}
        Ok(Err(error)) => tracing::info!(%error, "an agent's session could not begin"),
        Err(_) => tracing::info!("an agent's session took too long to begin"),
    }
}

async fn say(link: &Link, down: Down) {
    let sent = link.sender.send(down.encode());
    // Gone already, or too slow to hear it.
    let _ = timeout(HELLO_TIME_MAX, sent).await;
}

type Pending = (u64, oneshot::Receiver<Result<Answer, Error>>);

/// Why a session's loop ends.
type End = String;

struct Session {
    link: Link,
    metadata: Metadata,
    id: u64,
    subscriber: u64,
    /// All topics, which go out before anything else.
    catalogue: Option<Frames>,
    updates: Updates,
    heard: Arc<Heard>,
    /// Commands in the queue, in order.
    commands: VecDeque<Pending>,
    questions: JoinSet<(u64, Result<Reply, Error>)>,
    outgoing: VecDeque<Bytes>,
    /// When something last went through in either direction.
    moved: Instant,
}

/// What a session waits for.
enum Event {
    Update(Option<Update>),
    Command(Result<Answer, Error>),
    Question((u64, Result<Reply, Error>)),
    Sent,
    Received(Option<Bytes>),
    Silence,
    Ended,
}

impl Session {
    /// Takes up the agent's session, or opens a new one if that is closed.
    async fn begin(
        link: Link,
        metadata: Metadata,
        hello: Hello,
        version: u32,
        status: &Status,
    ) -> Result<Option<Self>, Error> {
        let heard = Arc::new(Heard::now());
        let agent = hello.agent.map(Arc::new);
        let mut session = hello.session;
        for _ in 0..2 {
            if session == SessionId::NONE {
                session = open(&metadata, status.random()).await?;
            }
            let (feed, updates) = feed();
            let heard = Arc::clone(&heard);
            let attached = metadata.read(|reply| Read::Attach {
                session,
                agent: agent.clone(),
                feed,
                heard: Arc::clone(&heard),
                reply,
            });
            let Some(attached) = attached.await? else {
                session = SessionId::NONE;
                continue;
            };
            // As of now or later: whatever it says is durable.
            let Some(lineage) = lineage(&metadata) else {
                return Ok(None);
            };
            if let Some(point) = hello.remembered
                && lineage.chain.holds(lineage.durable, &point) == Holds::No
            {
                let (agent, holder) = (point.lsn.0, lineage.durable.0);
                tracing::error!(
                    agent,
                    holder,
                    "an agent was told of what this store does not hold: the store went back in time"
                );
            }
            let welcome = Welcome {
                version,
                cluster_id: metadata.cluster_id().to_owned(),
                session,
                lineage,
                level: WRITER_LEVEL,
                naming: attached.naming,
            };
            let mut outgoing = VecDeque::from([Down::Welcome(welcome).encode()]);
            if let Some(rival) = attached.rival {
                let text = collision(&rival);
                tracing::warn!(text, "two agents collide");
                outgoing.push_back(Down::Warning(text).encode());
            }
            return Ok(Some(Self {
                link,
                metadata,
                id: session.id,
                subscriber: attached.subscriber,
                catalogue: Some(Frames::all(attached.catalogue)),
                updates,
                heard,
                commands: VecDeque::new(),
                questions: JoinSet::new(),
                outgoing,
                moved: Instant::now(),
            }));
        }
        Ok(None)
    }

    async fn run(mut self) {
        tracing::debug!(session = self.id, "an agent's stream begins");
        let reason = loop {
            let event = self.select().await;
            if let Err(reason) = self.apply(event).await {
                break reason;
            }
        };
        tracing::debug!(session = self.id, reason, "an agent's stream ends");
        say(&self.link, Down::End(reason)).await;
    }

    async fn select(&mut self) -> Event {
        if self.outgoing.len() < CATALOGUE_FRAMES_MAX {
            let next = self.catalogue.as_mut().and_then(Frames::next);
            match next {
                Some(frame) => self.push(&frame),
                None => self.catalogue = None,
            }
        }
        let room = self.outgoing.len() < OUTGOING_MAX && self.catalogue.is_none();
        let may_ask = self.commands.len() < COMMANDS_MAX && self.questions.len() < QUESTIONS_MAX;
        tokio::select! {
            biased;
            () = self.metadata.ended() => Event::Ended,
            permit = self.link.sender.reserve(), if !self.outgoing.is_empty() => match permit {
                Ok(permit) => {
                    permit.send(self.outgoing.pop_front().unwrap_or_default());
                    Event::Sent
                }
                Err(_) => Event::Received(None),
            },
            answer = front(&mut self.commands), if room && !self.commands.is_empty() => {
                Event::Command(answer)
            }
            Some(done) = self.questions.join_next(), if room => match done {
                Ok(done) => Event::Question(done),
                Err(_) => Event::Ended,
            },
            update = self.updates.next(), if room => Event::Update(update),
            frame = self.link.receiver.recv(), if room && may_ask => Event::Received(frame),
            () = sleep_until(self.moved + SILENCE_MAX) => Event::Silence,
        }
    }

    async fn apply(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Update(Some(update)) => self.tell(update),
            Event::Update(None) => return Err("the stream is cut off: begin afresh".into()),
            Event::Command(answer) => {
                let sequence = self
                    .commands
                    .pop_front()
                    .map_or(0, |(sequence, _)| sequence);
                // The agent submits it again elsewhere or later: only then it is known what became of it.
                let Answer { lsn, outcome } = answer.map_err(|error| error.to_string())?;
                planted!("answer-overtakes-view", {
                    self.push(&Down::Answer {
                        sequence,
                        lsn,
                        outcome,
                    });
                    return Ok(());
                });
                self.catch_up()?;
                self.push(&Down::Answer {
                    sequence,
                    lsn,
                    outcome,
                });
            }
            Event::Question((id, reply)) => {
                let reply = match reply {
                    Ok(reply) => reply,
                    Err(Error::Corrupt(reason) | Error::Damaged(reason)) => Reply::Failed(reason),
                    Err(error) => return Err(error.to_string()),
                };
                self.catch_up()?;
                self.push(&Down::Reply { id, reply });
            }
            Event::Sent => self.moved = Instant::now(),
            Event::Received(Some(frame)) => {
                self.moved = Instant::now();
                self.heard.again();
                let up = Up::decode(frame).map_err(|_| "a frame that cannot be read")?;
                self.receive(up).await?;
            }
            Event::Received(None) => return Err("the agent ended it".into()),
            Event::Silence => return Err("the agent is silent".into()),
            Event::Ended => return Err("another process holds the order".into()),
        }
        Ok(())
    }

    async fn receive(&mut self, up: Up) -> Result<(), End> {
        match up {
            Up::Submit {
                sequence,
                seen,
                command,
            } => {
                let (reply, answer) = oneshot::channel();
                let submission = Submission {
                    session: self.id,
                    sequence,
                    seen,
                    command,
                };
                self.put(Asked::Command(submission, reply)).await?;
                self.commands.push_back((sequence, answer));
            }
            Up::Ask { id, question } => self.ask(id, question).await?,
            Up::Unwatch(partitions) => {
                let subscriber = self.subscriber;
                let read = Read::Unwatch {
                    subscriber,
                    partitions,
                };
                self.put(Asked::Read(read)).await?;
            }
            Up::Withdraw => {
                let subscriber = self.subscriber;
                self.put(Asked::Read(Read::Withdraw { subscriber })).await?;
            }
            Up::Ping => {
                let durable = lineage(&self.metadata).map_or(Lsn(0), |lineage| lineage.durable);
                self.push(&Down::Pong { durable });
            }
            Up::Goodbye => {
                let (reply, closed) = oneshot::channel();
                let submission = Submission::own(Command::CloseSession(self.id));
                self.put(Asked::Command(submission, reply)).await?;
                // Otherwise it is closed when its time is over.
                let _ = timeout(HELLO_TIME_MAX, closed).await;
                return Err("the agent leaves".into());
            }
            Up::Hello(_) | Up::Stranger(_) | Up::Who => return Err("a second greeting".into()),
        }
        Ok(())
    }

    async fn put(&self, asked: Asked) -> Result<(), End> {
        self.metadata
            .put(asked)
            .await
            .map_err(|error| error.to_string())
    }

    async fn ask(&mut self, id: u64, question: Question) -> Result<(), End> {
        if let Question::Watch(partitions) = question {
            // Into the queue before what the agent says next, so that no answer overtakes the view.
            let (reply, found) = oneshot::channel();
            let subscriber = self.subscriber;
            let read = Read::Watch {
                subscriber,
                partitions,
                reply,
            };
            self.put(Asked::Read(read)).await?;
            self.questions.spawn(async move {
                let found = found.await.unwrap_or(Err(Error::Closing));
                (id, found.map(Reply::Watched))
            });
            return Ok(());
        }
        let metadata = self.metadata.clone();
        self.questions
            .spawn(async move { (id, answer(&metadata, question).await) });
        Ok(())
    }

    /// Whatever was published before an answer goes out before it.
    fn catch_up(&mut self) -> Result<(), End> {
        loop {
            match self.updates.waiting() {
                Waiting::Update(update) => self.tell(update),
                Waiting::Nothing => return Ok(()),
                Waiting::CutOff => return Err("the stream is cut off: begin afresh".into()),
            }
        }
    }

    fn tell(&mut self, update: Update) {
        match update {
            Update::Topics(topics) => {
                let mut frames = Frames::change(topics);
                while let Some(frame) = frames.next() {
                    self.push(&frame);
                }
            }
            Update::Views(views) => {
                let mut part = Vec::new();
                let mut bytes = 0;
                for view in views {
                    bytes += 64 + view.extents.len() * EXTENT_BYTES;
                    part.push(view);
                    if bytes >= FRAME_BYTES {
                        bytes = 0;
                        self.push(&Down::Update(Update::Views(std::mem::take(&mut part))));
                    }
                }
                if !part.is_empty() {
                    self.push(&Down::Update(Update::Views(part)));
                }
            }
            small => self.push(&Down::Update(small)),
        }
    }

    fn push(&mut self, down: &Down) {
        self.outgoing.push_back(down.encode());
    }
}

/// What the holder in this process knows of the store.
fn lineage(metadata: &Metadata) -> Option<Lineage> {
    let known = metadata.shared().lineage.get()?;
    Some(known.lock().clone())
}

/// What to do about an agent that has the same node id.
pub(super) fn collision(rival: &Agent) -> String {
    let Agent {
        node_id, listeners, ..
    } = rival;
    let at = listeners.first();
    let at = at.map_or_else(String::new, |at| format!("{}:{}", at.host, at.port));
    format!(
        "another agent, which clients are told to reach at {at}, has node id {node_id} as well, and clients see only the one that came later: give each its own --node-id"
    )
}

/// About what an extent takes in a frame.
const EXTENT_BYTES: usize = 50;

async fn open(metadata: &Metadata, nonce: u64) -> Result<SessionId, Error> {
    let (reply, opened) = oneshot::channel();
    let closing = Vec::new();
    let submission = Submission::own(Command::OpenSession { closing, nonce });
    metadata.put(Asked::Command(submission, reply)).await?;
    match opened.await.unwrap_or(Err(Error::Closing))?.outcome {
        Outcome::SessionOpened(id) => Ok(SessionId { id, nonce }),
        outcome => Err(Error::unavailable(format!("a session answers {outcome:?}"))),
    }
}

/// The oldest command's answer.
async fn front(commands: &mut VecDeque<Pending>) -> Result<Answer, Error> {
    match commands.front_mut() {
        Some((_, answer)) => answer.await.unwrap_or(Err(Error::Closing)),
        None => std::future::pending().await,
    }
}

async fn answer(metadata: &Metadata, question: Question) -> Result<Reply, Error> {
    Ok(match question {
        Question::Bounds(partitions) => Reply::Bounds(metadata.bounds(partitions).await?),
        Question::Watch(_) => Reply::Watched(Vec::new()),
        Question::Locate {
            partition,
            offset,
            raw_bytes_max,
        } => {
            let mut located = metadata.locate(partition, offset, raw_bytes_max).await?;
            if let Located::Extents { extents, .. } = &mut located {
                extents.truncate(LOCATED_MAX);
            }
            Reply::Located(located)
        }
        Question::Timestamp(partition, timestamp) => {
            Reply::Extent(metadata.locate_timestamp(partition, timestamp).await?)
        }
        Question::MaxTimestamp(partition) => {
            Reply::Extent(metadata.locate_max_timestamp(partition).await?)
        }
    })
}
