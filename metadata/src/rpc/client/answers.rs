//! Whether the sequencer answers. It says twice a second that it lives, also while its store holds it up, so an agent that
//! waits for nothing asks it something once in a while.

use std::time::Duration;

use tokio::time::Instant;

/// One that answers nothing for so long is said not to answer. Its store takes milliseconds, most of the time.
const SILENT_AFTER: Duration = Duration::from_secs(4);
/// An agent that waits for nothing asks so long after the last answer. Each costs the sequencer a look at its store, shared
/// by all that ask meanwhile.
const ASK_INTERVAL: Duration = Duration::from_secs(2);

/// Of one link.
#[derive(Debug)]
pub(super) struct Answers {
    /// When something last was answered, or the link began.
    heard: Instant,
    /// Something was asked by then, and nothing was answered since.
    asked: Option<Instant>,
}

impl Answers {
    pub(super) fn begin() -> Self {
        Self {
            heard: Instant::now(),
            asked: None,
        }
    }

    pub(super) fn heard(&mut self) {
        *self = Self::begin();
    }

    /// `waiting`: whether anything waits for an answer. True: nothing does, and it is time to ask.
    pub(super) fn look(&mut self, waiting: bool) -> bool {
        let asks = !waiting && self.heard.elapsed() >= ASK_INTERVAL;
        if waiting || asks {
            self.asked.get_or_insert_with(Instant::now);
        }
        asks
    }

    pub(super) fn are_missing(&self) -> bool {
        self.asked
            .is_some_and(|asked| asked.elapsed() >= SILENT_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_are_missing_while_something_waits_and_nothing_comes() {
        let mut answers = Answers::begin();
        assert!(!answers.look(false));
        advance(ASK_INTERVAL).await;
        assert!(answers.look(false), "nobody asked, so it does");
        assert!(!answers.look(true), "it waits for that");
        advance(SILENT_AFTER).await;
        assert!(answers.are_missing());
        // It was given up: that is no answer.
        assert!(answers.look(false));
        assert!(answers.are_missing());
        answers.heard();
        assert!(!answers.are_missing());
        assert!(!answers.look(true));
        advance(SILENT_AFTER - Duration::from_millis(1)).await;
        assert!(!answers.are_missing());
        // A busy agent is answered all the while.
        answers.heard();
        assert!(!answers.look(true));
        advance(SILENT_AFTER).await;
        assert!(answers.are_missing());
    }
}
