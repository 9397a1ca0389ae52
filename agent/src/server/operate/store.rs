//! Says it to a store that nobody serves from.

use std::sync::Arc;

use metadata::kv::Kv;
use metadata::{Checked, Options, STATE_BYTES_MAX};
use tokio::time::timeout;

use super::answers::{given_up, lost, raised, released};
use super::look::look;
use super::operation::{IfReadable, Operation};
use super::processes::CLOSE_TIME_MAX;
use crate::config::{Records, StoreUrl};
use crate::identity::{self, Names};
use crate::server::metadata_store::{self, open_store, refused};
use crate::storage::Store;
use crate::tasks::Tasks;

pub(super) async fn say_to_store(
    operation: Operation,
    store: &StoreUrl,
    bucket: Option<&Store>,
    names: &Names,
) -> anyhow::Result<String> {
    let in_use = in_use(&operation);
    let shared = open_store(store, in_use).await?;
    let kv = shared.as_ref();
    if metadata::is_empty(kv).await? {
        return Err(nothing(store));
    }
    if let Some(bucket) = bucket {
        let checked = identity::check_bucket(names, kv, bucket).await;
        checked.map_err(anyhow::Error::msg)?;
    }
    let before = metadata::check(kv).await;
    let before = before.map_err(|error| refused(names, error))?;
    if operation == Operation::AcceptOlderStore && bucket.is_none() {
        needs_bucket(&before, names)?;
    }
    let done = match look_into_store(&operation, &shared, bucket, names).await? {
        Ok(()) => {
            change(
                kv,
                metadata_store::options(bucket, STATE_BYTES_MAX),
                &before,
                operation,
            )
            .await
        }
        Err(error) => Err(error),
    };
    done.unwrap_or_else(|error| match error {
        metadata::Error::InUse(_) => Err(anyhow::anyhow!("{error}: {in_use}")),
        error => Err(refused(names, error)),
    })
}

/// Refuses to give up what can be read. Nobody serves from the store, so this process does for as long as it looks.
async fn look_into_store(
    operation: &Operation,
    kv: &Arc<dyn Kv>,
    bucket: Option<&Store>,
    names: &Names,
) -> anyhow::Result<Result<(), metadata::Error>> {
    let Operation::MarkLost(Records { range, .. }, IfReadable::Refuse) = operation else {
        return Ok(Ok(()));
    };
    let options = || metadata_store::options(bucket, STATE_BYTES_MAX);
    // No topic has that name, so it changes nothing, and finds out whether somebody serves from a store that is shared.
    if let Err(error) = metadata::mark_lost(kv.as_ref(), options(), "", *range).await {
        return Ok(Err(error));
    }
    let (metadata, sequencer) = match metadata::start(Arc::clone(kv), options()).await {
        Ok(started) => started,
        Err(error) => return Ok(Err(error)),
    };
    let rooms = Tasks::new();
    rooms.spawn("sequencer", async move { Ok(sequencer.run().await?) });
    let looked = look(operation, &metadata, bucket, names).await;
    let _ = timeout(CLOSE_TIME_MAX, metadata.close()).await;
    looked.map(Ok)
}

/// What to tell the operator; inside, why it was not done where the store is not to blame.
async fn change(
    kv: &dyn Kv,
    options: Options,
    before: &Checked,
    operation: Operation,
) -> Result<anyhow::Result<String>, metadata::Error> {
    Ok(match operation {
        Operation::Finalize => {
            let level = metadata::finalize(kv, options).await?;
            Ok(raised(before.level, level))
        }
        Operation::ReleaseHold => {
            let held = metadata::release_hold(kv, options).await?;
            Ok(released(held))
        }
        Operation::AcceptOlderStore => {
            let accepted = metadata::accept_older_store(kv, options).await?;
            Ok(lost(&accepted))
        }
        Operation::MarkLost(records, _) => {
            let Records { topic, range } = &records;
            let marked = metadata::mark_lost(kv, options, topic, *range).await?;
            given_up(&records, marked)
        }
    })
}

/// A store that is not there is not made: whoever says one of these words means one that is, and named another.
pub(super) async fn exists(store: &StoreUrl) -> anyhow::Result<()> {
    let exists = match store {
        StoreUrl::Redb(path) => path.exists(),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => {
            let examined = metadata::kv::Postgres::examine(url).await;
            examined
                .map_err(|error| metadata_store::database_refused(url, &error))?
                .exists
        }
        // Is empty where it is not there, and opening it makes nothing.
        _ => true,
    };
    if exists { Ok(()) } else { Err(nothing(store)) }
}

/// What to do where a process has the store.
fn in_use(operation: &Operation) -> &'static str {
    match operation {
        Operation::AcceptOlderStore => "stop that one first",
        Operation::Finalize | Operation::ReleaseHold | Operation::MarkLost(..) => {
            "stop that one first, or say it to that one, with --metadata HOST:PORT where it listens for agents (penstock dev \
             listens for none)"
        }
    }
}

/// Without the bucket that remembers it, a store that went back in time cannot be told from one that is well; and what is
/// accepted is not undone.
fn needs_bucket(before: &Checked, names: &Names) -> anyhow::Result<()> {
    match before.bucket {
        None => Ok(()),
        Some(bucket) => anyhow::bail!(
            "the metadata in {} keeps its records in a bucket (id {bucket}), which remembers how far it had come: give --bucket \
             URL of that one, for without it nobody knows whether the store went back in time, or what that lost. Nothing was \
             changed",
            names.metadata()
        ),
    }
}

fn nothing(store: &StoreUrl) -> anyhow::Error {
    anyhow::anyhow!("there is no metadata in {store}, and nothing was changed: correct --store")
}
