//! Which agents clients are told of, and which of them each partition's clients are sent to: any agent serves any partition,
//! but when all of a zone's clients go to the same one for it, their batches meet in one buffer and their reads in one
//! cache.

use std::sync::Arc;

use metadata::{Agent, TopicId};

use crate::context::Context;

/// What a client's id may say of its zone, among other things: `zone=a`, or `ws_az=a` as for WarpStream.
const ZONE_KEYS: [&str; 2] = ["zone=", "ws_az="];

/// The agents that serve clients.
#[derive(Debug)]
pub(super) struct Brokers {
    all: Vec<Arc<Agent>>,
    /// Those of the client's zone; all if there is none there, or its zone is not known.
    near: Vec<i32>,
}

impl Brokers {
    /// As a client with that id is told.
    pub(super) fn of(context: &Context, client_id: Option<&str>) -> Self {
        let live = context.metadata.agents();
        let all = if live.is_empty() {
            vec![Arc::new(context.node.to_agent())]
        } else {
            live.to_vec()
        };
        let zone = client_id.and_then(zone);
        let ids = |which: &dyn Fn(&Agent) -> bool| -> Vec<i32> {
            let found = all.iter().filter(|agent| which(agent));
            found.map(|agent| agent.node_id).collect()
        };
        let mut near = ids(&|agent| zone.is_some() && agent.zone.as_deref() == zone);
        if near.is_empty() {
            near = ids(&|_| true);
        }
        Self { all, near }
    }

    pub(super) fn all(&self) -> &[Arc<Agent>] {
        &self.all
    }

    /// Where clients ask for what any agent can do: this one, unless it is leaving.
    pub(super) fn controller(&self, context: &Context) -> i32 {
        let here = context.node.id;
        let known = self.all.iter().any(|agent| agent.node_id == here);
        match (known, self.all.first()) {
            (false, Some(first)) => first.node_id,
            _ => here,
        }
    }

    /// The same for all clients of a zone; few partitions move when an agent comes or goes.
    pub(super) fn leader(&self, topic: TopicId, partition: i32) -> i32 {
        let partition = begin(topic, partition);
        let weight = |id: &&i32| weight(partition, **id);
        self.near.iter().max_by_key(weight).copied().unwrap_or(-1)
    }
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

    use super::*;

    fn brokers(near: &[i32]) -> Brokers {
        Brokers {
            all: Vec::new(),
            near: near.to_vec(),
        }
    }

    #[test]
    fn partitions_spread_evenly_and_few_move_when_an_agent_goes() {
        let (three, two) = (brokers(&[1, 2, 3]), brokers(&[1, 3]));
        let mut count: BTreeMap<i32, u32> = BTreeMap::new();
        for partition in 0..3000 {
            let leader = three.leader(TopicId(7), partition);
            *count.entry(leader).or_default() += 1;
            if leader != 2 {
                assert_eq!(two.leader(TopicId(7), partition), leader);
            }
        }
        assert!(
            count.values().all(|count| (900..1100).contains(count)),
            "{count:?}"
        );
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
