//! What goes over a link, in both directions, until it ends: one loop, of whose events each is taken in without waiting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::TICK;
use super::answers::Answers;
use super::commands::Commands;
use super::questions::Questions;
use crate::catalogue::{Agent, TopicsUpdate};
use crate::error::Error;
use crate::handle::Shared;
use crate::queue::Asked;
use crate::rpc::link::Link;
use crate::rpc::message::{Up, Versions, Welcome, spoken};
use crate::said::Said;
use crate::sequencer::lineage::leave_word_of_agent;
use crate::sequencer::reads::Read;
use crate::types::{SessionId, TopicPartition};
use crate::view::View;
use crate::views::{VIEW_IDLE, VIEWS_MAX};
use crate::witness::Witness;

/// The sequencer says twice a second that it lives, whatever it is busy with. One from which nothing comes for so long is
/// left: about when other candidates take it for gone, so that whoever takes over is found as soon as it can answer.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// It hears as often that this agent lives.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// A leaving agent waits so long for the sequencer to have heard it.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(1);

/// What was logged of readers who were refused a view: so many lines a minute.
static REFUSED: Said<()> = Said::seldom(16);

pub(super) struct Work {
    pub(super) queue: mpsc::Receiver<Asked>,
    pub(super) shared: Arc<Shared>,
    pub(super) versions: Versions,
    pub(super) session: SessionId,
    pub(super) agent: Option<Agent>,
    witness: Option<Witness>,
    withdrawn: bool,
    pub(super) commands: Commands,
    pub(super) questions: Questions,
    pub(super) answers: Answers,
    /// A change of the catalogue of which only a part has come.
    pub(super) topics: TopicsUpdate,
    /// Frames for the link there is.
    pub(super) outgoing: VecDeque<Bytes>,
    linked: bool,
    pub(super) closing: bool,
    /// When deadlines are looked at next, however much happens until then.
    pub(super) tick_at: Instant,
    /// When it is looked next which views are idle.
    pub(super) idle_at: Instant,
}

/// Why work on a link ends.
pub(super) enum Ended {
    Closed,
    Lost(String),
    /// Lost, for nothing was heard.
    Silent,
}

enum Event {
    Received(Option<Bytes>),
    Sent,
    Asked(Option<Asked>),
    Tick,
}

impl Work {
    pub(super) fn new(
        queue: mpsc::Receiver<Asked>,
        shared: Arc<Shared>,
        agent: Option<Agent>,
        witness: Option<Witness>,
    ) -> Self {
        Self {
            queue,
            shared,
            versions: spoken(),
            session: SessionId::NONE,
            agent,
            witness,
            withdrawn: false,
            commands: Commands::default(),
            questions: Questions::default(),
            answers: Answers::begin(),
            topics: TopicsUpdate::default(),
            outgoing: VecDeque::new(),
            linked: false,
            closing: false,
            tick_at: Instant::now() + TICK,
            idle_at: Instant::now() + VIEW_IDLE,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.closing && self.commands.is_empty()
    }

    pub(super) async fn serve(&mut self, mut link: Link, welcome: Welcome) -> Result<Ended, Error> {
        let (cluster_id, store) = (welcome.cluster_id.clone(), welcome.lineage.clone());
        match self.greeted(welcome) {
            Ok(()) => {}
            Err(Ok(reason)) => return Ok(Ended::Lost(reason)),
            Err(Err(error)) => {
                if let Error::WentBack(_) = &error {
                    let (witness, point) = (self.witness.as_ref(), self.shared.point());
                    leave_word_of_agent(witness, &cluster_id, point, &store).await;
                }
                return Err(error);
            }
        }
        self.catch_up();
        self.answered();
        self.linked = true;
        let ended = self.work(&mut link).await;
        self.linked = false;
        if matches!(ended, Ended::Closed) {
            self.farewell(link).await;
        }
        Ok(ended)
    }

    /// What a new link has to hear first: views, then commands in order, then questions.
    fn catch_up(&mut self) {
        self.outgoing.clear();
        self.topics = TopicsUpdate::default();
        if self.withdrawn {
            // Perhaps while the greeting was under way.
            self.outgoing.push_back(Up::Withdraw.encode());
        }
        let watched = self.shared.views.partitions();
        planted!(let watched = "not-watched-again" => Vec::new());
        self.outgoing.extend(self.questions.watch_again(&watched));
        let seen = self.seen();
        self.outgoing.extend(self.commands.all(seen));
        self.outgoing.extend(self.questions.all());
    }

    /// Outcomes of everything below need not be kept.
    fn seen(&self) -> u64 {
        let next = || self.shared.session.lock().next;
        self.commands.first().unwrap_or_else(next)
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
                Event::Asked(asked) => self.take(asked),
                Event::Tick => {}
            }
            self.tick();
            if heard.elapsed() >= SILENCE_MAX {
                return Ended::Silent;
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
            () = sleep_until(self.tick_at) => Event::Tick,
        }
    }

