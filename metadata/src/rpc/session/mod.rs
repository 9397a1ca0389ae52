//! One agent at the sequencer's process: its commands go into the queue in order, its questions are answered as they can
//! be, and what became durable is told before any answer that came after it. Whatever goes wrong ends the link: the agent
//! comes back and submits again what is unanswered. One task each, started by `server`.

mod begin;
mod outgoing;
mod receive;
mod work;

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::link::Link;
use super::message::{Down, GREETING_BYTES_MAX, Up, Versions, no_common_version};
use crate::catalogue::Agent;
use crate::handle::Metadata;
use crate::said::Said;
use crate::sequencer::lineage::Lineage;
use crate::sequencer::{Looker, Role, Status};
use crate::shown::Shown;
use work::Session;

/// The first frame must come in this time, and must be answered in it.
const HELLO_TIME_MAX: Duration = Duration::from_secs(5);

/// Sessions that could not begin, of all agents.
static NOT_BEGUN: Said<()> = Said::seldom(16);

/// Serves one agent to the end of its link.
pub(super) async fn serve(mut link: Link, status: Status, ours: Versions) {
    let Ok(Some(frame)) = timeout(HELLO_TIME_MAX, link.receiver.recv()).await else {
        return;
    };
    link.took(&frame);
    if frame.len() > GREETING_BYTES_MAX {
        return tracing::info!(
            bytes = frame.len(),
            "closed a link whose greeting is too long"
        );
    }
    let greeting = Up::decode_as(ours, frame);
    match greeting {
        Ok(Up::Who(asker)) => {
            if let Role::Holding(metadata) = status.role() {
                let looker = Looker {
                    from: link.from,
                    address: asker.address,
                    level: asker.level,
                };
                metadata.shared().waiting.lock().looked(looker);
            }
            let nonce = status.nonce();
            return say(&link, Down::Iam { nonce }).await;
        }
        Ok(Up::Hello(_) | Up::Stranger(_)) => {}
        _ => return tracing::info!("closed a link that does not speak the protocol"),
    }
    let metadata = match status.role() {
        Role::Holding(metadata) if metadata.ready() => metadata,
        Role::Holding(_) => return say(&link, Down::Redirect(String::new())).await,
        // Also those who do not speak this process's versions: the other one may speak theirs.
        Role::Waiting { holder } => return say(&link, Down::Redirect(holder)).await,
    };
    let hello = match greeting {
        Ok(Up::Hello(hello)) => hello,
        Ok(Up::Stranger(theirs)) => {
            let reason = no_common_version(ours, theirs);
            tracing::warn!(reason, "turned an agent away");
            return say(&link, Down::End(reason)).await;
        }
        _ => return,
    };
    let Some(version) = ours.common(hello.versions) else {
        return;
    };
    let level = metadata.shared().level.load(Ordering::Acquire);
    if hello.level < level {
        tracing::warn!(
            cluster = level,
            agent = hello.level,
            "turned an agent away that cannot read the cluster's feature level"
        );
        return say(&link, Down::TooNew { level }).await;
    }
    let begun = Session::begin(link, metadata, hello, version, &status);
    match timeout(HELLO_TIME_MAX, begun).await {
        Ok(Ok(Some(session))) => session.run().await,
        Ok(Ok(None)) => {}
        Ok(Err(error)) => not_begun(&error.to_string()),
        Err(_) => not_begun("it took too long"),
    }
}

/// Whoever is refused comes back at once.
fn not_begun(reason: &str) {
    if let Some(unsaid) = NOT_BEGUN.admit(()) {
        tracing::info!(reason, unsaid, "an agent's session could not begin");
    }
}

async fn say(link: &Link, down: Down) {
    let sent = link.sender.send(down.encode());
    // Gone already, or too slow to hear it.
    let _ = timeout(HELLO_TIME_MAX, sent).await;
}

/// What the holder in this process knows of the store.
fn lineage(metadata: &Metadata) -> Option<Lineage> {
    let known = metadata.shared().lineage.get()?;
    Some(known.lock().clone())
}

/// What to do about an agent that has the same node id.
pub(super) fn collision(rival: &Agent) -> String {
    let Agent {
        node_id, listeners, ..
    } = rival;
    let at = listeners.first();
    let at = at.map_or_else(String::new, |at| {
        format!("{}:{}", Shown::name(&at.host), at.port)
    });
    format!(
        "another agent, which clients are told to reach at {at}, has node id {node_id} as well, and clients see only the one that came later: give each its own --node-id"
    )
}
