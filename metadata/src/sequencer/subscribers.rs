//! Agents that are told what became durable, each through a bounded queue: topics all of them, new extents and watermarks
//! those that watch the partition. Whoever does not keep up is cut off and begins afresh. `rpc`
//! has the other ends of their queues.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::feed::Feed;
use crate::catalogue::{Agent, TopicsUpdate};
use crate::error::Error;
use crate::origin::Origin;
use crate::said::Said;
use crate::types::{NamingEpoch, TopicId, TopicPartition};
use crate::update::{Agents, Update, ViewUpdate};
use crate::views::VIEWS_MAX;

/// Extents told at once to a subscriber that begins to watch. Readers that are further behind ask for them.
const SNAPSHOT_EXTENTS_MAX: usize = 16 * 1024;

/// Partitions that one subscriber watches. An agent lets go of what nobody reads for a while, and of all that nobody holds once
/// it has [`VIEWS_MAX`] views; what it asked for before it did comes on top.
const WATCHED_MAX: usize = 2 * VIEWS_MAX;

/// Streams of one session: an agent greets four processes at a time at the most, or one by so many names, after it lost the
/// stream that it had. Those that came first are cut off.
const OF_A_SESSION_MAX: usize = 5;

/// Agents of one machine that clients are told of: the list of all goes to each agent.
const LISTED_OF_A_MACHINE_MAX: usize = 256;
/// For the list of agents, to all of them together, in a millisecond: 32 MiB/s. A hundred agents hear at once of each that
/// comes and goes, a thousand within seconds. New links are told out of the same: there may be any number of them.
const AGENTS_BYTES_A_MS: u64 = 32 * 1024;
/// What a list costs, however short.
const AGENTS_FRAME_BYTES: usize = 1024;
/// However much it is.
const AGENTS_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What a subscriber may be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Watched {
    Partition(TopicPartition),
}

impl Watched {
    /// Whether it goes with its topic.
    fn is_of(self, topics: &HashSet<TopicId>) -> bool {
        match self {
            Self::Partition(partition) => topics.contains(&partition.topic),
        }
    }
}

/// All subscribers of a sequencer.
#[derive(Debug)]
pub(super) struct Subscribers {
    last: u64,
    by_id: BTreeMap<u64, Subscriber>,
    /// Who watches something. All of them were told of all that is durable.
    watchers: HashMap<Watched, Vec<u64>>,
    /// As last told.
    agents: Arc<Agents>,
    /// When they may be told again.
    tell_at: Option<Instant>,
    /// When the next new one may be told as it comes. Apart, for those that come all the time would keep it from all others.
    greet_at: Option<Instant>,
    crowded: Said<()>,
}

#[derive(Debug)]
struct Subscriber {
    session: u64,
    agent: Option<Arc<Agent>>,
    /// Where it is.
    of: Origin,
    /// The highest feature level that it can read.
    level: u32,
    feed: Feed,
    /// Of the list of agents, since it last changed.
    told: bool,
    watched: HashSet<Watched>,
}

impl Default for Subscribers {
    fn default() -> Self {
        Self {
            last: 0,
            by_id: BTreeMap::new(),
            watchers: HashMap::new(),
            agents: Arc::default(),
            tell_at: None,
            greet_at: None,
            crowded: Said::seldom(1),
        }
    }
}

impl Subscribers {
    /// One that cannot read that level: its session, who clients are told it is, and the highest level that it can read.
    pub(super) fn below(&self, level: u32) -> Option<(u64, Option<&Agent>, u32)> {
        let below = self.live().find(|each| each.level < level)?;
        Some((below.session, below.agent.as_deref(), below.level))
    }

    /// Whether the agent of that session is one of them.
    pub(super) fn has(&self, session: u64) -> bool {
        self.live().any(|each| each.session == session)
    }

    /// Those whose streams have not ended.
    fn live(&self) -> impl Iterator<Item = &Subscriber> {
        self.by_id.values().filter(|each| !each.feed.is_closed())
    }

