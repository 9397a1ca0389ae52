//! What a case should measure, and whether it did. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cases::Want;

const MIB: f64 = 1_048_576.0;
/// What a broker may take besides its budgets.
const REST_MIB: f64 = 64.0;
/// A p99 may be so many times what it was, or so many milliseconds more.
const TIMES_MAX: f64 = 1.5;
const MORE_MS_MAX: f64 = 50.0;

/// Resident bytes, and those of objects that it keeps in memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// Before anything was there.
    pub(super) fresh: u64,
    /// Before the attack, and afterwards.
    pub(super) before: u64,
    pub(super) most: u64,
    pub(super) after: u64,
    pub(super) stored: f64,
}

/// Medians of the runs.
#[derive(Debug, Serialize)]
pub(super) struct Good {
    pub(super) quiet: Times,
    pub(super) attacked: Times,
    pub(super) after: Times,
    pub(super) limit_p99: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Times {
    pub(super) count: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

/// Memory of topics that were there before the attack is not the attack's.
pub(super) fn limit_mib(budgets: &BTreeMap<&'static str, u64>, memory: Memory, cap: u64) -> f64 {
    let cache = budgets.get("cache").copied().unwrap_or_default() as f64;
    let there = mib(memory.before.saturating_sub(memory.fresh)) - cache;
    let budgets: u64 = budgets.values().sum();
    let limit = budgets as f64 + REST_MIB + there.max(0.0) + memory.stored / MIB;
    round(limit.min(cap as f64))
}

pub(super) fn limit_p99(quiet: f64) -> f64 {
    round((quiet * TIMES_MAX).max(quiet + MORE_MS_MAX))
}

/// What of the good client's took too long, as sentences.
pub(super) fn slow(good: &BTreeMap<String, Good>) -> Vec<String> {
    let mut slow = Vec::new();
    for (lane, good) in good {
        for (part, times) in [("attacked", &good.attacked), ("after", &good.after)] {
            if times.p99 > good.limit_p99 || times.count == 0.0 {
                slow.push(format!(
                    "{lane}, {part}: p99 {} ms of {}, wanted {}",
                    times.p99, times.count, good.limit_p99
                ));
            }
        }
    }
    slow
}

/// What attackers did not measure as was wanted.
pub(super) fn unmet(want: Want, figures: &BTreeMap<&'static str, f64>) -> Option<String> {
    let (name, met, wanted) = match want {
        Want::AtLeast(name, bound) => {
            let met = figures.get(name).is_some_and(|value| *value >= bound);
            (name, met, format!("at least {bound}"))
        }
        Want::AtMost(name, bound) => {
            let met = figures.get(name).is_some_and(|value| *value <= bound);
            (name, met, format!("at most {bound}"))
        }
    };
    let value = figures.get(name);
    (!met).then(|| format!("{name}: {value:?}, wanted {wanted}"))
}

/// The upper one of an even number, 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

pub(super) fn mib(bytes: u64) -> f64 {
    round(bytes as f64 / MIB)
}

/// Two digits are enough for people.
pub(super) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(p99: f64) -> Times {
        Times {
            count: 100.0,
            p50: 1.0,
            p99,
            max: p99,
        }
    }

    #[test]
    fn a_p99_may_grow_by_half_or_by_50_ms() {
        let good = |quiet: f64, attacked, after| {
            let lane = Good {
                limit_p99: limit_p99(quiet),
                quiet: times(quiet),
                attacked: times(attacked),
                after: times(after),
            };
            slow(&BTreeMap::from([("produce".to_owned(), lane)])).len()
        };
        assert_eq!(good(5.0, 55.0, 5.0), 0);
        assert_eq!(good(5.0, 55.1, 5.0), 1);
        assert_eq!(good(200.0, 300.0, 300.0), 0);
        assert_eq!(good(200.0, 5.0, 301.0), 1, "it must come back");
    }

    #[test]
    fn memory_may_hold_the_budgets_and_what_was_there() {
        let budgets = BTreeMap::from([("cache", 64), ("buffers", 64)]);
        let memory = |fresh: u64, before: u64, stored| Memory {
            fresh: fresh << 20,
            before: before << 20,
            stored,
            ..Memory::default()
        };
        assert_eq!(limit_mib(&budgets, memory(20, 80, 0.0), 512), 192.0);
        assert_eq!(limit_mib(&budgets, memory(20, 184, 0.0), 512), 292.0);
        assert_eq!(limit_mib(&budgets, memory(20, 80, 10.0 * MIB), 512), 202.0);
        assert_eq!(limit_mib(&budgets, memory(20, 800, 0.0), 512), 512.0);
    }

    #[test]
    fn what_is_wanted_must_have_been_measured() {
        let figures = BTreeMap::from([("rate", 4.0)]);
        assert_eq!(unmet(Want::AtLeast("rate", 4.0), &figures), None);
        assert_eq!(unmet(Want::AtMost("rate", 4.0), &figures), None);
        assert!(unmet(Want::AtLeast("rate", 4.1), &figures).is_some());
        assert!(unmet(Want::AtMost("rate", 3.9), &figures).is_some());
        assert!(unmet(Want::AtMost("lines", 3.9), &figures).is_some());
    }

    #[test]
    fn the_median_is_of_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![2.0, 1.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
