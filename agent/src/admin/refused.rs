//! Why one topic of a request is refused, as all handlers say it, and how much of memory that takes.

use std::cell::OnceCell;

use metadata::{Error, Rejected};
use protocol::ErrorCode;
use protocol::acl::Operation;

use crate::call::{Call, Resource};
use crate::context::Context;
use crate::refusal;
use crate::said::warn_seldom;

/// A refusal's sentence without the name in it, at the most.
const SENTENCE_BYTES: usize = 192;
/// Of a name so much is shown, and a letter of it takes as much at the most where it is escaped.
const SHOWN_BYTES_MAX: usize = 3000;
const ESCAPED_BYTES_MAX: usize = 10;
/// What a topic of a request takes besides its names: its place in tables, and its line in the answer.
const TOPIC_BYTES: usize = 384;

/// Why one topic of a request is refused: a code, and a sentence for a person.
pub(super) type Refused = (ErrorCode, String);

/// Asks whether the client may do that.
pub(super) fn allow(
    call: &Call,
    resource: Resource<'_>,
    operation: Operation,
) -> Result<(), Refused> {
    let allowed = call.allow(resource, operation);
    allowed.map_err(|code| missing(code, resource, operation))
}

/// See [`Call::allow_topic`].
pub(super) fn allow_topic(
    call: &Call,
    name: &str,
    anywhere: Operation,
    here: Operation,
) -> Result<(), Refused> {
    let allowed = call.allow_topic(name, anywhere, here);
    allowed.map_err(|code| missing(code, Resource::Topic(name), here))
}

fn missing(code: ErrorCode, resource: Resource<'_>, operation: Operation) -> Refused {
    let message = format!("the right {operation} on {} is missing", resource.kind());
    (code, message)
}

/// What the refusal of something takes whose name has so many bytes: as it is put together, and as it is encoded.
pub(super) fn refusal_bytes(name: usize) -> usize {
    let shown = name.saturating_mul(ESCAPED_BYTES_MAX).min(SHOWN_BYTES_MAX);
    3 * (SENTENCE_BYTES + shown)
}

/// What a topic of a request takes that is changed or refused, where its name has so many bytes: that is in a table, in
/// the answer, and in the answer as it is encoded.
pub(super) fn topic_bytes(name: usize) -> usize {
    TOPIC_BYTES + 3 * name + refusal_bytes(name)
}

pub(super) fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, Refused> {
    Err((code, message.into()))
}

/// The metadata said no.
pub(super) fn rejected(why: Rejected) -> Refused {
    let message = match why {
        Rejected::TooManyTopics | Rejected::TooManyDeletedTopics => {
            format!("{why}, which --state-memory decides where the order is held")
        }
        why => why.to_string(),
    };
    (refusal::rejected(why), message)
}

/// What a request that wants partitions is told, where the metadata says no.
pub(super) struct PartitionsRefused<'a> {
    context: &'a Context,
    /// How many there are, looked at once for all topics of the request.
    there: OnceCell<String>,
}

impl<'a> PartitionsRefused<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        let there = OnceCell::new();
        Self { context, there }
    }

    /// `more`: how many were asked for besides those that the topic has.
    pub(super) fn rejected(&self, why: Rejected, more: i32) -> Refused {
        // What a topic may have at the most was looked at before: it is the cluster that is full.
        if why != Rejected::TooManyPartitions {
            return rejected(why);
        }
        let there = self.there.get_or_init(|| self.there());
        let message = format!("{more} more partitions are too many: the cluster has {there}");
        (refusal::rejected(why), message)
    }

    fn there(&self) -> String {
        let stats = self.context.metadata.stats();
        match stats.usage.partitions {
            // The order is held elsewhere, where the bound is known.
            0 => {
                let catalogue = self.context.metadata.catalogue();
                let each = catalogue.topics().map(|topic| i64::from(topic.partitions));
                let there: i64 = each.sum();
                format!(
                    "{there}, and --state-memory of the process that holds the order decides how many it may have"
                )
            }
            there => {
                let most = stats.limits.partitions;
                format!("{there} of the {most} that it may have, which --state-memory decides")
            }
        }
    }
}

/// The metadata did not answer. What found no room among what waits for it is refused with the code that is given.
pub(super) fn unanswered(error: &Error, crowded: ErrorCode) -> Refused {
    warn_seldom!(%error, "cannot change topics");
    let code = match error {
        Error::TooManyWait => crowded,
        error => refusal::metadata_admin(error),
    };
    (code, error.to_string())
}

/// The metadata answered something else than was asked.
pub(super) fn unexpected() -> Refused {
    (
        ErrorCode::UNKNOWN_SERVER_ERROR,
        "the metadata answered something else than was asked".to_owned(),
    )
}
