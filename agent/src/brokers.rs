//! Which agents clients are told of, and which of them each partition's clients are sent to: any agent serves any partition,
//! but when all of a zone's clients go to the same one for it, their batches meet in one buffer and their reads in one
//! cache. Asked by `discovery/`, and by `fetch/` where this agent does not serve consumers.

use std::sync::Arc;

use metadata::{Agent, Listener, TopicId};

use crate::call::Call;
use crate::context::Context;

/// What a client's id may say of its zone, among other things: `zone=a`, or `ws_az=a` as for WarpStream.
const ZONE_KEYS: [&str; 2] = ["zone=", "ws_az="];

/// The agents that serve clients.
#[derive(Debug)]
pub(crate) struct Brokers<'a> {
    context: &'a Context,
    /// By which the client came: it is told of agents that have one like it.
    listener: &'a str,
    all: Vec<Arc<Agent>>,
    placement: Placement,
}

/// Where each partition's clients are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Leaders are chosen among these.
    leaders: Vec<i32>,
    /// Agents that do not serve consumers.
    send_on: Vec<i32>,
    /// Where consumers read whose leaders do not serve them; none may be there.
    readers: Vec<i32>,
}

impl<'a> Brokers<'a> {
    /// As that client is told.
    pub(crate) fn of(call: &'a Call) -> Self {
        let context = call.context.as_ref();
        let listener = call.arrival.listener.as_str();
        let live = context.metadata.agents();
        let mut all: Vec<Arc<Agent>> = if live.is_empty() {
            vec![Arc::new(context.node.clone())]
        } else {
            live.to_vec()
        };
        all.retain(|agent| agent.listener(listener).is_some());
        let said = call.client_id.as_deref().and_then(zone);
        let zone = said.or_else(|| context.zones.of(call.arrival.address, listener));
        let mut leaders = choose(&all, zone, |agent| agent.roles.produce);
        if leaders.is_empty() {
            // Whoever is named refuses then, and says why.
            leaders = choose(&all, zone, |_| true);
        }
        let readers = choose(&all, zone, |agent| agent.roles.fetch);
        let without = all.iter().filter(|agent| !agent.roles.fetch);
        let send_on = without.map(|agent| agent.node_id).collect();
        let placement = Placement {
            leaders,
            send_on,
            readers,
        };
        Self {
            context,
            listener,
            all,
            placement,
        }
    }

    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Each with the address that the client is told.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Agent, &Listener)> {
        let known = self.all.iter().map(AsRef::as_ref);
        known.filter_map(|agent: &Agent| Some((agent, agent.listener(self.listener)?)))
    }

    /// Where clients ask for what any agent can do: this one, unless it is leaving.
    pub(crate) fn controller(&self) -> i32 {
        let here = self.context.node.node_id;
        let known = self.all.iter().any(|agent| agent.node_id == here);
        match (known, self.all.first()) {
            (false, Some(first)) => first.node_id,
            _ => here,
        }
    }
}

impl Placement {
    /// The same for all clients of a zone; few partitions move when an agent comes or goes.
    pub(crate) fn leader(&self, topic: TopicId, partition: i32) -> i32 {
        heaviest(&self.leaders, topic, partition).unwrap_or(-1)
    }

    /// As the leader, among those that serve consumers.
    pub(crate) fn reader(&self, topic: TopicId, partition: i32) -> Option<i32> {
        heaviest(&self.readers, topic, partition)
    }

    /// How many are at the most said to have a copy of a partition.
    pub(crate) fn replicas_max(&self) -> usize {
        match self.send_on.is_empty() {
            true => 1,
            false => 2,
        }
    }

    /// Who is said to have a copy: the leader, and the reader to which it sends consumers, for they go to no other broker.
    pub(crate) fn replicas(&self, leader: i32, topic: TopicId, partition: i32) -> Vec<i32> {
        let sends_on = self.send_on.contains(&leader);
        let reader = sends_on.then(|| self.reader(topic, partition)).flatten();
        std::iter::once(leader).chain(reader).collect()
    }
}

