//! Agents that are told what became durable, each through a bounded queue: topics all of them, new extents and watermarks
//! those that watch the partition. Whoever does not keep up is cut off and begins afresh. The sequencer feeds them; `rpc`
//! has the other ends.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::catalogue::{Agent, TopicsUpdate};
use crate::types::{NamingEpoch, TopicId, TopicPartition};
use crate::update::{Update, ViewUpdate};

/// Updates that may wait for one subscriber, and the extents and topics in them.
pub(crate) const UPDATES_MAX: usize = 1024;
const UPDATE_ITEMS_MAX: usize = 256 * 1024;

/// The sequencer's end of a subscriber's queue.
#[derive(Debug)]
pub(crate) struct Feed {
    sender: mpsc::Sender<Update>,
    items: Arc<AtomicUsize>,
}

/// The subscriber's end.
#[derive(Debug)]
pub(crate) struct Updates {
    receiver: mpsc::Receiver<Update>,
    items: Arc<AtomicUsize>,
}

/// What is in a queue right now.
#[derive(Debug)]
pub(crate) enum Waiting {
    Update(Update),
    Nothing,
    /// Cut off: too slow, replaced by a newer stream of the same session, or the sequencer ended.
    CutOff,
}

pub(crate) fn feed() -> (Feed, Updates) {
    let (sender, receiver) = mpsc::channel(UPDATES_MAX);
    let items = Arc::new(AtomicUsize::new(0));
    let feed = Feed {
        sender,
        items: Arc::clone(&items),
    };
    (feed, Updates { receiver, items })
}

impl Feed {
    /// False: it does not fit, or nobody reads it.
    fn push(&self, update: Update) -> bool {
        let items = update.items();
        let before = self.items.fetch_add(items, Ordering::AcqRel);
        // What is larger than the bound goes when nothing else waits.
        let fits = before == 0 || before + items <= UPDATE_ITEMS_MAX;
        fits && self.sender.try_send(update).is_ok()
    }
}

impl Updates {
    /// The next update; `None` once cut off.
    pub(crate) async fn next(&mut self) -> Option<Update> {
        let update = self.receiver.recv().await?;
        self.items.fetch_sub(update.items(), Ordering::AcqRel);
        Some(update)
    }

    /// What is there already. Whatever was published before an answer is there when the answer is.
    pub(crate) fn waiting(&mut self) -> Waiting {
        match self.receiver.try_recv() {
            Ok(update) => {
                self.items.fetch_sub(update.items(), Ordering::AcqRel);
                Waiting::Update(update)
            }
            Err(mpsc::error::TryRecvError::Empty) => Waiting::Nothing,
            Err(mpsc::error::TryRecvError::Disconnected) => Waiting::CutOff,
        }
    }
}

/// All subscribers of a sequencer.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    last: u64,
    by_id: BTreeMap<u64, Subscriber>,
    watchers: HashMap<TopicPartition, Vec<u64>>,
    /// As last told.
    agents: Arc<Vec<Arc<Agent>>>,
}

#[derive(Debug)]
struct Subscriber {
    session: u64,
    agent: Option<Arc<Agent>>,
    feed: Feed,
    watched: HashSet<TopicPartition>,
}

impl Subscribers {
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// A new one, in place of an earlier one of the same session, which is cut off.
    /// The subscriber's number, and another agent that has the same node id.
    pub(super) fn attach(
        &mut self,
        session: u64,
        agent: Option<Arc<Agent>>,
        feed: Feed,
    ) -> (u64, Option<Arc<Agent>>) {
        self.remove(|subscriber| subscriber.session == session);
        let rival = agent.as_deref().and_then(|agent| self.rival(agent));
        self.last += 1;
        if !self.agents.is_empty() {
            feed.push(Update::Agents(Arc::clone(&self.agents)));
        }
        let subscriber = Subscriber {
            session,
            agent,
            feed,
            watched: HashSet::new(),
        };
        self.by_id.insert(self.last, subscriber);
        (self.last, rival)
    }

    /// Another live agent with the same node id at another address.
    fn rival(&self, agent: &Agent) -> Option<Arc<Agent>> {
        let live = self
            .by_id
            .values()
            .filter(|each| !each.feed.sender.is_closed());
        live.filter_map(|each| each.agent.as_ref())
            .find(|each| each.node_id == agent.node_id && each.listeners != agent.listeners)
            .cloned()
    }

    /// The subscriber's agent takes no more clients.
    pub(super) fn withdraw(&mut self, id: u64) {
        if let Some(subscriber) = self.by_id.get_mut(&id) {
            subscriber.agent = None;
        }
    }

