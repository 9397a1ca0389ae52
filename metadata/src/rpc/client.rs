//! The other end of an agent's [`Metadata`] handle when the sequencer is elsewhere: numbers and keeps what is asked until
//! it is answered, submits it again in order after a fail-over, and keeps catalogue and views fresh. One task.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::link::{Dial, Link};
use super::message::{Down, FRAME_BYTES_MAX, Question, Reply, Up, command_bytes, submit};
use super::route::Route;
use super::session::collision;
use crate::catalogue::Agent;
use crate::command::{Answer, Outcome, Rejected, Submission};
use crate::error::{Error, Happened};
use crate::handle::{Asked, Metadata, QUEUE_MAX, Shared};
use crate::sequencer::reads::{Hot, HotByTime, Read, Wanted};
use crate::sequencer::subscribers::{Scope, TopicsUpdate, ViewUpdate};
use crate::view::View;

/// A command that is not answered in this time is given up; whether it happened is then not known.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(20);
/// A question that is not answered in this time is refused.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(8);
/// The sequencer answers a ping every second. One from which nothing comes for so long is left.
const SILENCE_MAX: Duration = Duration::from_secs(3);
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Partitions asked for at once.
const WATCHED_AT_ONCE: usize = 1000;
/// A command or an answer past these would not fit in a frame, and break every link it is put on.
const BYTES_MAX: usize = FRAME_BYTES_MAX - 64;
const BOUNDS_MAX: usize = 256 * 1024;
/// A leaving agent waits so long for the sequencer to have heard it.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(1);

/// How an agent reaches the sequencer.
#[derive(Clone)]
pub struct Reach {
    /// Processes that hold the order, or know who does.
    pub addresses: Vec<String>,
    pub dial: Dial,
    /// Who clients are told that this agent is.
    pub agent: Option<Agent>,
    /// For pauses that differ between agents.
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Keeps a handle connected. Does nothing until [`Client::run`] is polled.
pub struct Client {
    route: Route,
    work: Work,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// A handle on the metadata at a sequencer elsewhere, and the task that keeps it connected.
#[must_use]
pub fn connect(reach: Reach) -> (Metadata, Client) {
    let shared = Arc::new(Shared::elsewhere());
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let client = Client {
        route: Route::new(reach.addresses, reach.dial, reach.random),
        work: Work {
            queue,
            shared: Arc::clone(&shared),
            session: 0,
            agent: reach.agent,
            commands: BTreeMap::new(),
            questions: BTreeMap::new(),
            last_question: 0,
            topics: TopicsUpdate::default(),
            outgoing: VecDeque::new(),
            closing: false,
        },
    };
    (Metadata::new(sender, shared), client)
}

/// A command that is not answered yet.
struct Submitted {
    sequence: u64,
    command: Bytes,
    reply: oneshot::Sender<Result<Answer, Error>>,
    deadline: Instant,
    /// Put on a link at least once: it may have happened.
    sent: bool,
}

struct Questioned {
    read: Read,
    deadline: Instant,
}

struct Work {
    queue: mpsc::Receiver<Asked>,
    shared: Arc<Shared>,
    session: u64,
    agent: Option<Agent>,
    commands: BTreeMap<u64, Submitted>,
    questions: BTreeMap<u64, Questioned>,
    last_question: u64,
    /// A change of the catalogue of which only a part has come.
    topics: TopicsUpdate,
    outgoing: VecDeque<Bytes>,
    closing: bool,
}

/// Why work on a link ends.
enum Ended {
    Closed,
    Lost(String),
    Redirected(String),
}

enum Event {
    Received(Option<Bytes>),
    Sent,
    Asked(Option<Asked>),
    Tick,
}

impl Client {
    /// Until [`Metadata::close`], or until nobody has the handle any more.
    ///
    /// # Errors
    /// When another cluster answers at the addresses given.
    pub async fn run(mut self) -> Result<(), Error> {
        loop {
            let Some(link) = self.next_link().await else {
                return Ok(());
            };
            match self.work.serve(link, &mut self.route).await? {
                Ended::Closed => return Ok(()),
                Ended::Redirected(address) => self.route.redirect(address),
                Ended::Lost(reason) => {
                    if self.work.shared.ready.swap(false, Ordering::AcqRel) {
                        tracing::warn!(reason, "lost the sequencer");
                    } else {
                        tracing::debug!(reason, "no sequencer");
                    }
                }
            }
        }
    }

