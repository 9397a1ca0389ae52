//! Kafka's rule for names of topics. Agents ask it before they ask for a topic; whoever else asks is held to it by `state`.

use crate::shown::Shown;

/// Bytes of a name, at the most. Kafka's limit: file names of its log segments had to fit.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Whether Kafka allows the name; if not, a sentence that says why.
///
/// # Errors
/// The sentence.
pub fn check_topic_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the topic name is empty".to_owned());
    }
    if name == "." || name == ".." {
        return Err("the topic name cannot be '.' or '..'".to_owned());
    }
    if name.len() > TOPIC_NAME_BYTES_MAX {
        return Err(format!(
            "the topic name is longer than {TOPIC_NAME_BYTES_MAX} characters"
        ));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name.chars().find(|c| !allowed(*c)) {
        None => Ok(()),
        Some(_) => Err(format!(
            "the topic name '{}' has characters other than ASCII letters, digits, '.', '_' and '-'",
            Shown::name(name)
        )),
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
}
