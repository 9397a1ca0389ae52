//! What a new topic may be given. Called by `admin`.

use std::collections::BTreeMap;

use metadata::Shown;

use super::table::find;

/// The settings of a new topic, checked and in their plain form: unknown names and values Kafka would refuse are.
///
/// # Errors
/// With a sentence, for INVALID_CONFIG.
pub(crate) fn check<'a>(
    given: impl Iterator<Item = (&'a str, Option<&'a str>)>,
) -> Result<BTreeMap<String, String>, String> {
    let mut checked = BTreeMap::new();
    for (name, value) in given {
        let unknown = || format!("unknown topic setting '{}'", Shown::name(name));
        let setting = find(name).ok_or_else(unknown)?;
        let value = value.ok_or_else(|| format!("the setting '{name}' has no value"))?;
        let lawful = setting.kind.read(value).and_then(|plain| {
            // Kafka's gzip knows -1 and from 1 on, nothing between.
            match (name, plain.as_str()) {
                ("compression.gzip.level", "0") => Err("-1, or from 1 to 9".to_owned()),
                _ => Ok(plain),
            }
        });
        let plain = lawful.map_err(|lawful| {
            format!(
                "'{}' is not a value of {name}: write {lawful}",
                Shown::name(value)
            )
        })?;
        if checked.insert(name.to_owned(), plain).is_some() {
            return Err(format!("the setting '{name}' is given twice"));
        }
    }
    check_together(&checked)?;
    Ok(checked)
}

/// What no setting is to blame for alone.
fn check_together(settings: &BTreeMap<String, String>) -> Result<(), String> {
    let lag = |name: &str, default| number_of(settings, name).unwrap_or(default);
    if lag("min.compaction.lag.ms", 0) > lag("max.compaction.lag.ms", i64::MAX) {
        return Err("min.compaction.lag.ms is above max.compaction.lag.ms".to_owned());
    }
    Ok(())
}

pub(super) fn number_of(settings: &BTreeMap<String, String>, name: &str) -> Option<i64> {
    settings.get(name)?.parse().ok()
}
