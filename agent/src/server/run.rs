//! A running agent, until it is to end.

use super::start::Server;

impl Server {
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
