//! What the sequencer says: answers go to those who asked, updates into what the handle shows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::time::Instant;

use super::questions::WATCHED_AT_ONCE;
use super::work::Work;
use crate::catalogue::{Agent, TopicsUpdate};
use crate::command::{Answer, Outcome, Rejected};
use crate::rpc::message::{Down, Up};
use crate::rpc::session::collision;
use crate::shown::Shown;
use crate::types::{Scope, TopicPartition};
use crate::update::{Update, ViewUpdate};
use crate::view::View;
use crate::views::VIEW_IDLE;

impl Work {
    /// An error ends the link, and says why.
    pub(super) fn receive(&mut self, frame: Bytes) -> Result<(), String> {
        match Down::decode(frame).map_err(|_| "a frame that cannot be read")? {
            Down::Answer {
                sequence,
                lsn,
                outcome,
            } => {
                let closed = outcome == Outcome::Rejected(Rejected::SessionClosed);
                self.hear(lsn);
                self.answered();
                self.commands.answer(sequence, Answer { lsn, outcome });
                match closed {
                    true => Err("the session was closed".to_owned()),
                    false => Ok(()),
                }
            }
            Down::Update(update) => {
                self.update(update);
                Ok(())
            }
            Down::Warning(text) => {
                tracing::warn!(text = %Shown::sentence(text), "the sequencer says");
                Ok(())
            }
            Down::Reply { id, reply } => {
                self.answered();
                self.questions.answer(id, reply, &self.shared.views)
            }
            Down::Alive { durable } => {
                self.hear(durable);
                Ok(())
            }
            Down::End(reason) => Err(Shown::sentence(reason).to_string()),
            Down::Redirect(_) | Down::Welcome(_) | Down::Iam { .. } | Down::TooNew { .. } => {
                Err("a second welcome".to_owned())
            }
        }
    }

    fn update(&mut self, update: Update) {
        match update {
            Update::Topics(part) => self.topics(Arc::unwrap_or_clone(part)),
            Update::Views(views) => views.into_iter().for_each(|view| self.view(view)),
            Update::Agents(agents) => {
                self.look_for_own_id(&agents.all);
                *self.shared.agents.lock() = Arc::clone(&agents.all);
            }
            Update::Naming(epoch) => self.shared.naming.store(epoch.0, Ordering::Release),
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

    fn topics(&mut self, part: TopicsUpdate) {
        self.topics.lsn = part.lsn;
        self.topics.scope = part.scope;
        self.topics.changed.extend(part.changed);
        self.topics.gone.extend(part.gone);
        if part.more {
            return;
        }
        let update = std::mem::take(&mut self.topics);
        self.hear(update.lsn);
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
        let known = views.get(partition);
        if let Some(view) = known {
            view.append(bounds, extents.into_iter(), views.extents_each());
        } else if scope == Scope::All {
            self.make_room();
            let views = &self.shared.views;
            views.insert(partition, View::new(bounds, &extents.into()));
        }
    }

    /// Lets go of views that nobody holds and nobody is on the way to get, once there are many.
    pub(super) fn make_room(&mut self) {
        if !self.shared.views.are_full() {
            return;
        }
        let unanswered = self.questions.unanswered();
        let dropped = (self.shared.views).make_room(|partition| !unanswered.contains(partition));
        self.unwatch(&dropped);
    }

    /// The same of those that nobody asked for in a while, if it is time to look.
    pub(super) fn let_idle_go(&mut self, now: Instant) {
        if now < self.idle_at {
            return;
        }
        self.idle_at = now + VIEW_IDLE;
        let unanswered = self.questions.unanswered();
        let idle = (self.shared.views).let_idle_go(|partition| !unanswered.contains(partition));
        self.unwatch(&idle);
    }

    fn unwatch(&mut self, partitions: &[TopicPartition]) {
        for some in partitions.chunks(WATCHED_AT_ONCE) {
            self.outgoing.push_back(Up::Unwatch(some.to_vec()).encode());
        }
    }
}
