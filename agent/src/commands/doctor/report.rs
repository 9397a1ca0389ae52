//! What a check found, in sentences, and how the whole ends.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::commands::say::answer;

/// What was found so far. Said at once, so that a check that takes long does not look like none. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    wrong: Arc<AtomicUsize>,
    /// Whether something was left out that was asked for.
    is_partial: Arc<AtomicBool>,
}

impl Report {
    pub(super) fn well(&self, sentence: &str) {
        say("ok   ", sentence);
    }

    /// Worth knowing, harmless.
    pub(super) fn note(&self, sentence: &str) {
        say("note ", sentence);
    }

    /// The same of what was not looked at.
    pub(super) fn left_out(&self, sentence: &str) {
        self.is_partial.store(true, Ordering::Relaxed);
        self.note(sentence);
    }

    pub(super) fn wrong(&mut self, sentence: &str) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
        say("WRONG", sentence);
    }

    /// A check panicked, which standard error describes.
    pub(super) fn fault(&mut self) {
        self.wrong(
            "A check failed by itself, and those that follow it were not made: that is a fault of Penstock, please report \
             it.",
        );
    }

    /// How much was wrong so far.
    pub(super) fn wrongs(&self) -> usize {
        self.wrong.load(Ordering::Relaxed)
    }

    pub(super) fn finish(&self) -> ExitCode {
        match self.wrongs() {
            0 => {
                let end = match self.is_partial.load(Ordering::Relaxed) {
                    true => "What was looked at is well.",
                    false => "All is well.",
                };
                say("     ", end);
                ExitCode::SUCCESS
            }
            1 => {
                say("     ", "One thing is wrong.");
                ExitCode::FAILURE
            }
            many => {
                say("     ", &format!("{many} things are wrong."));
                ExitCode::FAILURE
            }
        }
    }
}

fn say(verdict: &str, sentence: &str) {
    answer(format_args!("{verdict} {sentence}"));
}

/// As a sentence: with a capital, unless it begins with the name of something, and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let begins = text.split_whitespace().next().unwrap_or_default();
    let word = begins.trim_end_matches([',', ':', ';']);
    if !word.chars().all(char::is_alphabetic) {
        return format!("{text}.");
    }
    let mut rest = text.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_has_a_capital_and_names_stay_as_they_are() {
        for (text, expected) in [
            ("the bucket is empty", "The bucket is empty."),
            ("nothing, at all.", "Nothing, at all."),
            ("penstock.json is damaged", "penstock.json is damaged."),
            ("a/b.redb: is it there", "a/b.redb: is it there."),
        ] {
            assert_eq!(sentence(text), expected);
        }
    }
}