    /// Nothing asked meanwhile waits for ever. `None`: asked to close.
    async fn next_link(&mut self) -> Option<Link> {
        let dialing = self.route.next_link();
        tokio::pin!(dialing);
        loop {
            if self.work.is_done() {
                return None;
            }
            tokio::select! {
                biased;
                link = &mut dialing => return Some(link),
                asked = self.work.queue.recv(), if !self.work.closing => self.work.take(asked),
                () = sleep(TICK) => self.work.expire(),
            }
        }
    }
}

impl Work {
    fn is_done(&self) -> bool {
        self.closing && self.commands.is_empty()
    }

    async fn serve(&mut self, mut link: Link, route: &mut Route) -> Result<Ended, Error> {
        self.outgoing.clear();
        let ended = match self.greet(&mut link).await? {
            Ok(()) => {
                route.arrived();
                self.catch_up();
                self.work(&mut link).await
            }
            Err(ended) => ended,
        };
        if matches!(ended, Ended::Closed) {
            self.farewell(link).await;
        }
        Ok(ended)
    }

    /// Says who it is, and hears which session it has from now on.
    async fn greet(&mut self, link: &mut Link) -> Result<Result<(), Ended>, Error> {
        let lost = |reason: &str| Ok(Err(Ended::Lost(reason.to_owned())));
        let (session, agent) = (self.session, self.agent.clone());
        let hello = Up::Hello { session, agent }.encode();
        if link.sender.try_send(hello).is_err() {
            return lost("the link takes nothing");
        }
        let Ok(Some(frame)) = timeout(SILENCE_MAX, link.receiver.recv()).await else {
            return lost("nobody answered the greeting");
        };
        let (cluster_id, session) = match Down::decode(frame) {
            Ok(Down::Welcome {
                cluster_id,
                session,
            }) => (cluster_id, session),
            Ok(Down::Redirect(address)) => return Ok(Err(Ended::Redirected(address))),
            Ok(Down::End(reason)) => return lost(&reason),
            _ => return lost("it does not speak this version of the protocol"),
        };
        let known = self.shared.cluster_id.get_or_init(|| cluster_id.clone());
        if *known != cluster_id {
            return Err(Error::Corrupt(format!(
                "the sequencer is of cluster {cluster_id}, this agent belongs to {known}"
            )));
        }
        if session != self.session {
            self.begin(session);
        }
        Ok(Ok(()))
    }

    /// A new session: of what was asked in the old one, nobody will know what became of it.
    fn begin(&mut self, session: u64) {
        tracing::info!(session, "a session with the sequencer begins");
        self.session = session;
        planted!("submitted-again-in-a-new-session", {
            self.shared.session.lock().id = session;
            return;
        });
        for (_, submitted) in std::mem::take(&mut self.commands) {
            submitted.fail("the agent's session was closed");
        }
        let mut state = self.shared.session.lock();
        state.id = session;
        state.next = 1;
    }

    /// What a new link has to hear first: views, then commands in order, then questions.
    fn catch_up(&mut self) {
        self.topics = TopicsUpdate::default();
        let watched = self.shared.views.partitions();
        planted!(let watched = "not-watched-again" => Vec::new());
        for some in watched.chunks(WATCHED_AT_ONCE) {
            self.last_question += 1;
            self.outgoing.push_back(
                Up::Ask {
                    id: self.last_question,
                    question: Question::Watch(some.to_vec()),
                }
                .encode(),
            );
        }
        let seen = self.seen();
        for submitted in self.commands.values_mut() {
            submitted.sent = true;
            self.outgoing.push_back(submitted.frame(seen));
        }
        for (id, questioned) in &self.questions {
            self.outgoing.extend(ask(*id, &questioned.read));
        }
    }

