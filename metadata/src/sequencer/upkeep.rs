//! What a sequencer does besides drains: steps of checkpoints, which hold drains back where they fall behind, forgetting
//! producers that are silent, and giving back what deleted topics left (`leftovers`).

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::log::Log;
use super::{Sequencer, Serves, until};
use crate::checkpoint::{Ahead, Checkpoint, Steps};
use crate::command::Command;
use crate::error::Error;
use crate::kv::{Transaction, Write};
use crate::queue::Asked;
use crate::types::Timestamp;
use crate::views::VIEW_IDLE;

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
            // A step needs what is being read; commits do not, while the log has room for them.
            if self.checkpoint.as_mut().is_some_and(Checkpoint::is_reading) {
                if !self.log.is_full() || self.refuses_commands() {
                    return Ok(());
                }
                self.wait_for_reads().await;
                continue;
            }
            self.checkpoint_step().await?;
        }
    }

    /// For so long as others may have to wait; the head moves meanwhile.
    async fn wait_for_reads(&mut self) {
        let Some(checkpoint) = &mut self.checkpoint else {
            return;
        };
        let stuck_at = checkpoint.stuck_at();
        tokio::select! {
            biased;
            () = checkpoint.finish_reading() => {}
            () = self.tick.due() => {}
            () = until(stuck_at) => {}
        }
    }

    /// Whether the log is full and nothing of it goes to rows, for index rows cannot be read.
    pub(super) fn refuses_commands(&self) -> bool {
        let stuck_at = self.checkpoint.as_ref().and_then(Checkpoint::stuck_at);
        self.log.is_full() && stuck_at.is_some_and(|at| at <= Instant::now())
    }

    /// Questions stay: they write nothing.
    pub(super) fn refuse_commands(&mut self, waiting: &mut VecDeque<Asked>) {
        let why = self.checkpoint.as_ref().and_then(Checkpoint::unread);
        let why = why.unwrap_or_else(|| Error::unavailable("index rows are waited for"));
        for asked in std::mem::take(waiting) {
            match asked {
                Asked::Command(..) => self.refuse(asked, &why),
                other => waiting.push_back(other),
            }
        }
    }

    /// Whatever is due besides drains.
    pub(super) async fn background(&mut self) -> Result<(), Error> {
        self.keep_up().await?;
        if self.idle_due <= Instant::now() {
            self.idle_due = Instant::now() + VIEW_IDLE;
            // Nobody is told of them but this process.
            self.shared.views.let_idle_go(|_| true);
        }
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
        self.give_back().await
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
        checkpoint.is_reading();
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
        // What topics that are gone left may be cleared.
        self.publish_usage();
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

    /// The same, and what must be read for it, where nobody else waits.
    pub(super) async fn step_and_wait(&mut self) -> Result<(), Error> {
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.finish_reading().await;
            checkpoint.unread().map_or(Ok(()), Err)?;
        }
        self.checkpoint_step().await
    }

    /// A last checkpoint. What cannot be written now is in the log.
    pub(super) async fn close(&mut self) -> Result<(), Error> {
        self.log.calm_down();
        // One under way leaves the log that grew meanwhile to a second one.
        while self.is_checkpointing() || !self.log.is_empty() {
            self.begin_checkpoint();
            if let Err(error) = self.step_and_wait().await {
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
