//! A running agent, until it is to end.

use std::time::Duration;

use tokio::time::timeout;

use super::start::Server;

/// An agent that reaches its metadata serves before that.
const NOT_READY_AFTER: Duration = Duration::from_secs(2);

impl Server {
    /// Has the log say that clients are served, once they are, and what that waits for where it takes long.
    pub fn announce(&self) {
        let listen: Vec<String> = self.listen.iter().map(ToString::to_string).collect();
        let (listen, http) = (listen.join(","), self.http);
        let (identity, metadata) = (self.identity.clone(), self.rooms.context.metadata.clone());
        let mut stop = self.rooms.door.connections.stopping();
        let announced = async move {
            let http = http.map(tracing::field::display);
            let soon = timeout(NOT_READY_AFTER, identity.joined()).await.is_ok();
            if !soon && let Some(why) = metadata.unreached().or_else(|| identity.trouble()) {
                tracing::info!(listen, http, "not ready: {why}");
            }
            identity.joined().await;
            tracing::info!(listen, http, "serving");
        };
        self.rooms.tasks.spawn("announcement", async move {
            tokio::select! {
                () = announced => {}
                () = stop.requested() => {}
            }
            Ok(())
        });
    }

    /// Serves until a signal or a failed task, then drains: no new sockets, no new requests, everything that was
    /// accepted is stored, committed and answered.
    ///
    /// # Errors
    /// When a task failed: the process must not go on without it, or did not end well.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let failure = tokio::select! {
            () = self.signals.received() => None,
            failure = self.rooms.failed() => Some(failure),
        };
        match failure {
            Some(failure) => Err(anyhow::anyhow!("stopped because {failure}")),
            None => {
                tracing::info!("draining");
                self.rooms.drain(self.shutdown_grace).await;
                if let Some(failure) = self.rooms.failure() {
                    anyhow::bail!("could not stop in order: {failure}");
                }
                tracing::info!("stopped");
                Ok(())
            }
        }
    }
}
