//! To whom it is said, and what that one needs to be known.

use super::operation::{IfReadable, Operated, Operation};
use super::processes::say_to_processes;
use super::store::{exists, say_to_store};
use crate::identity::Names;
use crate::server::metadata_store::check_folder;
use crate::server::peers::wire;
use crate::storage::{Store, StoreOptions};

/// Does it, and returns what to tell the operator. `meanwhile` is told why that takes long.
///
/// # Errors
/// With a sentence for the operator.
pub async fn operate(
    operation: Operation,
    operated: Operated,
    bucket: Option<String>,
    options: StoreOptions,
    meanwhile: impl Fn(&str),
) -> anyhow::Result<String> {
    match operated {
        Operated::Processes { addresses, tls } => {
            let names = Names::of_processes(&addresses, bucket.clone(), &options);
            // Only who looks into it needs it: the processes have one of their own.
            let looks = matches!(operation, Operation::MarkLost(_, IfReadable::Refuse));
            let opened = open_bucket(bucket.filter(|_| looks), &options).await?;
            let wire = wire(tls.as_ref())?;
            let opened = opened.as_ref();
            say_to_processes(operation, addresses, wire, opened, &names, meanwhile).await
        }
        Operated::Store(store) => {
            check_folder(&store, None)?;
            exists(&store).await?;
            let opened = open_bucket(bucket.clone(), &options).await?;
            let names = Names::of_store(store.to_string(), bucket, &options);
            say_to_store(operation, &store, opened.as_ref(), &names).await
        }
    }
}

/// Whoever says one of these words means a bucket that is.
async fn open_bucket(
    bucket: Option<String>,
    options: &StoreOptions,
) -> anyhow::Result<Option<Store>> {
    Ok(match bucket {
        Some(url) => Some(Store::open_existing(&url, options).await?),
        None => None,
    })
}
