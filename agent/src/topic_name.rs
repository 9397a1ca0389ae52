//! Kafka's rule for names of topics.

/// Kafka's limit: file names of its log segments had to fit.
const LENGTH_MAX: usize = 249;
/// Where Kafka keeps groups and transactions. Tools take a topic with such a name for that, so nobody may make one.
const INTERNAL: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// Whether Kafka allows the name; if not, a sentence that says why.
pub(crate) fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the topic name is empty".to_owned());
    }
    if name == "." || name == ".." {
        return Err("the topic name cannot be '.' or '..'".to_owned());
    }
    if name.len() > LENGTH_MAX {
        return Err(format!(
            "the topic name is longer than {LENGTH_MAX} characters"
        ));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name.chars().find(|c| !allowed(*c)) {
        None => Ok(()),
        Some(_) => Err(format!(
            "the topic name '{name}' has characters other than ASCII letters, digits, '.', '_' and '-'"
        )),
    }
}

/// Whether a topic may be made under the name; if not, a sentence that says why.
pub(crate) fn check_new(name: &str) -> Result<(), String> {
    check(name)?;
    if INTERNAL.contains(&name) {
        return Err(format!(
            "the topic name '{name}' is reserved for Kafka's own topic, which does not exist here"
        ));
    }
    Ok(())
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
            assert_eq!(check(good), Ok(()), "{good}");
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
            assert!(check(bad).is_err(), "{bad}");
        }
    }
    #[test]
    fn kafkas_own_topics_are_lawful_names_that_nobody_may_make() {
        for internal in INTERNAL {
            assert!(check(internal).is_ok() && check_new(internal).is_err());
        }
        assert_eq!(check_new("__mine"), Ok(()));
        assert!(check_new("a b").is_err());
    }
}
