//! Takes sockets in, up to a limit, and gives each its task.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::admission::Admission;
use crate::connection::{self, Close, ConnectionId};
use crate::context::Context;
use crate::dispatch::Dispatch;
use crate::metrics;
use crate::tasks::{Stop, Tasks};

pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    pub(super) context: Arc<Context>,
    pub(super) dispatch: Arc<Dispatch>,
    pub(super) admission: Admission,
    pub(super) front: metrics::Front,
    pub(super) connections: Tasks,
    pub(super) connections_max: usize,
}

impl Acceptor {
    /// Until the agent drains; then the port is closed, so that clients look elsewhere.
    pub(super) async fn run(self, mut stop: Stop) -> anyhow::Result<()> {
        // Without a catalogue, clients would be told that their topics do not exist. Until then they wait in the backlog.
        tokio::select! {
            () = self.context.metadata.joined() => {}
            () = stop.requested() => return Ok(()),
        }
        for id in 0_u64.. {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.requested() => break,
            };
            match accepted {
                Ok((socket, _)) if self.connections.live() < self.connections_max => {
                    self.serve(ConnectionId(id), socket);
                }
                Ok((_, peer)) => {
                    tracing::warn!(%peer, "turned away: as many connections as --connections-max allows")
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    // Out of file descriptors, most likely: give it time.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        Ok(())
    }

    fn serve(&self, id: ConnectionId, socket: TcpStream) {
        let (dispatch, admission) = (Arc::clone(&self.dispatch), self.admission.clone());
        let (gauge, stop) = (self.front.connections.clone(), self.connections.stopping());
        self.connections.spawn("connection", async move {
            gauge.increment(1);
            let peer = socket.peer_addr();
            // Replies are written whole; waiting for more would only delay them.
            let _ = socket.set_nodelay(true);
            let closed = connection::serve(id, socket, dispatch, admission, stop).await;
            gauge.decrement(1);
            match closed {
                Ok(()) | Err(Close::Gone | Close::Socket(_) | Close::Idle) => {}
                Err(close) => {
                    let peer = peer.ok().map(tracing::field::display);
                    tracing::info!(peer, %close, "closed a connection");
                }
            }
            Ok(())
        });
    }
}