/// Those with a role in the client's zone; where there are none, those with the role anywhere.
fn choose(all: &[Arc<Agent>], zone: Option<&str>, role: impl Fn(&Agent) -> bool) -> Vec<i32> {
    let ids = |which: &dyn Fn(&Agent) -> bool| -> Vec<i32> {
        let found = all.iter().filter(|agent| which(agent));
        found.map(|agent| agent.node_id).collect()
    };
    let near = |agent: &Agent| zone.is_some() && agent.zone.as_deref() == zone;
    let mut found = ids(&|agent| near(agent) && role(agent));
    if found.is_empty() {
        found = ids(&role);
    }
    found
}

fn heaviest(ids: &[i32], topic: TopicId, partition: i32) -> Option<i32> {
    let partition = begin(topic, partition);
    let weight = |id: &&i32| weight(partition, **id);
    ids.iter().max_by_key(weight).copied()
}

fn zone(client_id: &str) -> Option<&str> {
    let words = client_id.split([',', ';', '&', ' ']);
    let said = words.filter_map(|word| {
        let key = ZONE_KEYS.iter().find(|key| word.starts_with(**key))?;
        word.get(key.len()..)
    });
    said.into_iter().find(|zone| !zone.is_empty())
}

/// What the weights of all agents for a partition have in common: many agents times many partitions are asked for at once.
fn begin(topic: TopicId, partition: i32) -> u64 {
    let bytes = topic.0.to_be_bytes().into_iter();
    fnv(0xcbf2_9ce4_8422_2325, bytes.chain(partition.to_be_bytes()))
}

/// A number that looks random and is the same everywhere (rendezvous hashing).
fn weight(partition: u64, node_id: i32) -> u64 {
    // SplitMix64's mix, for the last bytes must reach the upper bits.
    let hash = fnv(partition, node_id.to_be_bytes().into_iter());
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// FNV-1a.
fn fnv(begin: u64, bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(begin, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use metadata::Roles;

    use super::*;

    #[test]
    fn partitions_spread_evenly_and_few_move_when_an_agent_goes() {
        let (three, two) = ([1, 2, 3], [1, 3]);
        let mut count: BTreeMap<i32, u32> = BTreeMap::new();
        for partition in 0..3000 {
            let leader = heaviest(&three, TopicId(7), partition).unwrap();
            *count.entry(leader).or_default() += 1;
            if leader != 2 {
                assert_eq!(heaviest(&two, TopicId(7), partition), Some(leader));
            }
        }
        assert!(
            count.values().all(|count| (900..1100).contains(count)),
            "{count:?}"
        );
    }

    #[test]
    fn a_role_is_looked_for_near_the_client_first() {
        let agent = |id, zone: &str, produce| {
            Arc::new(Agent {
                zone: Some(zone.to_owned()),
                roles: Roles {
                    produce,
                    fetch: true,
                },
                ..Agent::new(id, "h", 1)
            })
        };
        let produce = |agent: &Agent| agent.roles.produce;
        let all = [
            agent(1, "a", true),
            agent(2, "a", false),
            agent(3, "b", true),
            agent(4, "c", false),
        ];
        assert_eq!(choose(&all, Some("a"), produce), [1]);
        assert_eq!(choose(&all, Some("c"), produce), [1, 3]);
        assert_eq!(choose(&all, Some("d"), produce), [1, 3]);
        assert_eq!(choose(&all, None, produce), [1, 3]);
        assert_eq!(choose(&all[3..], Some("a"), produce), [0; 0]);
    }

    #[test]
    fn a_clients_id_may_name_its_zone() {
        for (id, expected) in [
            ("app", None),
            ("zone=a", Some("a")),
            ("app,zone=eu-1b,x=y", Some("eu-1b")),
            ("ws_az=us-east-1a", Some("us-east-1a")),
            ("app;ws_az=a", Some("a")),
            ("timezone=a", None),
            ("zone=", None),
        ] {
            assert_eq!(zone(id), expected, "{id}");
        }
    }
}