    /// A new one, beside earlier ones of the same session: which of them its agent goes on with it says on that stream, and
    /// the others end by themselves.
    /// The subscriber's number, and another agent that has the same node id.
    pub(super) fn attach(
        &mut self,
        session: u64,
        (agent, of): (Option<Arc<Agent>>, Origin),
        level: u32,
        feed: Feed,
    ) -> (u64, Option<Arc<Agent>>) {
        self.make_room_for(session);
        let rival = agent.as_deref().and_then(|agent| self.rival(agent));
        self.last += 1;
        let mut told = self.agents.all.is_empty();
        if !told && is_time(self.greet_at) {
            told = feed.push(Update::Agents(Arc::clone(&self.agents)));
            self.greet_at = Some(self.after_telling(1));
        }
        let subscriber = Subscriber {
            session,
            agent,
            of,
            level,
            feed,
            told,
            watched: HashSet::new(),
        };
        self.by_id.insert(self.last, subscriber);
        (self.last, rival)
    }

    /// For one more stream of that session.
    fn make_room_for(&mut self, session: u64) {
        self.remove(|subscriber| subscriber.session == session && subscriber.feed.is_closed());
        let of_session = self
            .by_id
            .iter()
            .filter(|(_, each)| each.session == session);
        let ids: Vec<u64> = of_session.map(|(id, _)| *id).collect();
        let over = (ids.len() + 1).saturating_sub(OF_A_SESSION_MAX);
        self.cut(&ids.into_iter().take(over).collect());
    }

    /// Another live agent with the same node id at another address.
    fn rival(&self, agent: &Agent) -> Option<Arc<Agent>> {
        self.live()
            .filter_map(|each| each.agent.as_ref())
            .find(|each| each.node_id == agent.node_id && each.listeners != agent.listeners)
            .cloned()
    }

    /// The subscriber's agent takes no more clients, whatever it said on another stream.
    pub(super) fn withdraw(&mut self, id: u64) {
        let Some(session) = self.by_id.get(&id).map(|subscriber| subscriber.session) else {
            return;
        };
        let all = self.by_id.values_mut();
        all.filter(|each| each.session == session)
            .for_each(|each| each.agent = None);
    }

    /// Tells everybody who serves clients, if that changed, and those who came meanwhile, unless some were told just now: the
    /// more was told, the longer they wait.
    pub(super) fn publish_agents(&mut self) {
        if !is_time(self.tell_at) {
            return;
        }
        let listed = self.listed();
        if listed != *self.agents.all {
            self.agents = Arc::new(Agents::new(listed));
            self.by_id.values_mut().for_each(|each| each.told = false);
        }
        let (mut count, mut slow) = (0, BTreeSet::new());
        for (id, each) in self.by_id.iter_mut().filter(|(_, each)| !each.told) {
            count += 1;
            each.told = each.feed.push(Update::Agents(Arc::clone(&self.agents)));
            if !each.told {
                slow.insert(*id);
            }
        }
        if count > 0 {
            self.tell_at = Some(self.after_telling(count));
        }
        self.cut(&slow);
    }

    /// When more may be told, after so many were told of the list.
    fn after_telling(&self, count: u64) -> Instant {
        let bytes = (self.agents.bytes() + AGENTS_FRAME_BYTES) as u64 * count;
        let pause = Duration::from_micros(bytes.saturating_mul(1000) / AGENTS_BYTES_A_MS);
        Instant::now() + pause.min(AGENTS_PAUSE_MAX)
    }

    /// By node id. Of two with the same one, the one that came last counts; of a machine with very many, those that came
    /// first.
    fn listed(&self) -> Vec<Arc<Agent>> {
        let mut of_machine: HashMap<Origin, usize> = HashMap::new();
        let mut by_id = BTreeMap::new();
        for each in self.by_id.values() {
            let Some(agent) = &each.agent else { continue };
            let count = of_machine.entry(each.of).or_default();
            *count += 1;
            if *count <= LISTED_OF_A_MACHINE_MAX {
                by_id.insert(agent.node_id, Arc::clone(agent));
            } else if let Some(unsaid) = self.crowded.admit(()) {
                tracing::warn!(
                    node_id = agent.node_id,
                    unsaid,
                    "clients are told of {LISTED_OF_A_MACHINE_MAX} agents of one machine, and not of this one"
                );
            }
        }
        by_id.into_values().collect()
    }

