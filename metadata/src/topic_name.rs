//! Kafka's rule for names of topics. Agents ask it before they ask for a topic; whoever else asks is held to it by `state`.

use crate::shown::Shown;

/// Bytes of a name, at the most. Kafka's limit: file names of its log segments had to fit.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Why Kafka does not allow a name. The sentence is only made where somebody reads it: clients name very many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTopicName<'a> {
    #[error("the topic name is empty")]
    Empty,
    #[error("the topic name cannot be '.' or '..'")]
    Dots,
    #[error("the topic name is longer than {} characters", TOPIC_NAME_BYTES_MAX)]
    Long,
    #[error(
        "the topic name '{}' has characters other than ASCII letters, digits, '.', '_' and '-'",
        Shown::name(.0)
    )]
    Characters(&'a str),
}

/// Whether Kafka allows the name.
///
/// # Errors
/// With why not.
pub fn check_topic_name(name: &str) -> Result<(), BadTopicName<'_>> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name {
        "" => Err(BadTopicName::Empty),
        "." | ".." => Err(BadTopicName::Dots),
        long if long.len() > TOPIC_NAME_BYTES_MAX => Err(BadTopicName::Long),
        name if name.chars().all(allowed) => Ok(()),
        name => Err(BadTopicName::Characters(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_kafkas() {
        for good in [
            "a",
            "A.b_c-9",
            "...",
            &"x".repeat(249),
            "__consumer_offsets",
        ] {
            assert_eq!(check_topic_name(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a b",
            "a/b",
            "gr\u{fc}n",
            "a\0",
            "a:b",
            &"x".repeat(250),
        ] {
            assert!(check_topic_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_name_is_said_on_one_line() {
        let said = check_topic_name("a\nb").unwrap_err().to_string();
        assert!(
            said.starts_with("the topic name 'a\\nb' has characters"),
            "{said}"
        );
    }
}
