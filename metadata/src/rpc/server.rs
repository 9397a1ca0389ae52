//! Takes agents in: while this process holds the order each gets a session, otherwise it is sent to whoever does.

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::link::Link;
use super::session;
use crate::handle::Metadata;

/// Links at a time; more are turned away.
const LINKS_MAX: usize = 4096;

/// What this process is to agents.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Somebody else holds the order, as far as is known at this address.
    Waiting { holder: String },
    /// Agents are served here.
    Holding(Metadata),
}

/// Serves the links it is given. Does nothing until [`Server::run`] is polled.
#[derive(Debug)]
pub struct Server {
    links: mpsc::Receiver<Link>,
    roles: watch::Receiver<Role>,
}

impl Server {
    pub(crate) fn new(links: mpsc::Receiver<Link>, roles: watch::Receiver<Role>) -> Self {
        Self { links, roles }
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
        Some(session::serve(link, self.roles.clone()))
    }
}
