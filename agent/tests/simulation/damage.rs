//! Listens to what the product counts of itself. Readers take an answer that says "damage" for one that may come again, and
//! ask another time; but no index row is ever lost here, so one that says that an index does not lead to an offset is wrong,
//! unless the store went back in time, and rows with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tokio::time::sleep;

use crate::world::spawn;

/// Longer than a read of an index row takes, whatever the store does.
const SLOW_TO_SAY: Duration = Duration::from_secs(10);

/// Counts holes. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holes(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    holes: AtomicU64,
    /// Stores of old times that are there, or were just now.
    excuses: AtomicU64,
}

impl Holes {
    /// Those are right from now on, until a while after the future has ended: who found one may be slow to say so.
    pub(crate) async fn excused<T>(&self, during: impl Future<Output = T>) -> T {
        self.0.excuses.fetch_add(1, Ordering::Relaxed);
        let done = during.await;
        let counts = Arc::clone(&self.0);
        spawn(async move {
            sleep(SLOW_TO_SAY).await;
            counts.excuses.fetch_sub(1, Ordering::Relaxed);
        });
        done
    }

    /// What is wrong, if anything.
    pub(crate) fn say(&self) -> Option<String> {
        let count = self.0.holes.load(Ordering::Relaxed);
        (count > 0).then(|| format!("{count} times records could not be found that are there"))
    }
}

impl CounterFn for Counts {
    fn increment(&self, by: u64) {
        if self.excuses.load(Ordering::Relaxed) == 0 {
            self.holes.fetch_add(by, Ordering::Relaxed);
        }
    }

    fn absolute(&self, _: u64) {}
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
