//! How the values of settings are written and judged. Called by `check`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// How a setting's value is written.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Boolean,
    Int(RangeInclusive<i32>),
    Long(RangeInclusive<i64>),
    /// From 0 to 1.
    Ratio,
    /// One of the given words; anything, if none is given.
    Text(&'static [&'static str]),
    /// A comma-separated list of the given words; of anything, if none is given.
    List(&'static [&'static str]),
}

impl Kind {
    /// DescribeConfigs' number for it.
    pub(crate) fn code(&self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::Text(_) => 2,
            Self::Int(_) => 3,
            Self::Long(_) => 5,
            Self::Ratio => 6,
            Self::List(_) => 7,
        }
    }

    /// A value in its plain form, in which tools compare it; or what would be lawful.
    pub(super) fn read(&self, value: &str) -> Result<String, String> {
        let value = value.trim();
        match self {
            Self::Boolean => match value.to_ascii_lowercase() {
                plain if plain == "true" || plain == "false" => Ok(plain),
                _ => Err("true or false".to_owned()),
            },
            Self::Int(lawful) => number(value, lawful),
            Self::Long(lawful) => number(value, lawful),
            Self::Ratio => match value.parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(value.to_owned()),
                _ => Err("a number from 0 to 1".to_owned()),
            },
            Self::Text([]) => Ok(value.to_owned()),
            Self::Text(words) if words.contains(&value) => Ok(value.to_owned()),
            Self::Text(words) => Err(format!("one of {}", words.join(", "))),
            Self::List(words) => {
                let given: Vec<&str> = value.split(',').map(str::trim).collect();
                if words.is_empty() || given.iter().all(|word| words.contains(word)) {
                    Ok(given.join(","))
                } else {
                    Err(format!("a list of {}", words.join(", ")))
                }
            }
        }
    }
}

fn number<N>(value: &str, lawful: &RangeInclusive<N>) -> Result<String, String>
where
    N: FromStr + PartialOrd + Display,
{
    match value.parse::<N>() {
        Ok(number) if lawful.contains(&number) => Ok(number.to_string()),
        _ => Err(format!(
            "a whole number from {} to {}",
            lawful.start(),
            lawful.end()
        )),
    }
}