    /// Tells the subscriber of these partitions from now on, beginning with what there is.
    ///
    /// # Errors
    /// Where it would watch more than agents do: it is cut off.
    pub(super) fn watch(&mut self, id: u64, views: Vec<ViewUpdate>) -> Result<(), Error> {
        let Some(subscriber) = self.by_id.get_mut(&id) else {
            return Ok(());
        };
        for view in &views {
            let watched = Watched::Partition(view.partition);
            if subscriber.watched.insert(watched) {
                self.watchers.entry(watched).or_default().push(id);
            }
        }
        subscriber.feed.watches(subscriber.watched.len());
        if subscriber.watched.len() > WATCHED_MAX {
            self.cut(&BTreeSet::from([id]));
            return Err(Error::unavailable(format!(
                "an agent watches more than {WATCHED_MAX} partitions, and lets go of none"
            )));
        }
        if !subscriber.feed.push(Update::Views(views)) {
            self.cut(&BTreeSet::from([id]));
        }
        Ok(())
    }

    pub(super) fn unwatch(&mut self, id: u64, partitions: &[TopicPartition]) {
        if let Some(subscriber) = self.by_id.get_mut(&id) {
            for partition in partitions {
                let watched = Watched::Partition(*partition);
                if subscriber.watched.remove(&watched) {
                    forget(&mut self.watchers, watched, id);
                }
            }
            subscriber.feed.watches(subscriber.watched.len());
        }
    }

    /// Topics changed: everybody is told.
    pub(super) fn topics(&mut self, update: &Arc<TopicsUpdate>) {
        self.remove(|subscriber| !subscriber.feed.push(Update::Topics(Arc::clone(update))));
        if update.gone.is_empty() {
            return;
        }
        let gone: HashSet<TopicId> = update.gone.iter().copied().collect();
        self.watchers.retain(|watched, _| !watched.is_of(&gone));
        for subscriber in self.by_id.values_mut() {
            subscriber.watched.retain(|watched| !watched.is_of(&gone));
            subscriber.feed.watches(subscriber.watched.len());
        }
    }

    /// Objects are named in another epoch: everybody is told.
    pub(super) fn naming(&mut self, epoch: NamingEpoch) {
        self.remove(|subscriber| !subscriber.feed.push(Update::Naming(epoch)));
    }

    /// Whether anybody would be told of it.
    pub(super) fn watch_anywhere(&self, watched: Watched) -> bool {
        self.watchers.contains_key(&watched)
    }

    /// Extents of each partition that a subscriber is told when it begins to watch so many: the more of its queue is taken,
    /// the fewer, for what follows needs room as well. Bounds alone always fit.
    pub(super) fn room(&self, id: u64, partitions: usize) -> usize {
        let room = self.by_id.get(&id).map_or(0, |each| each.feed.room());
        (room / 2).min(SNAPSHOT_EXTENTS_MAX) / partitions.max(1)
    }

    /// Partitions grew: those who watch them are told.
    pub(super) fn views(&mut self, views: &[ViewUpdate]) {
        let mut told: BTreeMap<u64, Vec<ViewUpdate>> = BTreeMap::new();
        for view in views {
            let watchers = self.watchers.get(&Watched::Partition(view.partition));
            for id in watchers.into_iter().flatten() {
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
        self.remove(|subscriber| subscriber.feed.is_closed());
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
            for watched in subscriber.watched {
                forget(&mut self.watchers, watched, *id);
            }
        }
    }
}

fn forget(all: &mut HashMap<Watched, Vec<u64>>, watched: Watched, id: u64) {
    if let Some(watchers) = all.get_mut(&watched) {
        watchers.retain(|each| *each != id);
        if watchers.is_empty() {
            all.remove(&watched);
        }
    }
}

fn is_time(at: Option<Instant>) -> bool {
    at.is_none_or(|at| at <= Instant::now())
}

#[cfg(test)]
mod tests {
    use super::super::feed::{Updates, Waiting, feed};
    use super::*;
    use crate::types::{Bounds, PartitionIndex, Scope};

