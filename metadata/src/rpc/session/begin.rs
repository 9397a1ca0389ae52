//! How a session begins: the agent's own is taken up, or a new one opened, and the agent is welcomed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::work::Session;
use super::{collision, lineage, say};
use crate::command::{Command, Outcome, Submission};
use crate::error::Error;
use crate::handle::Metadata;
use crate::history::{Holds, Point};
use crate::queue::{Asked, ReplyTo};
use crate::rpc::link::Link;
use crate::rpc::message::{Down, Hello, Welcome};
use crate::sequencer::Status;
use crate::sequencer::feed::feed;
use crate::sequencer::lineage::Lineage;
use crate::sequencer::openers::{Opening, TOO_MANY};
use crate::sequencer::reads::Read;
use crate::types::SessionId;

impl Session {
    /// Takes up the agent's session, or opens a new one if that is closed.
    pub(super) async fn begin(
        link: Link,
        metadata: Metadata,
        hello: Hello,
        version: u32,
        status: &Status,
    ) -> Result<Option<Self>, Error> {
        let (agent, from) = (hello.agent.map(Arc::new), link.from);
        let mut session = hello.session;
        for _ in 0..2 {
            if session == SessionId::NONE {
                let Some(opening) = metadata.shared().openers.begin(from) else {
                    say(&link, Down::End(TOO_MANY.to_owned())).await;
                    return Ok(None);
                };
                session = open(&metadata, status.random(), opening).await?;
            }
            let (feed, updates) = feed();
            let attached = metadata.read(|reply| Read::Attach {
                session,
                agent: agent.clone(),
                level: hello.level,
                feed,
                from,
                reply,
            });
            let Some(attached) = attached.await? else {
                session = SessionId::NONE;
                continue;
            };
            // As of now or later: whatever it says is durable.
            let Some(lineage) = lineage(&metadata) else {
                return Ok(None);
            };
            if let Some(point) = unheld(hello.remembered, &lineage) {
                metadata.shared().doubts.hear(&point, lineage.durable);
            }
            let chain = Arc::clone(&lineage.chain);
            let welcome = Welcome {
                version,
                cluster_id: metadata.cluster_id().to_owned(),
                session,
                lineage,
                level: metadata.shared().level.load(Ordering::Acquire),
                naming: attached.naming,
            };
            let rival = attached.rival.as_deref().map(collision);
            let id = session.id;
            let mut begun = Self::new(link, metadata, id, chain, attached, updates);
            begun.outgoing.push(&Down::Welcome(welcome));
            if let Some(text) = rival {
                tracing::warn!(text, "two agents collide");
                begun.outgoing.push(&Down::Warning(text));
            }
            return Ok(Some(begun));
        }
        Ok(None)
    }
}

/// What an agent was told of and the store does not hold. It stops by itself; here somebody shall look, too.
fn unheld(remembered: Option<Point>, lineage: &Lineage) -> Option<Point> {
    remembered.filter(|point| lineage.chain.holds(lineage.durable, point) == Holds::No)
}

async fn open(metadata: &Metadata, nonce: u64, opening: Opening) -> Result<SessionId, Error> {
    let (reply, opened) = oneshot::channel();
    let closing = Vec::new();
    let submission = Submission::own(Command::OpenSession { closing, nonce });
    let reply = ReplyTo::from(reply).opening(opening);
    metadata.put(Asked::Command(submission, reply)).await?;
    match opened.await.unwrap_or(Err(Error::Closing))?.outcome {
        Outcome::SessionOpened(id) => Ok(SessionId { id, nonce }),
        outcome => Err(Error::unavailable(format!("a session answers {outcome:?}"))),
    }
}