    /// Keeps what is asked; what is kept goes out at once on a link, else with the next one.
    pub(super) fn take(&mut self, asked: Option<Asked>) {
        match asked {
            None | Some(Asked::Close) => self.closing = true,
            Some(Asked::Command(submission, reply)) => {
                let kept = self.commands.take(self.session.id, submission, reply);
                if kept && self.linked {
                    let seen = self.seen();
                    self.outgoing.extend(self.commands.newest(seen));
                }
            }
            Some(Asked::Read(read, _)) => {
                if read.is_wanted()
                    && let Some(frame) = self.take_read(read)
                    && self.linked
                {
                    self.outgoing.push_back(frame);
                }
            }
        }
    }

    /// The views of all of these, if they are here.
    fn here(&self, partitions: &[TopicPartition]) -> Option<Vec<Arc<View>>> {
        let views = partitions.iter();
        views.map(|each| self.shared.views.get(*each)).collect()
    }

    /// What has to be said for it.
    fn take_read(&mut self, read: Read) -> Option<Bytes> {
        if let Read::Views { partitions, .. } = &read
            && let Some(views) = self.here(partitions)
        {
            if let Read::Views { reply, .. } = read {
                let views = views.into_iter().map(|view| Ok(Some(view)));
                let _ = reply.send(Ok(views.collect()));
            }
            return None;
        }
        if let Read::Views { .. } = &read
            && self.linked
        {
            self.make_room();
            if self.shared.views.are_full() {
                // The sequencer would cut one off that watches without end.
                let refusal = "this agent reads as many partitions as it can at once";
                if let Some(unsaid) = REFUSED.admit(()) {
                    tracing::warn!(
                        views = VIEWS_MAX,
                        unsaid,
                        "{refusal}: readers of others wait"
                    );
                }
                read.refuse(&Error::unavailable(refusal));
                return None;
            }
        }
        if let Read::Withdraw { .. } = read {
            self.agent = None;
            self.withdrawn = true;
            return Some(Up::Withdraw.encode());
        }
        planted!("ends-told-unasked", {
            if let Read::Bounds { partitions, .. } = &read {
                let views = partitions.iter().map(|each| self.shared.views.get(*each));
                let known: Vec<_> = views.map(|view| view.map(|v| v.bounds())).collect();
                if known.iter().all(Option::is_some)
                    && let Read::Bounds { reply, .. } = read
                {
                    let _ = reply.send(Ok(known));
                    return None;
                }
            }
        });
        self.questions.take(read)
    }

    /// Gives up what waited too long, if it is time to look. To be called after whatever happens: an agent that is busy
    /// never waits as long as a tick.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.tick_at {
            self.tick_at = now + TICK;
            self.commands.expire();
            self.questions.expire(self.linked);
            if self.linked {
                self.let_idle_go(now);
                self.look_for_answers();
            }
        }
    }

    /// Asks something if nobody does, and says whether anything is answered.
    fn look_for_answers(&mut self) {
        let waiting = !self.commands.is_empty() || !self.questions.is_empty();
        if self.answers.look(waiting) {
            self.outgoing.extend(self.questions.ask_for_life());
        }
        let missing = self.answers.are_missing();
        if missing && self.shared.answers.swap(false, Ordering::AcqRel) {
            tracing::warn!(
                "the sequencer lives and answers nothing: its metadata store may not answer"
            );
        }
    }

    /// The sequencer answered something, or is a new one.
    pub(super) fn answered(&mut self) {
        self.answers.heard();
        if !self.shared.answers.swap(true, Ordering::AcqRel) {
            tracing::info!("the sequencer answers again");
        }
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
