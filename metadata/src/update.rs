//! What became durable and is told to those who watch: one variant for each thing that can be watched. The sequencer
//! makes updates, `rpc` carries them as they are, and an agent's end takes them in, so that what is watched next is one
//! more variant here.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::catalogue::{Agent, TopicsUpdate};
use crate::types::{Bounds, Extent, NamingEpoch, Scope, TopicPartition};

/// A subscriber gets them in the order in which they became durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    Topics(Arc<TopicsUpdate>),
    Views(Vec<ViewUpdate>),
    /// All that serve clients, by node id.
    Agents(Arc<Agents>),
    /// Objects are named in this epoch from now on.
    Naming(NamingEpoch),
}

/// The agents that serve clients, and their frame: every link is told the same, which is made once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agents {
    pub(crate) all: Arc<Vec<Arc<Agent>>>,
    frame: OnceLock<Bytes>,
}

/// How a watched partition changed: extents that follow those told before, or, with [`Scope::All`], the newest ones. Never
/// more than a view keeps: where more are new at once, the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ViewUpdate {
    pub(crate) partition: TopicPartition,
    pub(crate) scope: Scope,
    pub(crate) bounds: Bounds,
    pub(crate) extents: Vec<Extent>,
}

impl Update {
    /// Topics, agents, partitions and extents in it: what its size goes by.
    pub(crate) fn items(&self) -> usize {
        match self {
            Self::Topics(topics) => topics.changed.len() + topics.gone.len(),
            Self::Agents(agents) => agents.all.len(),
            Self::Naming(_) => 1,
            Self::Views(views) => views.iter().map(|view| 1 + view.extents.len()).sum(),
        }
    }
}

impl Agents {
    pub(crate) fn new(all: Vec<Arc<Agent>>) -> Self {
        Self {
            all: Arc::new(all),
            frame: OnceLock::new(),
        }
    }

    /// As `make` made it when it was first asked for.
    pub(crate) fn frame(&self, make: impl FnOnce() -> Bytes) -> Bytes {
        self.frame.get_or_init(make).clone()
    }

    /// About what the frame takes.
    pub(crate) fn bytes(&self) -> usize {
        let of_agent = |agent: &Arc<Agent>| {
            let listeners = agent.listeners.iter();
            let listeners = listeners.map(|each| 8 + each.name.len() + each.host.len());
            16 + listeners.sum::<usize>() + agent.zone.as_ref().map_or(0, String::len)
        };
        self.all.iter().map(of_agent).sum()
    }
}

impl PartialEq for Agents {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl Eq for Agents {}
