//! What operators say to the cluster through a handle, and which bucket it is bound to.

use super::Metadata;
use crate::command::{Command, Outcome, Rejected};
use crate::error::Error;
use crate::shown::Shown;
use crate::types::{BucketId, LostRange};

/// What became of a feature level that was to be raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raised {
    /// The one that is.
    At(u32),
    /// It stays, for a process cannot read the higher one. Which process, and what to do.
    Kept(String),
}

impl Metadata {
    /// The bucket in which segments lie, as of a moment after this call; none if nobody ever bound one.
    ///
    /// # Errors
    /// As [`Metadata::submit`].
    pub async fn bucket(&self) -> Result<Option<BucketId>, Error> {
        self.ask_bucket(None).await
    }

    /// Makes that bucket the one in which segments lie, unless one is already. Returns the one that is, durably.
    ///
    /// # Errors
    /// As [`Metadata::submit`]. Asking again does no harm.
    pub async fn bind_bucket(&self, bucket: BucketId) -> Result<BucketId, Error> {
        let bound = self.ask_bucket(Some(bucket)).await?;
        Ok(bound.unwrap_or(bucket))
    }

    async fn ask_bucket(&self, bucket: Option<BucketId>) -> Result<Option<BucketId>, Error> {
        let answer = self.submit(Command::BindBucket(bucket)).await?;
        match answer.outcome {
            Outcome::BucketBound(bound) => Ok(bound),
            // What the agent asked in a session that is closed was not done; in the next one it may ask again.
            other => Err(unexpected(&other)),
        }
    }

    /// Raises the feature level, `None`: to the highest that the sequencer's version knows.
    ///
    /// # Errors
    /// As [`Metadata::submit`].
    pub async fn raise_feature_level(&self, level: Option<u32>) -> Result<Raised, Error> {
        let answer = self.submit(Command::RaiseFeatureLevel(level)).await?;
        match answer.outcome {
            Outcome::FeatureLevel(level) => Ok(Raised::At(level)),
            Outcome::FeatureLevelKept(why) => Ok(Raised::Kept(Shown::sentence(why).to_string())),
            Outcome::Rejected(rejected) => Ok(Raised::Kept(rejected.to_string())),
            other => Err(unexpected(&other)),
        }
    }

    /// Objects that the metadata does not know may be deleted again, after an older store was accepted. Returns whether they
    /// were held.
    ///
    /// # Errors
    /// As [`Metadata::submit`].
    pub async fn release_hold(&self) -> Result<bool, Error> {
        match self.submit(Command::ReleaseHold).await?.outcome {
            Outcome::HoldReleased => Ok(true),
            Outcome::NoHold => Ok(false),
            other => Err(unexpected(&other)),
        }
    }

    /// Gives records up that cannot be read: readers of that topic step over them from then on. Asking again does no harm.
    ///
    /// # Errors
    /// As [`Metadata::submit`]; inside, what is wrong with the topic or the range.
    pub async fn mark_lost(
        &self,
        topic: &str,
        range: LostRange,
    ) -> Result<Result<(), Rejected>, Error> {
        let catalogue = self.confirmed_catalogue().await?;
        let Some(topic) = catalogue.topic(topic).map(|topic| topic.id) else {
            return Ok(Err(Rejected::UnknownTopic));
        };
        let command = Command::MarkLost { topic, range };
        match self.submit(command).await?.outcome {
            Outcome::MarkedLost => Ok(Ok(())),
            Outcome::Rejected(why) => Ok(Err(why)),
            other => Err(unexpected(&other)),
        }
    }
}

/// What the sequencer answered is no answer to what it was asked.
fn unexpected(outcome: &Outcome) -> Error {
    let said = Shown::sentence(format_args!("the sequencer said {outcome:?}")).to_string();
    Error::unavailable(said)
}