    /// Outcomes of everything below need not be kept.
    fn seen(&self) -> u64 {
        let first = self.commands.keys().next();
        first
            .copied()
            .unwrap_or_else(|| self.shared.session.lock().next)
    }

    async fn work(&mut self, link: &mut Link) -> Ended {
        let (mut heard, mut pinged) = (Instant::now(), Instant::now());
        loop {
            if self.is_done() {
                return Ended::Closed;
            }
            match self.select(link).await {
                Event::Received(Some(frame)) => {
                    heard = Instant::now();
                    if let Err(reason) = self.receive(frame) {
                        return Ended::Lost(reason);
                    }
                }
                Event::Received(None) => return Ended::Lost("the link ended".to_owned()),
                Event::Sent => {}
                Event::Asked(asked) => {
                    let before = (self.commands.len(), self.last_question);
                    self.take(asked);
                    self.send_newest(before);
                }
                Event::Tick => {
                    self.expire();
                    if heard.elapsed() >= SILENCE_MAX {
                        return Ended::Lost("the sequencer is silent".to_owned());
                    }
                }
            }
            if pinged.elapsed() >= PING_INTERVAL {
                pinged = Instant::now();
                self.outgoing.push_back(Up::Ping.encode());
            }
        }
    }

    async fn select(&mut self, link: &mut Link) -> Event {
        tokio::select! {
            biased;
            frame = link.receiver.recv() => Event::Received(frame),
            permit = link.sender.reserve(), if !self.outgoing.is_empty() => match permit {
                Ok(permit) => {
                    permit.send(self.outgoing.pop_front().unwrap_or_default());
                    Event::Sent
                }
                Err(_) => Event::Received(None),
            },
            asked = self.queue.recv(), if self.outgoing.is_empty() && !self.closing => {
                Event::Asked(asked)
            }
            () = sleep(TICK) => Event::Tick,
        }
    }

    /// Keeps what is asked; it goes out with the next link, or at once by `send_newest`.
    fn take(&mut self, asked: Option<Asked>) {
        let now = Instant::now();
        match asked {
            None | Some(Asked::Close) => self.closing = true,
            Some(Asked::Command(submission, reply)) => {
                let Submission {
                    session,
                    sequence,
                    command,
                    ..
                } = submission;
                let submitted = Submitted {
                    sequence,
                    command: command_bytes(&command),
                    reply,
                    deadline: now + COMMAND_TIME_MAX,
                    sent: false,
                };
                if session != self.session {
                    submitted.fail("the agent's session was closed");
                } else if self.commands.len() >= QUEUE_MAX {
                    submitted.fail("too many commands wait for the sequencer");
                } else if submitted.command.len() > BYTES_MAX {
                    submitted.fail("the command is too large for the sequencer");
                } else {
                    self.commands.insert(sequence, submitted);
                }
            }
            Some(Asked::Read(read)) => self.take_read(read, now + QUESTION_TIME_MAX),
        }
    }

    fn take_read(&mut self, read: Read, deadline: Instant) {
        if let Read::View { partition, .. } = &read
            && let Some(view) = self.shared.views.get(*partition)
        {
            if let Read::View { reply, .. } = read {
                let _ = reply.send(Ok(Some(view)));
            }
            return;
        }
        if let Read::Withdraw { .. } = read {
            self.agent = None;
            self.outgoing.push_back(Up::Withdraw.encode());
            return;
        }
        planted!("ends-told-unasked", {
            if let Read::Bounds { partitions, .. } = &read {
                let views = partitions.iter().map(|each| self.shared.views.get(*each));
                let known: Vec<_> = views.map(|view| view.map(|v| v.bounds())).collect();
                if known.iter().all(Option::is_some)
                    && let Read::Bounds { reply, .. } = read
                {
                    let _ = reply.send(Ok(known));
                    return;
                }
            }
        });
        if self.questions.len() >= QUEUE_MAX {
            return read.refuse(&Error::unavailable(
                "too many questions wait for the sequencer",
            ));
        }
        if let Read::Bounds { partitions, .. } = &read
            && partitions.len() > BOUNDS_MAX
        {
            return read.refuse(&Error::unavailable("too many partitions in one question"));
        }
        self.last_question += 1;
        let questioned = Questioned { read, deadline };
        self.questions.insert(self.last_question, questioned);
    }

