//! What a sequencer does besides drains: steps of checkpoints, which hold drains back where they fall behind, and
//! forgetting producers that are silent.

use std::sync::atomic::Ordering;

use futures::FutureExt;
use tokio::time::Instant;

use super::log::Log;
use super::{Sequencer, Serves};
use crate::checkpoint::{Ahead, Checkpoint, Steps};
use crate::command::Command;
use crate::error::Error;
use crate::kv::{Transaction, Write};
use crate::types::Timestamp;

/// Producers silent for a day are forgotten, as by Kafka's `producer.id.expiration.ms`.
const PRODUCER_EXPIRY_MS: i64 = 24 * 60 * 60 * 1000;

/// Rows go with a drain of no more log than this: stores limit transactions, and a large one takes long anyway.
const RIDE_LOG_BYTES_MAX: usize = 256 * 1024;
/// What an extent takes in an index row, about: one partition may have thousands of them.
const EXTENT_BYTES: usize = 20;
/// Partitions of deleted topics whose rows are cleared with a drain.
const RIDE_CLEARED_MAX: i32 = 64;

/// How far index rows are read now.
fn ahead(log: &Log) -> Ahead {
    match log.calm_at() {
        None => Ahead::FAR,
        Some(_) if log.is_behind() => Ahead::BEHIND,
        Some(_) => Ahead::NEAR,
    }
}

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

    /// Lets rows of the checkpoint under way go with a drain's transaction, whose log has so many bytes: a transaction of
    /// their own would hold up the next commits. How often rows are written.
    pub(super) fn let_rows_ride(
        &mut self,
        transaction: &mut Transaction,
        log_bytes: usize,
    ) -> Result<u64, Error> {
        if log_bytes > RIDE_LOG_BYTES_MAX {
            return Ok(0);
        }
        let Some(checkpoint) = &mut self.checkpoint else {
            return Ok(u64::from(self.log.clear_with(transaction)));
        };
        if let Some(read) = checkpoint.finish_reading().now_or_never() {
            read?;
        }
        let most = self.options.checkpoint_steps;
        let bytes = self.log.row_bytes(log_bytes, most.bytes);
        checkpoint.bound(Steps {
            bytes,
            extents: most.extents.min(bytes / EXTENT_BYTES + 1),
            cleared: most.cleared.min(RIDE_CLEARED_MAX),
        });
        let before = transaction.writes.len();
        let wrote = checkpoint.write(&mut self.state, transaction)?;
        if !wrote {
            transaction.writes.truncate(before);
            return Ok(0);
        }
        let rows = transaction.writes[before..].iter();
        self.log.paid(rows.map(Write::bytes).sum());
        Ok(1)
    }

    /// The drain is durable, and what rode with it: only now may index rows be read that it wrote.
    pub(super) fn rows_rode(&mut self) {
        if let Some(checkpoint) = self.checkpoint.take_if(|checkpoint| checkpoint.is_done()) {
            self.checkpoint_done(&checkpoint);
        }
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.begin_reading(&self.kv, &self.state, ahead(&self.log));
        }
    }

    fn checkpoint_done(&mut self, checkpoint: &Checkpoint) {
        let at = checkpoint.at();
        planted!(let at = "log-cleared-before-it-is-in-rows" => at.max(self.state.lsn));
        self.log.checkpoint_done(at);
        self.shared
            .counts
            .checkpoints
            .fetch_add(1, Ordering::Relaxed);
    }

    /// A transaction of the checkpoint, or what must be read before one.
    pub(super) async fn checkpoint_step(&mut self) -> Result<(), Error> {
        self.log.stepped();
        let kv = self.kv.as_ref();
        let Some(mut checkpoint) = self.checkpoint.take() else {
            let cleared = self.log.clear(kv).await?;
            return self.holder.write(kv, cleared, &self.options).await;
        };
        checkpoint.finish_reading().await?;
        // Drains have their turn meanwhile.
        if checkpoint.begin_reading(&self.kv, &self.state, ahead(&self.log)) {
            self.checkpoint = Some(checkpoint);
            return Ok(());
        }
        checkpoint.bound(self.options.checkpoint_steps);
        let transaction = checkpoint.step(kv, &mut self.state).await?;
        self.log.paid(transaction.bytes());
        self.shared
            .counts
            .transactions
            .fetch_add(1, Ordering::Relaxed);
        self.holder.write(kv, transaction, &self.options).await?;
        if checkpoint.is_done() {
            self.checkpoint_done(&checkpoint);
        } else {
            self.checkpoint = Some(checkpoint);
        }
        Ok(())
    }

    /// A last checkpoint. What cannot be written now is in the log.
    pub(super) async fn close(&mut self) -> Result<(), Error> {
        self.log.calm_down();
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
