//! The first words on a new link: who this agent is, and which session it has from now on.

use tokio::time::timeout;

use super::work::{Ended, SILENCE_MAX, Work};
use crate::error::Error;
use crate::rpc::link::Link;
use crate::rpc::message::{Down, Up};

impl Work {
    /// Says who it is, and hears which session it has from now on.
    pub(super) async fn greet(&mut self, link: &mut Link) -> Result<Result<(), Ended>, Error> {
        let lost = |reason: &str| Ok(Err(Ended::Lost(reason.to_owned())));
        let (session, agent) = (self.session, self.agent.clone());
        let hello = Up::Hello { session, agent }.encode();
        if link.sender.try_send(hello).is_err() {
            return lost("the link takes nothing");
        }
        let Ok(Some(frame)) = timeout(SILENCE_MAX, link.receiver.recv()).await else {
            return lost("nobody answered the greeting");
        };
        let (cluster_id, session) = match Down::decode(frame) {
            Ok(Down::Welcome {
                cluster_id,
                session,
            }) => (cluster_id, session),
            Ok(Down::Redirect(address)) => return Ok(Err(Ended::Redirected(address))),
            Ok(Down::End(reason)) => return lost(&reason),
            _ => return lost("it does not speak this version of the protocol"),
        };
        let known = self.shared.cluster_id.get_or_init(|| cluster_id.clone());
        if *known != cluster_id {
            return Err(Error::Corrupt(format!(
                "the sequencer is of cluster {cluster_id}, this agent belongs to {known}"
            )));
        }
        if session != self.session {
            self.begin(session);
        }
        Ok(Ok(()))
    }

    /// A new session: of what was asked in the old one, nobody will know what became of it.
    fn begin(&mut self, session: u64) {
        tracing::info!(session, "a session with the sequencer begins");
        self.session = session;
        planted!("submitted-again-in-a-new-session", {
            self.shared.session.lock().id = session;
            return;
        });
        self.commands.fail_all("the agent's session was closed");
        let mut state = self.shared.session.lock();
        state.id = session;
        state.next = 1;
    }
}