    /// Sends what `take` has just kept.
    fn send_newest(&mut self, (commands, last_question): (usize, u64)) {
        if self.commands.len() > commands {
            let seen = self.seen();
            if let Some((_, newest)) = self.commands.iter_mut().next_back() {
                newest.sent = true;
                self.outgoing.push_back(newest.frame(seen));
            }
        } else if let Some((id, newest)) = self.questions.last_key_value()
            && *id > last_question
        {
            self.outgoing.extend(ask(*id, &newest.read));
        }
    }

    /// Gives up what waited too long.
    fn expire(&mut self) {
        let now = Instant::now();
        let old = |deadline: Instant| deadline <= now;
        let commands = self.commands.extract_if(.., |_, each| old(each.deadline));
        for (_, submitted) in commands {
            submitted.fail("the sequencer did not answer in time");
        }
        let questions = self.questions.extract_if(.., |_, each| old(each.deadline));
        for (_, questioned) in questions {
            let error = Error::unavailable("the sequencer did not answer in time");
            questioned.read.refuse(&error);
        }
    }

    fn receive(&mut self, frame: Bytes) -> Result<(), String> {
        match Down::decode(frame).map_err(|_| "a frame that cannot be read")? {
            Down::Answer {
                sequence,
                lsn,
                outcome,
            } => {
                let closed = outcome == Outcome::Rejected(Rejected::SessionClosed);
                if let Some(submitted) = self.commands.remove(&sequence) {
                    // Whoever asked may have gone.
                    let _ = submitted.reply.send(Ok(Answer { lsn, outcome }));
                }
                match closed {
                    true => Err("the session was closed".to_owned()),
                    false => Ok(()),
                }
            }
            Down::Topics { update, last } => {
                self.topics(update, last);
                Ok(())
            }
            Down::Views(views) => {
                views.into_iter().for_each(|view| self.view(view));
                Ok(())
            }
            Down::Agents(agents) => {
                self.look_for_own_id(&agents);
                *self.shared.agents.lock() = Arc::new(agents);
                Ok(())
            }
            Down::Warning(text) => {
                tracing::warn!(text, "the sequencer says");
                Ok(())
            }
            Down::Reply { id, reply } => match self.questions.remove(&id) {
                Some(questioned) => self.reply(questioned.read, reply),
                // Given up meanwhile, or a view of an earlier link.
                None => Ok(()),
            },
            Down::Pong => Ok(()),
            Down::End(reason) => Err(reason),
            Down::Redirect(_) | Down::Welcome { .. } => Err("a second welcome".to_owned()),
        }
    }

    /// Another agent that came later with the same node id has taken this one's place in the list.
    fn look_for_own_id(&self, agents: &[Arc<Agent>]) {
        let Some(own) = &self.agent else { return };
        let other = agents
            .iter()
            .find(|each| each.node_id == own.node_id && each.listeners != own.listeners);
        if let Some(other) = other {
            tracing::warn!(
                text = collision(other),
                "clients are not sent to this agent"
            );
        }
    }

