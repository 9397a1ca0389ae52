//! Records as an operator names them.

use std::fmt;
use std::str::FromStr;

use metadata::{LostRange, Offset, PartitionIndex};

/// Offsets of a topic's partition, the last one included: `orders:3:120-149`, as the log names those that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    pub topic: String,
    pub range: LostRange,
}

impl FromStr for Records {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = || {
            let (topic, place) = text.split_once(':')?;
            let (partition, offsets) = place.split_once(':')?;
            let (first, last) = offsets.split_once('-')?;
            let offset = |digits: &str| digits.parse::<i64>().ok().filter(|it| *it >= 0);
            let (first, last) = (offset(first)?, offset(last)?);
            let range = LostRange {
                partition: PartitionIndex(partition.parse().ok().filter(|it| *it >= 0)?),
                from: Offset(first),
                until: Offset(last.checked_add(1)?),
            };
            let is_some = !topic.is_empty() && first <= last;
            is_some.then(|| Self {
                topic: topic.to_owned(),
                range,
            })
        };
        parts().ok_or_else(|| {
            "no records: write topic, partition, first and last offset as in orders:3:120-149"
                .to_owned()
        })
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LostRange {
            partition,
            from,
            until,
        } = self.range;
        let (first, last) = (from.0, until.0 - 1);
        write!(f, "{}:{}:{first}-{last}", self.topic, partition.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_are_written() {
        for text in ["orders:3:120-149", "a.b_c-d:0:0-0"] {
            let records: Records = text.parse().unwrap();
            assert_eq!(records.to_string(), text);
        }
        let records: Records = "orders:3:120-149".parse().unwrap();
        assert_eq!(records.range.until, Offset(150));
        let end = i64::MAX;
        for wrong in [
            "",
            "orders",
            "orders:3",
            "orders:3:120",
            "orders:3:149-120",
            "orders:-3:1-2",
            "orders:3:-1-2",
            ":3:1-2",
            "orders:3:1-2-3",
            &format!("orders:3:1-{end}"),
        ] {
            assert!(wrong.parse::<Records>().is_err(), "{wrong}");
        }
    }
}
