//! Whether what a request asks for is done, or only judged.

/// Kafka's `validate_only`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Do,
    Judge,
}

impl Mode {
    pub(super) fn of(validate_only: bool) -> Self {
        if validate_only { Self::Judge } else { Self::Do }
    }
}
