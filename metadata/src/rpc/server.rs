//! Takes agents in: while this process holds the order each gets a session, otherwise it is sent to whoever does.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::link::Link;
use super::message::{Versions, spoken};
use super::session;
use crate::sequencer::Status;

/// Links at a time; more are turned away.
const LINKS_MAX: usize = 4096;

/// Serves the links it is given. Does nothing until [`Server::run`] is polled.
#[derive(Debug)]
pub struct Server {
    links: mpsc::Receiver<Link>,
    status: Status,
    versions: Versions,
}

impl Server {
    /// For those who come by `links` to the candidate with that status.
    #[must_use]
    pub fn new(links: mpsc::Receiver<Link>, status: Status) -> Self {
        Self {
            links,
            status,
            versions: spoken(),
        }
    }

    /// One that speaks other versions than this process.
    #[cfg(test)]
    pub(super) fn speaking(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    /// Until nobody can bring links any more and all have ended.
    pub async fn run(mut self) {
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                session = self.next() => match session {
                    Some(session) if sessions.len() < LINKS_MAX => {
                        sessions.spawn(session);
                    }
                    Some(_) => tracing::warn!("turned an agent away: too many links"),
                    None => break,
                },
                Some(_) = sessions.join_next() => {}
            }
        }
        while sessions.join_next().await.is_some() {}
    }

    /// The session of the next agent that comes, for whoever runs sessions as tasks of his own; `None` once nobody can
    /// bring links any more.
    pub async fn next(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let link = self.links.recv().await?;
        Some(session::serve(link, self.status.clone(), self.versions))
    }
}