    /// Tells everybody who serves clients, if that changed. Of two with the same node id, the one that came last counts.
    pub(super) fn publish_agents(&mut self) {
        let live = self.by_id.values().filter_map(|each| each.agent.as_ref());
        let by_id: BTreeMap<i32, &Arc<Agent>> = live.map(|agent| (agent.node_id, agent)).collect();
        if by_id.values().copied().eq(self.agents.iter()) {
            return;
        }
        let agents = Arc::new(by_id.into_values().cloned().collect());
        self.agents = Arc::clone(&agents);
        let told = || Update::Agents(Arc::clone(&agents));
        self.remove(|subscriber| !subscriber.feed.push(told()));
    }

    /// Tells the subscriber of these partitions from now on, beginning with what there is.
    pub(super) fn watch(&mut self, id: u64, views: Vec<ViewUpdate>) {
        let Some(subscriber) = self.by_id.get_mut(&id) else {
            return;
        };
        for view in &views {
            if subscriber.watched.insert(view.partition) {
                self.watchers.entry(view.partition).or_default().push(id);
            }
        }
        if !subscriber.feed.push(Update::Views(views)) {
            self.cut(&BTreeSet::from([id]));
        }
    }

    pub(super) fn unwatch(&mut self, id: u64, partitions: &[TopicPartition]) {
        if let Some(subscriber) = self.by_id.get_mut(&id) {
            for partition in partitions {
                if subscriber.watched.remove(partition) {
                    forget(&mut self.watchers, *partition, id);
                }
            }
        }
    }

    /// Topics changed: everybody is told.
    pub(super) fn topics(&mut self, update: &Arc<TopicsUpdate>) {
        self.remove(|subscriber| !subscriber.feed.push(Update::Topics(Arc::clone(update))));
        if update.gone.is_empty() {
            return;
        }
        let gone: HashSet<TopicId> = update.gone.iter().copied().collect();
        self.watchers
            .retain(|partition, _| !gone.contains(&partition.topic));
        for subscriber in self.by_id.values_mut() {
            subscriber
                .watched
                .retain(|partition| !gone.contains(&partition.topic));
        }
    }

    /// Objects are named in another epoch: everybody is told.
    pub(super) fn naming(&mut self, epoch: NamingEpoch) {
        self.remove(|subscriber| !subscriber.feed.push(Update::Naming(epoch)));
    }

    /// Whether anybody would be told of that partition.
    pub(super) fn watch_anywhere(&self, partition: TopicPartition) -> bool {
        self.watchers.contains_key(&partition)
    }

    /// Partitions grew: those who watch them are told.
    pub(super) fn views(&mut self, views: &[ViewUpdate]) {
        let mut told: BTreeMap<u64, Vec<ViewUpdate>> = BTreeMap::new();
        for view in views {
            for id in self.watchers.get(&view.partition).into_iter().flatten() {
                told.entry(*id).or_default().push(view.clone());
            }
        }
        let mut slow = BTreeSet::new();
        for (id, views) in told {
            let subscriber = self.by_id.get(&id);
            if !subscriber.is_some_and(|each| each.feed.push(Update::Views(views))) {
                slow.insert(id);
            }
        }
        self.cut(&slow);
    }

    /// Cuts off the stream of a session that is closed.
    pub(super) fn close(&mut self, session: u64) {
        self.remove(|subscriber| subscriber.session == session);
    }

    /// Forgets those whose streams have ended.
    pub(super) fn sweep(&mut self) {
        self.remove(|subscriber| subscriber.feed.sender.is_closed());
    }

    /// Cuts off everybody.
    pub(super) fn clear(&mut self) {
        self.by_id.clear();
        self.watchers.clear();
    }

    fn remove(&mut self, mut which: impl FnMut(&Subscriber) -> bool) {
        let found = self.by_id.iter().filter(|(_, each)| which(each));
        let ids = found.map(|(id, _)| *id).collect();
        self.cut(&ids);
    }

    /// In order, so that simulation repeats itself.
    fn cut(&mut self, ids: &BTreeSet<u64>) {
        for id in ids {
            let Some(subscriber) = self.by_id.remove(id) else {
                continue;
            };
            tracing::debug!(session = subscriber.session, "an agent's stream is cut off");
            for partition in subscriber.watched {
                forget(&mut self.watchers, partition, *id);
            }
        }
    }
}

fn forget(watchers: &mut HashMap<TopicPartition, Vec<u64>>, partition: TopicPartition, id: u64) {
    if let Some(ids) = watchers.get_mut(&partition) {
        ids.retain(|each| *each != id);
        if ids.is_empty() {
            watchers.remove(&partition);
        }
    }
}
