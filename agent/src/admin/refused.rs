//! Why one topic of a request is refused, as all handlers say it, and how much of memory that takes.

use metadata::{Error, Rejected};
use protocol::ErrorCode;
use protocol::acl::Operation;

use crate::call::{Call, Resource};
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
    (refusal::rejected(why), why.to_string())
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
