//! Very many tiny batches in one frame.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::records::{BatchOptions, Record, build_batch};

use super::topics;
use crate::abuse::good::Target;
use crate::abuse::manners::{Attack, asks};
use crate::produce;

const VERSION: i16 = 9;
const TOPIC: &str = "tiny";

/// Six hundred thousand of one empty record each.
pub(in crate::abuse) fn tiny(target: &Target) -> BoxFuture<'_, anyhow::Result<Vec<Attack>>> {
    async {
        topics::create(target, TOPIC, 1, &[]).await?;
        let count = if target.short { 60_000 } else { 600_000 };
        let one = build_batch(&[Record::default()], BatchOptions::default());
        let request = produce::request(TOPIC, 0, Bytes::from(one.repeat(count)));
        Ok(vec![asks(1, &target.kafka, VERSION, &[request])])
    }
    .boxed()
}
