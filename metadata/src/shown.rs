//! What others wrote, as logs and error sentences show it: cut, and on one line.

use std::fmt::{self, Display, Formatter, Write};

/// Characters of a name or an address: all of those that are lawful.
const NAME_MAX: usize = 300;
/// Characters of a sentence.
const SENTENCE_MAX: usize = 2048;

/// Text from a peer or a client. Whatever moves a terminal's cursor, or is not seen, is escaped.
#[derive(Clone, Copy, Debug)]
pub struct Shown<T> {
    text: T,
    max: usize,
}

impl<T: Display> Shown<T> {
    /// The name of something, or where something is.
    pub fn name(text: T) -> Self {
        Self {
            text,
            max: NAME_MAX,
        }
    }

    /// What somebody said; what is in it of others may be escaped already and stays as it is.
    pub fn sentence(text: T) -> Self {
        Self {
            text,
            max: SENTENCE_MAX,
        }
    }
}

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut cut = Cut {
            room: self.max,
            is_full: false,
            into: f,
        };
        match write!(cut, "{}", self.text) {
            Err(_) if cut.is_full => f.write_str("..."),
            written => written,
        }
    }
}

/// Takes no more than there is room for: what is cut is not even made.
struct Cut<'a, 'b> {
    room: usize,
    is_full: bool,
    into: &'a mut Formatter<'b>,
}

impl Write for Cut<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for each in text.chars() {
            let escaped = each.escape_debug();
            let is_plain = matches!(each, '"' | '\'' | '\\') || escaped.len() == 1;
            let takes = if is_plain { 1 } else { escaped.len() };
            let Some(room) = self.room.checked_sub(takes) else {
                self.is_full = true;
                return Err(fmt::Error);
            };
            self.room = room;
            match is_plain {
                true => self.into.write_char(each)?,
                false => write!(self.into, "{escaped}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lawful_stays_as_it_is() {
        for text in ["", "orders", "[::1]:9092", "it's \"a\\b\"", "Z\u{fc}rich"] {
            assert_eq!(Shown::name(text).to_string(), text);
        }
        let longest = "x".repeat(NAME_MAX);
        assert_eq!(Shown::name(&longest).to_string(), longest);
    }

    #[test]
    fn what_moves_the_cursor_or_is_not_seen_is_escaped() {
        let text = "a\nb\r\x1b[2Jc\0d\u{202e}e";
        let shown = Shown::sentence(text).to_string();
        assert_eq!(shown, "a\\nb\\r\\u{1b}[2Jc\\0d\\u{202e}e");
        assert_eq!(Shown::sentence(&shown).to_string(), shown, "once");
    }

    #[test]
    fn what_is_long_is_cut() {
        for (text, shown) in [("x", "x"), ("\n", "\\n")] {
            let long = text.repeat(60_000);
            let name = Shown::name(&long).to_string();
            assert_eq!(name, shown.repeat(NAME_MAX / shown.len()) + "...");
            let sentence = Shown::sentence(&long).to_string();
            assert_eq!(sentence, shown.repeat(SENTENCE_MAX / shown.len()) + "...");
        }
    }
}