    fn views(of: std::ops::Range<i32>) -> Vec<ViewUpdate> {
        let view = |partition| ViewUpdate {
            partition: TopicPartition {
                topic: TopicId(1),
                partition: PartitionIndex(partition),
            },
            scope: Scope::All,
            bounds: Bounds::default(),
            extents: Vec::new(),
        };
        of.map(view).collect()
    }

    /// Each question has a bound, and there may be any number of them.
    #[test]
    fn a_subscriber_that_watches_more_than_any_agent_is_cut_off() {
        const AT_ONCE: i32 = 4096;
        let mut all = Subscribers::default();
        let ((greedy, mut greedy_updates), (tidy, mut tidy_updates)) = (feed(), feed());
        let (greedy, _) = all.attach(1, (None, Origin::of(None)), 1, greedy);
        let (tidy, _) = all.attach(2, (None, Origin::of(None)), 1, tidy);
        let mut cut = None;
        for round in 0..100 {
            let some = round * AT_ONCE..(round + 1) * AT_ONCE;
            let of: Vec<_> = views(some.clone()).iter().map(|v| v.partition).collect();
            all.watch(tidy, views(some.clone())).unwrap();
            all.unwatch(tidy, &of);
            let watched = all.watch(greedy, views(some));
            while let Waiting::Update(_) = greedy_updates.waiting() {}
            while let Waiting::Update(_) = tidy_updates.waiting() {}
            if let Err(error) = watched {
                cut = cut.or(Some((round, error.to_string())));
            }
        }
        let (round, why) = cut.expect("it is cut off");
        assert_eq!(usize::try_from(round * AT_ONCE).unwrap(), WATCHED_MAX);
        assert!(why.contains("lets go of none"), "{why}");
        assert!(!all.has(1) && all.has(2));
        assert!(all.watchers.is_empty(), "nothing is left of it");
        assert_eq!(tidy_updates.bytes(), 0);
    }

    /// An agent of a machine, whose record is as long as one may be.
    fn agent(node_id: i32, machine: u8) -> (Option<Arc<Agent>>, Origin) {
        let agent = Agent::new(node_id, "h".repeat(1_900), 9092);
        let of = Origin::of(Some([10, 0, 0, machine].into()));
        (Some(Arc::new(agent)), of)
    }

    /// Each time that one comes or goes the list of all goes to all.
    #[tokio::test(start_paused = true)]
    async fn agents_that_come_and_go_are_told_of_as_there_is_room() {
        let mut all = Subscribers::default();
        let mut updates = Vec::new();
        for number in 0..200 {
            let (sender, receiver) = feed();
            let session = u64::try_from(number).unwrap();
            all.attach(session, agent(number, 1), 1, sender);
            updates.push(receiver);
        }
        let (mut told, mut bytes) = (0, 0);
        for round in 0..100 {
            let (sender, receiver) = feed();
            all.attach(1_000, agent(1_000 + round, 2), 1, sender);
            updates.push(receiver);
            all.publish_agents();
            for each in &mut updates {
                while let Waiting::Update(update) = each.waiting() {
                    let Update::Agents(agents) = update else {
                        panic!("{update:?}")
                    };
                    told += 1;
                    bytes += agents.bytes();
                }
            }
            tokio::time::advance(Duration::from_millis(450)).await;
        }
        assert!(told > 200, "{told}");
        assert!(bytes < 46 * 40 * 1024 * 1024, "{bytes} in 45 s");
    }

