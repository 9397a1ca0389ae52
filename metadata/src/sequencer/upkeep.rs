//! What a sequencer does besides drains: steps of checkpoints, which hold drains back where they fall behind, and
//! forgetting producers that are silent.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::{Sequencer, Serves};
use crate::checkpoint::Checkpoint;
use crate::command::Command;
use crate::error::Error;
use crate::types::Timestamp;

/// Producers silent for a day are forgotten, as by Kafka's `producer.id.expiration.ms`.
const PRODUCER_EXPIRY_MS: i64 = 24 * 60 * 60 * 1000;

impl Sequencer {
    /// What must be done before the next drain: where checkpoints fall behind, what waits is not lost, only slower.
    pub(super) async fn keep_up(&mut self) -> Result<(), Error> {
        loop {
            self.tick().await?;
            if self.log.is_due() {
                self.begin_checkpoint();
            }
            if !self.is_checkpointing() || !self.log.owes_step() {
                return Ok(());
            }
            self.checkpoint_step().await?;
        }
    }

    /// Whatever is due besides drains.
    pub(super) async fn background(&mut self) -> Result<(), Error> {
        self.keep_up().await?;
        if self.expiry_due <= Instant::now() {
            self.expiry_due = Instant::now() + self.options.expiry_interval;
            let now = self.time.now();
            planted!(let now = "wall-clock-expires-producers" => (self.options.now)());
            let before = Timestamp(now.0.saturating_sub(PRODUCER_EXPIRY_MS));
            if self.command(Command::ExpireProducers { before }).await? {
                // Perhaps not all of them; drains have their turn in between.
                self.expiry_due = Instant::now();
            }
        }
        Ok(())
    }

    pub(super) fn begin_checkpoint(&mut self) {
        if !self.is_checkpointing() {
            let checkpoint = Checkpoint::begin(&mut self.state);
            self.checkpoint = Some(checkpoint.in_steps_of(self.options.checkpoint_steps));
            self.log.checkpoint_begins();
        }
    }

    /// Rows are being written, or the log that they made superfluous is being cleared.
    pub(super) fn is_checkpointing(&self) -> bool {
        self.checkpoint.is_some() || self.log.is_clearing()
    }

    pub(super) async fn checkpoint_step(&mut self) -> Result<(), Error> {
        self.log.stepped();
        let kv = self.kv.as_ref();
        let Some(mut checkpoint) = self.checkpoint.take() else {
            let cleared = self.log.clear(kv).await?;
            return self.holder.write(kv, cleared, &self.options).await;
        };
        // Drains have their turn in between.
        if checkpoint.read_ahead(kv, &self.state).await? {
            self.checkpoint = Some(checkpoint);
            return Ok(());
        }
        let transaction = checkpoint.step(kv, &mut self.state).await?;
        self.shared
            .counts
            .transactions
            .fetch_add(1, Ordering::Relaxed);
        self.holder.write(kv, transaction, &self.options).await?;
        if checkpoint.is_done() {
            let at = checkpoint.at();
            planted!(let at = "log-cleared-before-it-is-in-rows" => at.max(self.state.lsn));
            self.log.checkpoint_done(at);
            self.shared
                .counts
                .checkpoints
                .fetch_add(1, Ordering::Relaxed);
        } else {
            self.checkpoint = Some(checkpoint);
        }
        Ok(())
    }

    /// A last checkpoint. What cannot be written now is in the log.
    pub(super) async fn close(&mut self) -> Result<(), Error> {
        // One under way leaves the log that grew meanwhile to a second one.
        while self.is_checkpointing() || !self.log.is_empty() {
            self.begin_checkpoint();
            if let Err(error) = self.checkpoint_step().await {
                tracing::warn!(%error, "no checkpoint at the end; the next start replays the log");
                break;
            }
        }
        if matches!(self.options.serves, Serves::Network(_))
            && let Err(error) = self.holder.leave(self.kv.as_ref()).await
        {
            tracing::info!(%error, "could not say goodbye; others find out by themselves");
        }
        Ok(())
    }
}
