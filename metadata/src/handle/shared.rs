//! What all handles of a process share with whoever works for them: what was published, and what waits.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::NO_SESSION;
use crate::catalogue::{Agent, Catalogue};
use crate::history::Point;
use crate::kv::Kv;
use crate::numbering::Numbering;
use crate::queue::Room;
use crate::sequencer::Waiting;
use crate::sequencer::doubts::Doubts;
use crate::sequencer::lineage::Known;
use crate::sequencer::openers::Openers;
use crate::sought::Sought;
use crate::state::{Limits, Usage};
use crate::views::Views;

/// What sequencer and handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Where old extents are read; none in an agent that asks a sequencer elsewhere.
    pub(crate) kv: Option<Arc<dyn Kv>>,
    /// Known once a sequencer was reached.
    pub(crate) cluster_id: OnceLock<String>,
    pub(crate) catalogue: Mutex<Arc<Catalogue>>,
    /// Agents that serve clients, by node id; none where there is only this one.
    pub(crate) agents: Mutex<Arc<Vec<Arc<Agent>>>>,
    pub(crate) views: Views,
    /// The epoch in which objects are named.
    pub(crate) naming: AtomicU32,
    /// The feature level: elsewhere than in the process of the holder, that of its welcome.
    pub(crate) level: AtomicU32,
    pub(crate) ready: AtomicBool,
    /// Whether a sequencer elsewhere that is reached answers what it is asked.
    pub(crate) answers: AtomicBool,
    /// What is met where one is sought in other processes.
    pub(crate) sought: Sought,
    /// Whether a sequencer was ever reached.
    pub(crate) joined: watch::Sender<bool>,
    pub(crate) counts: Counts,
    pub(crate) session: Mutex<Numbering>,
    pub(crate) room: Room,
    /// Candidates that wait, in the process of the holder.
    pub(crate) waiting: Mutex<Waiting>,
    /// Who wrote the store and how far it is durable, as its holder knows, or as it was last told of it.
    pub(crate) lineage: OnceLock<Known>,
    /// What agents were told that the store does not hold.
    pub(crate) doubts: Doubts,
    /// Whose the open sessions are, in the process of the holder.
    pub(crate) openers: Openers,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) drains: AtomicU64,
    pub(crate) log_bytes: AtomicU64,
    pub(crate) transactions: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) chunks_freed: AtomicU64,
    pub(crate) objects_orphaned: AtomicU64,
    /// As of the last drain or checkpoint, with the bounds.
    pub(crate) usage: Mutex<(Usage, Limits)>,
}

impl Shared {
    pub(crate) fn new(kv: Arc<dyn Kv>, cluster_id: String, session: u64, lineage: Known) -> Self {
        Self {
            kv: Some(kv),
            cluster_id: OnceLock::from(cluster_id),
            catalogue: Mutex::default(),
            agents: Mutex::default(),
            views: Views::default(),
            naming: AtomicU32::new(0),
            level: AtomicU32::new(1),
            ready: AtomicBool::new(true),
            answers: AtomicBool::new(true),
            sought: Sought::default(),
            joined: watch::Sender::new(true),
            counts: Counts::default(),
            session: Mutex::new(Numbering::new(session)),
            room: Room::new(),
            waiting: Mutex::default(),
            lineage: OnceLock::from(lineage),
            doubts: Doubts::default(),
            openers: Openers::default(),
        }
    }

    /// The last durable point that is known.
    pub(crate) fn point(&self) -> Option<Point> {
        self.lineage.get()?.lock().point()
    }

    /// Of an agent whose sequencer is in another process, and not reached yet.
    pub(crate) fn elsewhere(addresses: &[String]) -> Self {
        Self {
            kv: None,
            cluster_id: OnceLock::new(),
            catalogue: Mutex::default(),
            agents: Mutex::default(),
            views: Views::default(),
            naming: AtomicU32::new(0),
            level: AtomicU32::new(1),
            ready: AtomicBool::new(false),
            answers: AtomicBool::new(true),
            sought: Sought::at(addresses),
            joined: watch::Sender::new(false),
            counts: Counts::default(),
            session: Mutex::new(Numbering::new(NO_SESSION)),
            room: Room::new(),
            waiting: Mutex::default(),
            lineage: OnceLock::new(),
            doubts: Doubts::default(),
            openers: Openers::default(),
        }
    }
}
