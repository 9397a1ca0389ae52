//! What is durable becomes visible: the catalogue and the views, before the answers of the same drain go out. So an ack
//! means that the view of this process has it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Sequencer;
use super::feed::Feed;
use super::reads::{Attached, Read};
use super::subscribers::Watched;
use super::touched::Touched;
use crate::catalogue::{Agent, Catalogue, TopicsUpdate};
use crate::effect::{Effect, SessionEffect};
use crate::error::Error;
use crate::origin::Origin;
use crate::types::{Extent, Scope, SessionId, TopicId, TopicPartition};
use crate::update::ViewUpdate;
use crate::view::newest;

impl Sequencer {
    pub(super) fn publish(&mut self, effects: &[Effect]) {
        self.publish_usage();
        self.publish_level();
        self.publish_sessions(effects);
        let touched = Touched::by(effects, |partition| {
            // Most partitions that many agents write have no readers.
            self.shared.views.get(partition).is_some()
                || self
                    .subscribers
                    .watch_anywhere(Watched::Partition(partition))
        });
        if !touched.topics.is_empty() {
            self.publish_topics(&touched.topics);
        }
        if touched.naming {
            self.publish_naming();
        }
        self.publish_partitions(touched.partitions);
    }

    /// How much there is of what is bounded.
    pub(super) fn publish_usage(&self) {
        *self.shared.counts.usage.lock() = (self.state.usage(), self.options.limits);
    }

    fn publish_topics(&mut self, touched: &BTreeSet<TopicId>) {
        let mut update = TopicsUpdate {
            lsn: self.state.lsn,
            ..TopicsUpdate::default()
        };
        for id in touched {
            match self.state.topics.get(*id) {
                Some(topic) => update.changed.push(Arc::clone(&topic.topic)),
                None => update.gone.push(*id),
            }
        }
        let update = Arc::new(update);
        let catalogue = self.catalogue().with(&update);
        self.publish_catalogue(catalogue);
        for gone in &update.gone {
            self.shared.views.end_topic(*gone);
        }
        self.subscribers.topics(&update);
    }

    fn publish_sessions(&self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Session {
                session,
                what: SessionEffect::Closed,
            } = effect
            {
                self.shared.openers.closed(*session);
            }
        }
    }

    fn publish_level(&self) {
        let level = self.state.cluster.level();
        self.shared.level.store(level, Ordering::Release);
    }

    fn publish_naming(&mut self) {
        let naming = self.state.cluster.naming;
        self.shared.naming.store(naming.0, Ordering::Release);
        self.subscribers.naming(naming);
    }

    fn publish_partitions(&mut self, touched: BTreeMap<TopicPartition, VecDeque<Extent>>) {
        let mut updates = Vec::new();
        let views = &self.shared.views;
        for (partition, extents) in touched {
            let Some(log) = self.state.partitions.get(partition) else {
                continue;
            };
            let bounds = log.bounds();
            if let Some(view) = views.get(partition) {
                view.append(bounds, extents.iter().copied(), views.extents_each());
            }
            if self
                .subscribers
                .watch_anywhere(Watched::Partition(partition))
            {
                updates.push(ViewUpdate {
                    partition,
                    scope: Scope::Change,
                    bounds,
                    extents: extents.into(),
                });
            }
        }
        self.subscribers.views(&updates);
    }

    /// A read whose drain is durable.
    pub(super) fn answer_read(&mut self, read: Read) {
        match read {
            Read::Attach {
                session,
                agent,
                level,
                feed,
                from,
                reply,
            } => {
                let agent = (agent, Origin::of(from));
                let attached = self.attach(session, agent, level, feed);
                if attached.is_some() {
                    self.shared.openers.has(session.id, from);
                }
                let _ = reply.send(Ok(attached));
            }
            Read::Watch {
                subscriber,
                partitions,
                reply,
            } => {
                let found = self.watch(subscriber, &partitions);
                let _ = reply.send(found);
            }
            Read::Unwatch {
                subscriber,
                partitions,
            } => self.subscribers.unwatch(subscriber, &partitions),
            Read::Withdraw { subscriber } => {
                self.subscribers.withdraw(subscriber);
                self.publish_agents();
            }
            read => read.answer(&self.state, &self.shared.views),
        }
    }

    /// Who serves clients, if that changed and all had time to come back after a take-over.
    pub(super) fn publish_agents(&mut self) {
        if self.tick.settled() {
            self.subscribers.publish_agents();
        }
    }

    fn attach(
        &mut self,
        session: SessionId,
        agent: (Option<Arc<Agent>>, Origin),
        level: u32,
        feed: Feed,
    ) -> Option<Attached> {
        let SessionId { id, nonce } = session;
        if !self.state.sessions.is_open(id, nonce) {
            return None;
        }
        let heard = self.liveness.attach(id);
        let (subscriber, rival) = self.subscribers.attach(id, agent, level, feed);
        Some(Attached {
            subscriber,
            heard,
            rival,
            catalogue: self.catalogue(),
            naming: self.state.cluster.naming,
        })
    }

    fn watch(
        &mut self,
        subscriber: u64,
        partitions: &[TopicPartition],
    ) -> Result<Vec<bool>, Error> {
        let (mut found, mut views) = (Vec::new(), Vec::new());
        let extents_max = self.subscribers.room(subscriber, partitions.len());
        for partition in partitions {
            let log = self.state.partitions.get(*partition);
            found.push(log.is_some());
            views.extend(log.map(|log| ViewUpdate {
                partition: *partition,
                scope: Scope::All,
                bounds: log.bounds(),
                extents: newest(log.recent(), extents_max).collect(),
            }));
        }
        self.subscribers.watch(subscriber, views)?;
        Ok(found)
    }

    /// Everything, after the state was loaded. Subscribers begin afresh.
    pub(super) fn publish_all(&mut self) {
        let topics = self.state.topics.iter().map(|topic| &topic.topic);
        self.publish_catalogue(Catalogue::new(self.state.lsn, topics));
        self.publish_level();
        self.publish_naming();
        let is_open = |session| self.state.sessions.get(session).is_some();
        self.shared.openers.retain(is_open);
        let views = &self.shared.views;
        views.retain(|partition| self.state.partitions.get(partition).is_some());
        self.subscribers.clear();
        for partition in views.partitions() {
            if let Some(log) = self.state.partitions.get(partition) {
                let recent = log.recent().iter().copied();
                if let Some(view) = views.get(partition) {
                    view.append(log.bounds(), recent, views.extents_each());
                }
            }
        }
    }

    /// As last published.
    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.shared.catalogue.lock())
    }

    fn publish_catalogue(&self, catalogue: Catalogue) {
        *self.shared.catalogue.lock() = Arc::new(catalogue);
    }
}
