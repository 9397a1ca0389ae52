//! The first words on a new link: who this agent is, and which session it has from now on. And whether the sequencer is
//! one to be believed: it must be of the same cluster, and hold what this agent was told is durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::Mutex;

use super::commands::SESSION_CLOSED;
use super::work::Work;
use crate::error::Error;
use crate::history::Holds;
use crate::level;
use crate::rpc::message::{Hello, Up, Welcome};
use crate::sequencer::lineage::Lineage;
use crate::types::{Lsn, SessionId};

impl Work {
    /// Who it is.
    pub(super) fn hello(&self) -> Bytes {
        let hello = Hello {
            versions: self.versions,
            level: level::known(),
            session: self.session,
            remembered: self.shared.point(),
            agent: self.agent.clone(),
        };
        Up::Hello(hello).encode()
    }

    /// Everything up to `lsn` is durable, the sequencer says.
    pub(super) fn hear(&self, lsn: Lsn) {
        if let Some(known) = self.shared.lineage.get() {
            let mut known = known.lock();
            known.durable = known.durable.max(lsn);
        }
    }

    /// Takes the session that it is given. `Err(Ok)`: why the link is of no use.
    pub(super) fn greeted(&mut self, welcome: Welcome) -> Result<(), Result<String, Error>> {
        let unknown = |what: &str| Err(Ok(format!("it has {what} that this agent does not know")));
        if !self.versions.contains(welcome.version) {
            return unknown("a version of the protocol");
        }
        level::check(welcome.level).map_err(Err)?;
        self.shared.level.store(welcome.level, Ordering::Release);
        let cluster_id = welcome.cluster_id;
        let known = self.shared.cluster_id.get_or_init(|| cluster_id.clone());
        if *known != cluster_id {
            return Err(Err(Error::OtherCluster {
                found: cluster_id,
                known: known.clone(),
            }));
        }
        let held = self.check(&welcome.lineage)?;
        let lineage = || Arc::new(Mutex::new(welcome.lineage.clone()));
        *self.shared.lineage.get_or_init(lineage).lock() = welcome.lineage.clone();
        if !held {
            self.begin(SessionId::NONE);
            self.shared.views.retain(|_| false);
            return Err(Ok("an older metadata store was accepted".to_owned()));
        }
        let naming = welcome.naming.0;
        self.shared.naming.store(naming, Ordering::Release);
        if welcome.session != self.session {
            self.begin(welcome.session);
        }
        Ok(())
    }

    /// Whether the store holds what this agent was told is durable. One that went back in time hands out sessions and
    /// producer ids twice, and lacks what was acknowledged: an agent that knows stops, rather than serve from it. Where an
    /// operator accepted that, the chain says so: it names the history that the agent knows among those given up, and no
    /// owner that wrote what the agent remembers. Then the agent goes on as one that has just been started: with a new
    /// session, and no view of any partition.
    fn check(&self, lineage: &Lineage) -> Result<bool, Result<String, Error>> {
        let Some(point) = self.shared.point() else {
            return Ok(true);
        };
        match lineage.chain.holds(lineage.durable, &point) {
            Holds::Yes => Ok(true),
            Holds::Accepted => {
                tracing::warn!(
                    lsn = point.lsn.0,
                    "an older metadata store was accepted; this agent begins anew with it"
                );
                Ok(false)
            }
            Holds::No | Holds::TooOld => Err(Err(Error::WentBack(format!(
                "this agent was told that log position {} of history {}, written by the holder of epoch {}, is durable, \
                 and the store, at position {} of history {}, does not hold it",
                point.lsn.0,
                point.history,
                point.epoch,
                lineage.durable.0,
                lineage.chain.history()
            )))),
        }
    }

    /// A new session: of what was asked in the old one, nobody will know what became of it.
    fn begin(&mut self, session: SessionId) {
        tracing::info!(session = session.id, "a session with the sequencer begins");
        self.session = session;
        planted!("submitted-again-in-a-new-session", {
            self.shared.session.lock().id = session.id;
            return;
        });
        self.commands.fail_all(SESSION_CLOSED);
        self.shared.session.lock().begin(session.id);
    }
}
