//! Every key in the bucket. Nothing else builds one.

use metadata::ObjectKey;
use object_store::path::Path;

/// Where a segment lies. Object stores spread load over keys by their first characters, so those that differ come first: the
/// low byte of the key, which its process counts up, then the key itself, which sorts by age.
#[must_use]
pub fn segment(prefix: &Path, key: ObjectKey) -> Path {
    segments(prefix)
        .join(format!("{:02x}", key.0 & 0xff))
        .join(key.to_string())
}

/// Below which all segments lie.
#[must_use]
pub fn segments(prefix: &Path) -> Path {
    prefix.clone().join("segments")
}

/// Where a bucket says whose it is.
#[must_use]
pub fn witness(prefix: &Path) -> Path {
    prefix.clone().join("penstock.json")
}

/// Under which keys it is tried out whether the bucket works.
#[must_use]
pub fn probe(prefix: &Path, name: &str) -> Path {
    prefix.clone().join("doctor").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_lies_under_the_prefix_spread_by_its_low_byte() {
        let path = segment(&Path::from("team/logs"), ObjectKey(0xabcd));
        let expected = "team/logs/segments/cd/0000000000000000000000000000abcd";
        assert_eq!(path.as_ref(), expected);
        assert!(
            segment(&Path::default(), ObjectKey(1))
                .as_ref()
                .starts_with("segments/01/")
        );
    }
}
