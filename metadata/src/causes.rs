//! An error with what led to it, for people: most libraries' errors say nothing of their causes themselves.

use std::error::Error;

/// Characters of an error with all its causes.
const CHARS_MAX: usize = 1000;

/// What an error says and, each once, what its causes say; cut where that is very long, as where a whole page came instead
/// of an answer. Whoever an address says that one is, with a password perhaps, is left out.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) && text.len() < CHARS_MAX {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    let text = without_users(&text);
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// As `http://user:password@host/`, without what is before the `@`.
fn without_users(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || "/?#\"'<>()".contains(c);
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (authority, rest) = part.split_at(part.find(is_end).unwrap_or(part.len()));
        let host = authority.rsplit_once('@');
        clean.push_str("://");
        clean.push_str(host.map_or(authority, |(_, host)| host));
        clean.push_str(rest);
    }
    clean
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// As those of libraries: the first keeps quiet about its cause, the second says it itself.
    #[derive(Debug, thiserror::Error)]
    enum Failed {
        #[error("error sending request")]
        Quiet(#[source] io::Error),
        #[error("it failed: {0}")]
        Loud(#[source] Box<Failed>),
    }

    #[test]
    fn every_cause_is_said_once() {
        let cause = io::Error::other("Connection refused (os error 111)");
        let quiet = Failed::Quiet(cause);
        let whole = "error sending request: Connection refused (os error 111)";
        assert_eq!(with_causes(&quiet), whole);
        let loud = Failed::Loud(Box::new(quiet));
        assert_eq!(with_causes(&loud), format!("it failed: {whole}"));
    }

    #[test]
    fn it_has_a_bound() {
        let page = "\u{e4}".repeat(100_000);
        let said = with_causes(&Failed::Quiet(io::Error::other(page)));
        assert!(said.starts_with("error sending request: \u{e4}"), "{said}");
        assert!(said.ends_with("..."), "{said}");
        assert_eq!(said.chars().count(), CHARS_MAX + 3);
    }

    #[test]
    fn passwords_in_addresses_are_left_out() {
        let asked =
            "GET http://me:hush@s3.test:9000/a?b=c@d and (https://x:pw@y) of postgres://u@h";
        let said = with_causes(&io::Error::other(asked));
        let expected = "GET http://s3.test:9000/a?b=c@d and (https://y) of postgres://h";
        assert_eq!(said, expected);
    }
}
