//! Finds out whether bucket and metadata belong together, and joins two that nobody used before.

use std::sync::OnceLock;
use std::time::Duration;

use metadata::{BucketId, Metadata};
use tokio::sync::watch;
use tokio::time::sleep;

use super::judge::{Found, Join, Known, judge, unreadable};
use super::names::Names;
use crate::random::Random;
use crate::storage::{Store, Witness, WitnessError};

/// Before trying again to find out.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What is known of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not found out yet.
    Unknown,
    /// They belong together; that is the bucket.
    Joined(BucketId),
    /// They do not, or no longer.
    Strangers(String),
}

/// Finds out, and keeps an eye on it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(super) store: Store,
    metadata: Metadata,
    names: Names,
    random: Random,
    /// What this process names a bucket that has no name: the same at each attempt, for one that was given up may come late.
    name: OnceLock<BucketId>,
    pub(super) standing: watch::Sender<Standing>,
}

/// Why the two do not belong together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

impl Identity {
    pub(crate) fn new(store: Store, metadata: Metadata, names: Names, random: Random) -> Self {
        Self {
            store,
            metadata,
            names,
            random,
            name: OnceLock::new(),
            standing: watch::Sender::new(Standing::Unknown),
        }
    }

    /// Whether the two belong together, as far as is known: `None`, or a sentence for the operator.
    pub(crate) fn trouble(&self) -> Option<String> {
        match &*self.standing.borrow() {
            Standing::Joined(_) => None,
            Standing::Unknown => {
                Some("whether bucket and metadata belong together is not known yet".to_owned())
            }
            Standing::Strangers(sentence) => Some(sentence.clone()),
        }
    }

    /// Resolves once the two are known to belong together.
    pub(crate) async fn joined(&self) {
        let mut standing = self.standing.subscribe();
        // Fails only if the sender were gone, but this is it.
        let _ = standing
            .wait_for(|standing| matches!(standing, Standing::Joined(_)))
            .await;
    }

    /// Finds out, however long bucket and metadata take to answer. Two that nobody used before are joined.
    pub(crate) async fn settle(&self) -> Result<(), Refused> {
        self.metadata.joined().await;
        loop {
            match self.attempt().await {
                Ok(bucket) => {
                    self.standing.send_replace(Standing::Joined(bucket));
                    return Ok(());
                }
                Err(Attempt::Refused(sentence)) => {
                    self.standing
                        .send_replace(Standing::Strangers(sentence.clone()));
                    return Err(Refused(sentence));
                }
                Err(Attempt::Again(reason)) => {
                    tracing::warn!(
                        reason,
                        "whether bucket and metadata belong together is not known yet; asking again"
                    );
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// The metadata is not asked: it never moves to another bucket.
    ///
    /// # Errors
    /// Where it cannot be told now, with why.
    pub(super) async fn look_again(&self, bucket: BucketId) -> Result<(), String> {
        let known = Known {
            cluster: self.metadata.cluster_id(),
            bucket: Some(bucket),
        };
        let judged = match Found::look(&self.store).await {
            Ok(found) => judge(&self.names, known, &found).map(|_| ()),
            Err(WitnessError::Unreadable(said)) => Err(unreadable(&self.names, known, &said)),
            Err(WitnessError::Store(error)) => return Err(error.to_string()),
        };
        let standing = match judged {
            Ok(()) => Standing::Joined(bucket),
            Err(sentence) => {
                tracing::error!("{sentence}");
                Standing::Strangers(sentence)
            }
        };
        self.standing.send_replace(standing);
        Ok(())
    }

    /// The bucket that the two have in common.
    async fn attempt(&self) -> Result<BucketId, Attempt> {
        let known = Known {
            cluster: self.metadata.cluster_id(),
            bucket: self.metadata.bucket().await?,
        };
        let found = self.read(known, Found::look(&self.store).await)?;
        let (bucket, made) = match judge(&self.names, known, &found).map_err(Attempt::Refused)? {
            Join::Known(bucket) => return Ok(bucket),
            Join::Bind(bucket) => (bucket, false),
            Join::Claim => {
                // The bucket first: were it the metadata, a crash in between would leave it bound to a bucket that nobody
                // can find.
                let wanted = Witness::new(known.cluster, self.name());
                let there = self.read(known, self.store.claim(&wanted).await)?;
                let found = Found::Witness(there.clone());
                judge(&self.names, known, &found).map_err(Attempt::Refused)?;
                (there.bucket, there.bucket == wanted.bucket)
            }
        };
        let bound = self.metadata.bind_bucket(bucket).await?;
        if bound == bucket {
            tracing::info!(%bucket, "bucket and metadata belong together from now on");
            return Ok(bucket);
        }
        if made {
            // Another agent was faster with another bucket; what was said of this one a moment ago is not true.
            self.store.disclaim().await;
        }
        let known = Known {
            bucket: Some(bound),
            ..known
        };
        let found = if made { Found::Nothing } else { found };
        match judge(&self.names, known, &found) {
            Err(sentence) => Err(Attempt::Refused(sentence)),
            Ok(_) => Err(Attempt::Again("another agent binds a bucket".to_owned())),
        }
    }

    fn name(&self) -> BucketId {
        *self.name.get_or_init(|| BucketId(self.random.u128()))
    }

    fn read<T>(&self, known: Known<'_>, read: Result<T, WitnessError>) -> Result<T, Attempt> {
        read.map_err(|error| match error {
            WitnessError::Store(error) => Attempt::Again(error.to_string()),
            WitnessError::Unreadable(said) => {
                Attempt::Refused(unreadable(&self.names, known, &said))
            }
        })
    }
}

/// Why an attempt did not join the two.
enum Attempt {
    Refused(String),
    Again(String),
}

impl From<metadata::Error> for Attempt {
    fn from(error: metadata::Error) -> Self {
        Self::Again(error.to_string())
    }
}
