//! Why the bucket did not do what it was asked. What may be asked again: no answer, "not now", and a conflict with an earlier
//! try. What may not: a refusal; an object that is not there, as buckets are strongly consistent (`store` looks once more);
//! bytes that are not those that were stored.

use std::sync::Arc;

use metadata::with_causes;

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no such object. The bucket is there, and said so itself.
    NotFound,
    AlreadyExists,
    /// No answer, or "not now".
    Unavailable,
    /// What came back is not what was stored.
    Corrupt,
    /// Credentials, permissions, or no such bucket.
    Refused,
}

/// Whether it may have happened all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Determinate,
    Indeterminate,
}

/// The bucket did not do what it was asked. Says why, with all causes.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", said(.cause))]
pub struct StoreError {
    pub kind: ErrorKind,
    pub outcome: Outcome,
    cause: Arc<object_store::Error>,
}

fn said(cause: &Arc<object_store::Error>) -> String {
    with_causes(&**cause)
}

impl StoreError {
    /// Stored bytes that are not what was written.
    pub(super) fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        let cause = object_store::Error::Generic {
            store: "segment",
            source: Box::new(error),
        };
        Self {
            kind: ErrorKind::Corrupt,
            outcome: Outcome::Determinate,
            cause: Arc::new(cause),
        }
    }

    pub(super) fn new(cause: object_store::Error, timed_out: bool) -> Self {
        let kind = match &cause {
            // No bucket, or nobody who speaks S3: that says nothing of an object.
            error if is_not_a_buckets_word(error) => ErrorKind::Refused,
            object_store::Error::NotFound { .. } => ErrorKind::NotFound,
            object_store::Error::AlreadyExists { .. } => ErrorKind::AlreadyExists,
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => ErrorKind::Refused,
            error if is_too_short(error) => ErrorKind::Corrupt,
            _ => ErrorKind::Unavailable,
        };
        let unclear = timed_out || kind == ErrorKind::Unavailable;
        let outcome = if unclear {
            Outcome::Indeterminate
        } else {
            Outcome::Determinate
        };
        Self {
            kind,
            outcome,
            cause: Arc::new(cause),
        }
    }

    /// Whether what was committed is not there, or not as it was committed.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self.kind, ErrorKind::NotFound | ErrorKind::Corrupt)
    }

    /// Whether the store does not know what was asked of it.
    pub(super) fn is_not_implemented(&self) -> bool {
        let said = self.cause.to_string();
        matches!(*self.cause, object_store::Error::NotImplemented { .. })
            || said.contains("NotImplemented")
            || said.contains("status code: 501")
    }

    /// Whether trying again may help. Keys are never used twice, so a conflict is one between two tries.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::AlreadyExists)
    }

    /// What is known once another try, with that outcome, was made for the same thing.
    pub(super) fn after(mut self, other: Outcome) -> Self {
        if other == Outcome::Indeterminate {
            self.outcome = other;
        }
        self
    }
}

/// Whether a 404 is not a store's own word that an object is not there: S3 and all that speak it name the code.
fn is_not_a_buckets_word(error: &object_store::Error) -> bool {
    let object_store::Error::NotFound { .. } = error else {
        return false;
    };
    let said = error.to_string();
    said.contains("status code: 404") && !said.contains("NoSuchKey")
}

/// Whether a part was asked for that lies behind the object's end: what was committed is longer than what is there.
/// `object_store` has no kind of its own for it: folders and memory say the first three, S3 the others.
fn is_too_short(error: &object_store::Error) -> bool {
    const WORDS: [&str; 5] = [
        "Requested range was invalid",
        "Out of range of file",
        "bytes long",
        "InvalidRange",
        "status code: 416",
    ];
    let object_store::Error::Generic { source, .. } = error else {
        return false;
    };
    let said = source.to_string();
    WORDS.iter().any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(said: &'static str) -> ErrorKind {
        let error = object_store::Error::NotFound {
            path: "segments/00".to_owned(),
            source: said.into(),
        };
        StoreError::new(error, false).kind
    }

    /// As `object_store` says it, whose HTTP client only says that it cannot send.
    #[test]
    fn causes_are_said() {
        #[derive(Debug, thiserror::Error)]
        #[error("HTTP error: error sending request")]
        struct Sending(#[source] std::io::Error);
        let refused = std::io::Error::other("tcp connect error: Connection refused");
        let error = object_store::Error::Generic {
            store: "S3",
            source: Box::new(Sending(refused)),
        };
        assert_eq!(
            StoreError::new(error, false).to_string(),
            "Generic S3 error: HTTP error: error sending request: tcp connect error: Connection refused"
        );
    }

    /// That an object is gone is only believed where the bucket says so: all else passes, and is nobody's damage.
    #[test]
    fn a_bucket_that_is_not_there_is_not_an_object_that_is_gone() {
        let code = |code: &str| {
            let said = format!("status code: 404 Not Found: <Error><Code>{code}</Code></Error>");
            missing(said.leak())
        };
        assert_eq!(code("NoSuchKey"), ErrorKind::NotFound);
        assert_eq!(code("NoSuchBucket"), ErrorKind::Refused);
        assert_eq!(
            missing("status code: 404 Not Found: <html>nginx</html>"),
            ErrorKind::Refused
        );
        assert_eq!(missing("No such file or directory"), ErrorKind::NotFound);
    }
}
