//! The settings of topics: Kafka's names, defaults and bounds, and what those mean that anything here looks at. Used by
//! `admin` and `produce`. Settings that concern disks and replicas are accepted and echoed, and mean nothing here.

mod kind;
mod settings;
mod table;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use metadata::Shown;

pub(crate) use kind::Kind;
pub(crate) use settings::{TimestampType, TopicSettings};
pub(crate) use table::{SETTINGS, Setting};

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

/// The setting of that name.
pub(crate) fn find(name: &str) -> Option<&'static Setting> {
    let place = SETTINGS.binary_search_by_key(&name, |setting| setting.name);
    place.ok().and_then(|place| SETTINGS.get(place))
}

fn number_of(settings: &BTreeMap<String, String>, name: &str) -> Option<i64> {
    settings.get(name)?.parse().ok()
}

/// Where Kafka's replies say that a setting's value comes from.
pub(crate) mod source {
    pub(crate) const TOPIC: i8 = 1;
    pub(crate) const BROKER: i8 = 4;
    pub(crate) const DEFAULT: i8 = 5;
}
