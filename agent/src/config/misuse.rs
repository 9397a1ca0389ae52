//! What is said to whoever typed what cannot be meant.

/// What was typed cannot be meant: a sentence for whoever typed it. Ends with the exit code that wrong flags have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

impl Misuse {
    /// As an error of a command.
    pub(crate) fn say(sentence: impl Into<String>) -> anyhow::Error {
        Self(sentence.into()).into()
    }
}