    /// Agents that were told of each other, and what each of them was told.
    fn of_200_agents() -> (Subscribers, Vec<Updates>) {
        let mut all = Subscribers::default();
        let attach = |number| {
            let (sender, receiver) = feed();
            let session = u64::try_from(number).unwrap();
            all.attach(session, agent(number, 1), 1, sender);
            receiver
        };
        let updates = (0..200).map(attach).collect();
        all.publish_agents();
        (all, updates)
    }

    /// Who comes again and again is told of them each time, and may come any number of times.
    #[tokio::test(start_paused = true)]
    async fn new_links_are_told_of_agents_as_there_is_room() {
        let (mut all, _agents) = of_200_agents();
        tokio::time::advance(AGENTS_PAUSE_MAX).await;
        let mut links = Vec::new();
        for session in 1_000..2_000 {
            let (sender, receiver) = feed();
            all.attach(session, (None, Origin::of(None)), 1, sender);
            links.push((receiver, 0));
        }
        let mut hear = || {
            for (link, heard) in &mut links {
                while let Waiting::Update(Update::Agents(agents)) = link.waiting() {
                    assert_eq!(agents.all.len(), 200);
                    *heard += 1;
                }
            }
            links.iter().map(|(_, heard)| heard).sum::<usize>()
        };
        assert_eq!(hear(), 1, "there was room for one");
        all.publish_agents();
        assert_eq!(hear(), 1_000, "each of them is told once");
        tokio::time::advance(AGENTS_PAUSE_MAX).await;
        all.publish_agents();
        assert_eq!(hear(), 1_000, "nothing is new");
    }

    /// As a fleet of processes that crash again and again, with a link in each drain.
    #[tokio::test(start_paused = true)]
    async fn links_that_come_all_the_time_keep_the_list_of_agents_from_nobody() {
        let (mut all, mut updates) = of_200_agents();
        let mut old = updates.swap_remove(0);
        while !matches!(old.waiting(), Waiting::Nothing) {}
        drop(updates);
        all.sweep();
        let told = async {
            loop {
                let (sender, _link) = feed();
                all.attach(1_000, (None, Origin::of(None)), 1, sender);
                all.publish_agents();
                if let Waiting::Update(Update::Agents(agents)) = old.waiting() {
                    return agents.all.len();
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let told = tokio::time::timeout(AGENTS_PAUSE_MAX, told).await;
        assert_eq!(told, Ok(1), "the others are gone");
    }

    /// Whoever greets again and again with one session.
    #[test]
    fn a_session_has_so_many_streams_and_none_that_is_over_counts() {
        let mut all = Subscribers::default();
        let attach = |all: &mut Subscribers| {
            let (sender, receiver) = feed();
            let (id, rival) = all.attach(7, agent(1, 1), 1, sender);
            assert!(rival.is_none(), "it is no rival of itself");
            (id, receiver)
        };
        let first = attach(&mut all);
        for _ in 0..20 {
            drop(attach(&mut all));
        }
        let mut more: Vec<_> = (1..OF_A_SESSION_MAX).map(|_| attach(&mut all)).collect();
        assert!(all.by_id.contains_key(&first.0), "it may be the one");
        more.push(attach(&mut all));
        assert!(!all.by_id.contains_key(&first.0));
        assert!(more.iter().all(|(id, _)| all.by_id.contains_key(id)));
        assert_eq!(all.listed().len(), 1);
        all.withdraw(more[2].0);
        assert!(all.listed().is_empty());
    }

    #[test]
    fn no_machine_fills_the_list_of_agents() {
        let mut all = Subscribers::default();
        let mut updates = Vec::new();
        for number in 0..1_000 {
            let (sender, receiver) = feed();
            let session = u64::try_from(number).unwrap();
            let machine = u8::from(number >= 990);
            all.attach(session, agent(number, machine), 1, sender);
            updates.push(receiver);
        }
        let listed: Vec<_> = all.listed().iter().map(|each| each.node_id).collect();
        let expected: Vec<_> = (0..256).chain(990..1_000).collect();
        assert_eq!(listed, expected);
    }
}
