//! From a sealed segment to an object in the bucket and the command that makes it count. Called by `flusher`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metadata::{Answer, BlockRange, Command, CommitBlock, CommitObject, ObjectKey, planted};
use protocol::ErrorCode;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::buffer::{Sealed, SealedBlock, Waiters};
use super::names::Names;
use crate::context::Context;
use crate::refusal;
use crate::said::warn_seldom;
use crate::storage::segment::Receipt;
use crate::storage::{Cache, Place, Store, segment};
use crate::tasks::{Tasks, compute};

/// What uploads need.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) context: Arc<Context>,
    pub(crate) store: Store,
    pub(crate) cache: Cache,
    pub(crate) compression: segment::Compression,
    pub(crate) names: Arc<Names>,
}

/// A segment that is in the bucket.
pub(super) struct Uploaded {
    pub(super) commit: CommitObject,
    pub(super) blocks: Vec<SealedBlock>,
    pub(super) waiters: Waiters,
    /// From seal to stored.
    pub(super) put: Duration,
    /// Of earlier segments, which this one carries.
    pub(super) receipts: Vec<Receipt>,
}

/// A segment that could not be stored: nothing of it happened.
pub(super) struct Failed {
    pub(super) blocks: Vec<SealedBlock>,
    pub(super) waiters: Waiters,
    pub(super) receipts: Vec<Receipt>,
    pub(super) code: ErrorCode,
}

impl Upload {
    /// Starts at once; the future only waits. A client that hung up, or a flusher that is busy, holds nothing back.
    pub(super) fn start(
        &self,
        tasks: &Tasks,
        sealed: Sealed,
        receipts: Vec<Receipt>,
    ) -> impl Future<Output = Result<Uploaded, Failed>> + Send + use<> {
        let (done, result) = oneshot::channel();
        let upload = self.clone();
        tasks.spawn("upload", async move {
            // The flusher waits for every upload, so it is still there.
            let _ = done.send(upload.run(sealed, receipts).await);
            Ok(())
        });
        async move { result.await.expect("an upload always answers") }
    }

    /// Queues the commit; the order of calls is the order of decisions.
    pub(super) fn submit(
        &self,
        commit: CommitObject,
    ) -> impl Future<Output = Result<Answer, metadata::Error>> + Send + 'static + use<> {
        self.context.metadata.submit(Command::CommitObject(commit))
    }

    async fn run(self, sealed: Sealed, receipts: Vec<Receipt>) -> Result<Uploaded, Failed> {
        let began = Instant::now();
        let Sealed {
            blocks, waiters, ..
        } = sealed;
        let compression = self.compression;
        let (blocks, receipts, encoded) = compute(move || {
            let inputs: Vec<_> = blocks.iter().map(input).collect();
            let encoded = segment::encode(&inputs, &receipts, compression);
            (blocks, receipts, encoded)
        })
        .await;
        let object = self.names.next(&self.context);
        let stored = self.store.put_segment(object, encoded.payload).await;
        planted!(let stored = "failed-put-committed" => stored.or(Ok(())));
        if let Err(error) = stored {
            warn_seldom!(%object, %error, "a segment could not be stored");
            return Err(Failed {
                blocks,
                waiters,
                receipts,
                code: refusal::store_produce(&error),
            });
        }
        self.write_through(object, &blocks, &encoded.ranges);
        let commit = CommitObject {
            object,
            size: encoded.size,
            blocks: blocks
                .iter()
                .zip(encoded.ranges)
                .map(|(block, range)| commit_block(block, range))
                .collect(),
        };
        Ok(Uploaded {
            commit,
            blocks,
            waiters,
            put: began.elapsed(),
            receipts,
        })
    }

    /// Before the commit, so that a consumer woken by it finds the bytes here.
    fn write_through(&self, object: ObjectKey, blocks: &[SealedBlock], ranges: &[BlockRange]) {
        for (block, range) in blocks.iter().zip(ranges) {
            let place = Place {
                object,
                range: *range,
                owner: block.partition,
            };
            self.cache.insert(place, block.batches.clone());
        }
    }
}

fn input(block: &SealedBlock) -> segment::BlockInput {
    let batches: Vec<Bytes> = block.batches.clone();
    segment::BlockInput {
        partition: block.partition,
        record_count: block.record_count(),
        min_timestamp: block.min_timestamp,
        max_timestamp: block.max_timestamp(),
        compressed: block.compressed,
        batches,
    }
}

fn commit_block(block: &SealedBlock, range: BlockRange) -> CommitBlock {
    CommitBlock {
        topic: block.partition.topic,
        partition: block.partition.partition,
        range,
        batches: block.facts.clone(),
    }
}
