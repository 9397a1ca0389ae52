//! The truth about topics, offsets and objects: one log of effects, one fenced sequencer, over a small key-value trait.
//!
//! [`Metadata`] is the handle that agents hold. A [`Command`] goes through the [`Sequencer`]'s queue into a drain, is
//! decided by `state`, written as effects in one transaction of [`kv::Kv`], and only then answered. `checkpoint` moves
//! state to rows; `index` is where old extents lie; `keys` has the whole data model on a page.

#[macro_use]
pub mod planted;
#[macro_use]
mod codec;

mod accounting;
mod catalogue;
mod causes;
mod checkpoint;
mod command;
mod effect;
mod error;
#[cfg(test)]
mod golden;
mod handle;
pub mod history;
mod index;
mod keys;
pub mod kv;
mod level;
mod numbering;
mod origin;
mod queue;
pub mod rpc;
mod said;
mod sequencer;
mod shown;
mod sought;
mod state;
mod topic_name;
mod types;
mod update;
mod view;
mod views;
pub mod witness;

pub use accounting::account;
pub use catalogue::{Agent, Catalogue, Derived, Listener, Roles, Topic};
pub use causes::with_causes;
pub use checkpoint::Steps;
pub use command::{
    Answer, BatchProducer, Command, CommitBatch, CommitBlock, CommitObject, CreatePartitions,
    CreateTopic, Outcome, Placed, Rejected, Submission, Verdict,
};
pub use error::{Error, Happened};
pub use handle::{Metadata, Raised, Stats};
#[cfg(feature = "planted-bugs")]
pub use index::rows_of;
pub use level::WRITER_LEVEL;
#[cfg(any(test, feature = "level-2"))]
pub use level::behave_as;
pub use origin::Origin;
pub use said::Said;
pub use sequencer::{
    Acceptance, Candidate, Checked, Found, Options, Probe, Sequencer, Serves, Status,
    accept_older_store, belongs_to, check, finalize, holds, is_empty, mark_lost, release_hold,
    start, takes_writes,
};
pub use shown::Shown;
pub use state::{Hold, Limits, PRODUCER_BYTES, STATE_BYTES_MAX, STATE_BYTES_MIN, Usage};
pub use topic_name::{BadTopicName, TOPIC_NAME_BYTES_MAX, check_topic_name};
pub use types::{
    BatchFlags, BlockCodec, BlockRange, Bounds, BucketId, Content, EPOCHS_MAX, EpochStart, Epochs,
    Extent, ExtentFlags, LOST_MAX, Located, Lost, LostRange, Lsn, Marker, NamingEpoch, ObjectKey,
    Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Share, Stored, Timestamp, TopicId,
    TopicPartition,
};
pub use view::{Look, View};
pub use views::{VIEWS_BYTES_MAX, VIEWS_MAX};