    fn topics(&mut self, part: TopicsUpdate, last: bool) {
        self.topics.lsn = part.lsn;
        self.topics.scope = part.scope;
        self.topics.changed.extend(part.changed);
        self.topics.gone.extend(part.gone);
        if !last {
            return;
        }
        let update = std::mem::take(&mut self.topics);
        let catalogue = Arc::new(self.shared.catalogue.lock().with(&update));
        *self.shared.catalogue.lock() = Arc::clone(&catalogue);
        let views = &self.shared.views;
        match update.scope {
            Scope::All => views.retain(|partition| catalogue.has(partition)),
            Scope::Change => update.gone.iter().for_each(|gone| views.end_topic(*gone)),
        }
        if update.scope == Scope::All && !self.shared.ready.swap(true, Ordering::AcqRel) {
            tracing::info!(lsn = update.lsn.0, "connected to the sequencer");
            self.shared.joined.send_replace(true);
        }
    }

    fn view(&mut self, update: ViewUpdate) {
        let ViewUpdate {
            partition,
            scope,
            bounds,
            extents,
        } = update;
        let views = &self.shared.views;
        planted!("view-kept-on-a-new-link", {
            if scope == Scope::All && views.get(partition).is_some() {
                return;
            }
        });
        if scope == Scope::All && views.get(partition).is_none() {
            let dropped = views.make_room();
            for some in dropped.chunks(WATCHED_AT_ONCE) {
                self.outgoing.push_back(Up::Unwatch(some.to_vec()).encode());
            }
            views.insert(partition, View::new(bounds, &extents.into()));
        } else {
            views.append(partition, bounds, extents.into_iter());
        }
    }

    fn reply(&self, read: Read, reply: Reply) -> Result<(), String> {
        if let Reply::Failed(reason) = reply {
            read.refuse(&Error::Corrupt(reason));
            return Ok(());
        }
        // Whoever asked may have gone.
        match (read, reply) {
            (Read::Bounds { partitions, reply }, Reply::Bounds(bounds))
                if bounds.len() == partitions.len() =>
            {
                let _ = reply.send(Ok(bounds));
            }
            (Read::View { partition, reply }, Reply::Watched(_)) => {
                let _ = reply.send(Ok(self.shared.views.get(partition)));
            }
            (Read::Locate { reply, .. }, Reply::Located(located)) => {
                let _ = reply.send(Ok(Hot::Found(located)));
            }
            (Read::ByTime { reply, .. }, Reply::Extent(extent)) => {
                let _ = reply.send(Ok(extent.map(HotByTime::found)));
            }
            (read, _) => {
                read.refuse(&Error::unavailable("another answer than was asked for"));
                return Err("another answer than was asked for".to_owned());
            }
        }
        Ok(())
    }

    /// Lets the sequencer close the session now, and nothing wait for it.
    async fn farewell(&mut self, mut link: Link) {
        let goodbye = async {
            while let Some(frame) = self.outgoing.pop_front() {
                link.sender.send(frame).await.ok()?;
            }
            link.sender.send(Up::Goodbye.encode()).await.ok()?;
            while link.receiver.recv().await.is_some() {}
            Some(())
        };
        // It would find out by itself.
        let _ = timeout(FAREWELL_TIME_MAX, goodbye).await;
    }
}

impl Submitted {
    fn frame(&self, seen: u64) -> Bytes {
        submit(self.sequence, seen, &self.command)
    }

    fn fail(self, reason: &str) {
        let happened = match self.sent {
            true => Happened::Unknown,
            false => Happened::No,
        };
        let reason = reason.to_owned();
        let _ = self
            .reply
            .send(Err(Error::Unavailable { happened, reason }));
    }
}

/// A question as a frame; none for what is only asked inside a sequencer's process.
fn ask(id: u64, read: &Read) -> Option<Bytes> {
    let question = match read {
        Read::Bounds { partitions, .. } => Question::Bounds(partitions.clone()),
        Read::View { partition, .. } => Question::Watch(vec![*partition]),
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
            Wanted::AtOrAfter(timestamp) => Question::Timestamp(*partition, *timestamp),
            Wanted::Largest => Question::MaxTimestamp(*partition),
        },
        Read::Attach { .. } | Read::Watch { .. } | Read::Withdraw { .. } | Read::Unwatch { .. } => {
            return None;
        }
    };
    Some(Up::Ask { id, question }.encode())
}
