//! Which names topics may have.

pub(crate) use metadata::check_topic_name as check;

/// Where Kafka keeps groups and transactions. Tools take a topic with such a name for that, so nobody may make one.
const INTERNAL: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// Whether a topic may be made under the name; if not, a sentence that says why.
pub(crate) fn check_new(name: &str) -> Result<(), String> {
    check(name).map_err(|why| why.to_string())?;
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
    fn kafkas_own_topics_are_lawful_names_that_nobody_may_make() {
        for internal in INTERNAL {
            assert!(check(internal).is_ok() && check_new(internal).is_err());
        }
        assert_eq!(check_new("__mine"), Ok(()));
        assert!(check_new("a b").is_err());
    }
}
