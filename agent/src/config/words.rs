//! Numbers and words, and what is said of those that are none.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Reads whole numbers of that range. `what`: how they are called in a sentence.
pub(super) fn number<T>(
    what: &'static str,
    range: RangeInclusive<T>,
    example: T,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text: &str| {
        let number = text
            .parse::<T>()
            .ok()
            .filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            format!("not a {what} from {least} to {most}: write it in digits, as in {example}")
        })
    }
}

/// Reads what has to be something: a name, a URL.
pub(super) fn word(
    example: &'static str,
) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    move |text: &str| match text.trim().is_empty() {
        true => Err(format!("it is empty: write it as in {example}")),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_others_told_with_their_range() {
        let read = number("number of seconds", 0..=86_400_u64, 30);
        assert_eq!((read("0"), read("86400")), (Ok(0), Ok(86_400)));
        for text in [
            "",
            "x",
            "-1",
            "86401",
            "9300000000000000000000",
            "10s",
            "1.5",
        ] {
            let said = read(text).unwrap_err();
            let right = "not a number of seconds from 0 to 86400: write it in digits, as in 30";
            assert_eq!(said, right, "{text}");
        }
    }

    #[test]
    fn a_word_is_not_empty() {
        let read = word("a");
        assert_eq!(read("eu 1"), Ok("eu 1".to_owned()));
        for text in ["", " ", "\t"] {
            assert_eq!(read(text).unwrap_err(), "it is empty: write it as in a");
        }
    }
}
