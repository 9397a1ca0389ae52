//! Takes sockets in, as the gate lets them, and gives each its task.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::gate::Place;
use super::prompt::PromptReads;
use super::rooms::Door;
use crate::call::{Arrival, ConnectionId};
use crate::connection::bound_unsent;
use crate::identity::Identity;
use crate::said::Said;
use crate::tasks::Stop;

/// Clients wait for so long to be heard by an agent that has not reached the metadata yet; librdkafka gives up after 10 s.
const BACKLOG_MAX: Duration = Duration::from_secs(5);
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    /// Of the listener.
    pub(super) name: String,
    /// Connections so far, at all listeners.
    pub(super) connections: Arc<AtomicU64>,
    pub(super) identity: Identity,
    pub(super) door: Door,
}

/// Accepting fails for as long as there are no file descriptors.
static FAILED: Said<io::ErrorKind> = Said::new(Duration::from_secs(10), 6);

impl Acceptor {
    /// Until the agent drains; then the port is closed, so that clients look elsewhere.
    pub(super) async fn run(self, mut stop: Stop) -> anyhow::Result<()> {
        tokio::select! {
            () = self.joined() => {}
            () = stop.requested() => return Ok(()),
        }
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.requested() => break,
            };
            match accepted {
                Ok((socket, peer)) => {
                    if let Some(place) = self.door.gate.admit(peer) {
                        self.serve(socket, peer, place);
                    }
                }
                Err(error) => {
                    if let Some(unsaid) = FAILED.admit(error.kind()) {
                        tracing::warn!(%error, unsaid, "cannot accept");
                    }
                    // Out of file descriptors, most likely: give it time.
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
        Ok(())
    }

    /// Without a catalogue, clients would be told that their topics do not exist; and with a bucket that is not the
    /// metadata's, that their records are stored. Until then they wait in the backlog, but not until they take silence for
    /// an old broker: who waits for long is sent away, and comes back or asks another agent.
    async fn joined(&self) {
        if timeout(BACKLOG_MAX, self.identity.joined()).await.is_ok() {
            return;
        }
        loop {
            tokio::select! {
                () = self.identity.joined() => return,
                accepted = self.listener.accept() => match accepted {
                    Ok(unheard) => drop(unheard),
                    Err(_) => sleep(ACCEPT_AGAIN).await,
                }
            }
        }
    }

    fn serve(&self, socket: TcpStream, peer: SocketAddr, place: Place) {
        let connection = ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed));
        let arrival = Arrival::new(connection, self.name.clone(), Some(peer.ip()));
        // Replies are written whole; waiting for more would only delay them.
        let _ = socket.set_nodelay(true);
        bound_unsent(&socket);
        let (read, write) = socket.into_split();
        self.door
            .serve((PromptReads(read), write), arrival, Some(place));
    }
}
