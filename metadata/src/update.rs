//! What became durable and is told to those who watch: one variant for each thing that can be watched. The sequencer
//! makes updates, `rpc` carries them as they are, and an agent's end takes them in, so that what is watched next is one
//! more variant here.

use std::sync::Arc;

use crate::catalogue::{Agent, TopicsUpdate};
use crate::types::{Bounds, Extent, NamingEpoch, Scope, TopicPartition};

/// A subscriber gets them in the order in which they became durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    Topics(Arc<TopicsUpdate>),
    Views(Vec<ViewUpdate>),
    /// All that serve clients, by node id.
    Agents(Arc<Vec<Arc<Agent>>>),
    /// Objects are named in this epoch from now on.
    Naming(NamingEpoch),
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
            Self::Agents(agents) => agents.len(),
            Self::Naming(_) => 1,
            Self::Views(views) => views.iter().map(|view| 1 + view.extents.len()).sum(),
        }
    }
}
