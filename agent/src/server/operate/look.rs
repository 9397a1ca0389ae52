//! Whether it is looked into the bucket before records are given up.

use metadata::Metadata;

use super::operation::{IfReadable, Operation};
use super::readable::refuse_readable;
use crate::config::Misuse;
use crate::identity::Names;
use crate::storage::Store;

/// Refuses to give up what can be read.
pub(super) async fn look(
    operation: &Operation,
    metadata: &Metadata,
    bucket: Option<&Store>,
    names: &Names,
) -> anyhow::Result<()> {
    match (operation, bucket) {
        (Operation::MarkLost(records, IfReadable::Refuse), Some(bucket)) => {
            refuse_readable(records, metadata, bucket, names).await
        }
        (Operation::MarkLost(_, IfReadable::Refuse), None) => Err(Misuse::say(
            "give --bucket URL, where it is looked whether these records can be read, or --force",
        )),
        _ => Ok(()),
    }
}
