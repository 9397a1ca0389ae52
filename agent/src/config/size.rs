//! Sizes, and what is said of those that are none.

/// A size in bytes: `4096`, `64KiB`, `8MiB`, `1GiB`, `1TiB` (also `KB`, `MB`, `GB`, `TB`, powers of ten).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub usize);

pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;
pub(super) const TIB: u64 = 1 << 40;

/// Those of powers of two first: sizes are shown in them.
static UNITS: [(&str, u64); 10] = [
    ("TiB", TIB),
    ("GiB", GIB),
    ("MiB", MIB),
    ("KiB", 1 << 10),
    ("B", 1),
    ("", 1),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

impl Bytes {
    /// Reads those of that many bytes at the least and at the most. `example`: one of them.
    pub(super) fn within(
        least: u64,
        most: u64,
        example: &'static str,
    ) -> impl Fn(&str) -> Result<Self, String> + Clone + Send + Sync + 'static {
        move |text: &str| {
            let bytes = bytes(text).filter(|bytes| (least..=most).contains(bytes));
            let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
            bytes.map(Self).ok_or_else(|| {
                format!(
                    "not a size from {} to {}: write a number and a unit (KiB, MiB, GiB, TiB), as in {example}",
                    shown(least),
                    shown(most)
                )
            })
        }
    }
}

fn bytes(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit());
    let digits = unit_at.unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// In the largest unit of which it is a whole number.
fn shown(bytes: u64) -> String {
    let whole = |(_, scale): &&(&str, u64)| bytes.is_multiple_of(*scale);
    let unit = UNITS.iter().find(whole);
    unit.map_or_else(String::new, |(name, scale)| {
        format!("{}{name}", bytes / scale)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("8MiB", 8 << 20),
            ("8 MB", 8_000_000),
            ("17", 17),
            ("1TiB", 1 << 40),
        ] {
            let read = Bytes::within(1, TIB, "8MiB")(text);
            assert_eq!(read, Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_none_or_beyond_its_range_is_told_with_the_range() {
        for text in [
            "",
            "0",
            "1023KiB",
            "5TiB",
            "99999999999GiB",
            "99999999999999999999",
            "-1",
            "1.5GiB",
            "8 apples",
            "MiB",
            "1mib",
        ] {
            let said = Bytes::within(MIB, 3 * GIB, "256MiB")(text).unwrap_err();
            let parts = ["from 1MiB to 3GiB", "as in 256MiB"];
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
        assert_eq!((shown(1), shown(1500)), ("1B".into(), "1500B".into()));
    }
}
