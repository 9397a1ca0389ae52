//! Listens to what the product counts of itself. Readers take an answer that says "damage" for one that may come again, and
//! ask another time; but no index row is ever lost here, so one that says that an index does not lead to an offset is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Counts holes.
#[derive(Debug, Default)]
pub(crate) struct Holes(Arc<AtomicU64>);

impl Holes {
    /// What is wrong, if anything.
    pub(crate) fn say(&self) -> Option<String> {
        let count = self.0.load(Ordering::Relaxed);
        (count > 0).then(|| format!("{count} times records could not be found that are there"))
    }
}

impl Recorder for Holes {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let is_hole = key.name() == "penstock_damage_total"
            && key.labels().any(|label| label.value() == "hole");
        match is_hole {
            true => Counter::from_arc(Arc::clone(&self.0)),
            false => Counter::noop(),
        }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
