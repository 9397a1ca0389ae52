//! What lies in a bucket, and whether it is that of a store which is about to be worked on.

use std::time::Duration;

use metadata::kv::Kv;
use tokio::time::timeout;

use super::judge::{Found, Known, judge, unreadable};
use super::names::Names;
use crate::storage::{Store, WitnessError};

/// A bucket that takes longer is not asked before a start.
const CHECK_TIME_MAX: Duration = Duration::from_secs(10);

impl Found {
    /// Looks into the bucket.
    pub(crate) async fn look(store: &Store) -> Result<Self, WitnessError> {
        if let Some((witness, _)) = store.witness().await? {
            return Ok(Self::Witness(witness));
        }
        Ok(match store.any_segment().await? {
            Some(key) => Self::Segments(key),
            None => Self::Nothing,
        })
    }
}

/// Whether that is the bucket of a metadata store which is about to be worked on, as far as it can be told now: another one
/// remembers nothing of it, and a store that went back in time would not be noticed.
///
/// # Errors
/// With a sentence for the operator.
pub(crate) async fn check_bucket(names: &Names, kv: &dyn Kv, bucket: &Store) -> Result<(), String> {
    // What is wrong with the store is said by whoever works on it.
    let Ok(Some((cluster, bound))) = metadata::belongs_to(kv).await else {
        return Ok(());
    };
    let known = Known {
        cluster: &cluster,
        bucket: Some(bound),
    };
    match timeout(CHECK_TIME_MAX, Found::look(bucket)).await {
        Ok(Ok(found)) => judge(names, known, &found).map(|_| ()),
        Ok(Err(WitnessError::Unreadable(said))) => Err(unreadable(names, known, &said)),
        // It is waited for where the order is taken over.
        Ok(Err(WitnessError::Store(_))) | Err(_) => Ok(()),
    }
}
