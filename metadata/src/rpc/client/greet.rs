//! The first words on a new link: who this agent is, and which session it has from now on.

use std::sync::atomic::Ordering;

use tokio::time::timeout;

use super::work::{Ended, SILENCE_MAX, Work};
use crate::error::Error;
use crate::level::WRITER_LEVEL;
use crate::rpc::link::Link;
use crate::rpc::message::{Down, Hello, Up, Welcome};
use crate::types::SessionId;

impl Work {
    /// Says who it is, and hears which session it has from now on.
    pub(super) async fn greet(&mut self, link: &mut Link) -> Result<Result<(), Ended>, Error> {
        let lost = |reason: &str| Ok(Err(Ended::Lost(reason.to_owned())));
        let hello = Hello {
            versions: self.versions,
            level: WRITER_LEVEL,
            session: self.session,
            agent: self.agent.clone(),
        };
        if link.sender.try_send(Up::Hello(hello).encode()).is_err() {
            return lost("the link takes nothing");
        }
        let Ok(Some(frame)) = timeout(SILENCE_MAX, link.receiver.recv()).await else {
            return lost("nobody answered the greeting");
        };
        let Welcome {
            version,
            cluster_id,
            session,
            level,
            naming,
        } = match Down::decode(frame) {
            Ok(Down::Welcome(welcome)) => welcome,
            Ok(Down::Redirect(address)) => return Ok(Err(Ended::Redirected(address))),
            Ok(Down::End(reason)) => return lost(&reason),
            _ => return lost("it does not speak the protocol"),
        };
        if !(self.versions.min..=self.versions.max).contains(&version) {
            return lost("it chose a version of the protocol that this agent does not speak");
        }
        if level > WRITER_LEVEL {
            return lost("the cluster has a feature level that this agent cannot read");
        }
        let known = self.shared.cluster_id.get_or_init(|| cluster_id.clone());
        if *known != cluster_id {
            return Err(Error::Corrupt(format!(
                "the sequencer is of cluster {cluster_id}, this agent belongs to {known}"
            )));
        }
        self.shared.naming.store(naming.0, Ordering::Release);
        if session != self.session {
            self.begin(session);
        }
        Ok(Ok(()))
    }

    /// A new session: of what was asked in the old one, nobody will know what became of it.
    fn begin(&mut self, session: SessionId) {
        tracing::info!(session = session.id, "a session with the sequencer begins");
        self.session = session;
        planted!("submitted-again-in-a-new-session", {
            self.shared.session.lock().id = session.id;
            return;
        });
        self.commands.fail_all("the agent's session was closed");
        let mut state = self.shared.session.lock();
        state.id = session.id;
        state.next = 1;
    }
}
