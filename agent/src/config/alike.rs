//! What was meant by a name that is none.

/// Of names that are less alike than this, none is meant by the other.
const ALIKE_MIN: f64 = 0.8;

/// The known name that is most alike, if one is alike enough to be meant.
pub(super) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let alike = |name: &str| strsim::jaro_winkler(written, name);
    let known = known.into_iter();
    let nearest = known.max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    (alike(nearest) >= ALIKE_MIN).then_some(nearest)
}
