//! Random numbers: fresh keys and ids, and jitter. The machine's, or in simulation those of a seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where random numbers come from.
#[derive(Clone, Debug, Default)]
pub enum Random {
    #[default]
    Real,
    /// The same numbers again for the same seed: for simulation only, as keys are no longer unique.
    Seeded(Arc<AtomicU64>),
}

impl Random {
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(AtomicU64::new(seed)))
    }

    #[must_use]
    pub fn u64(&self) -> u64 {
        match self {
            Self::Real => rand::random(),
            Self::Seeded(state) => mix(state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)),
        }
    }

    #[must_use]
    pub fn u128(&self) -> u128 {
        (u128::from(self.u64()) << 64) | u128::from(self.u64())
    }

    /// From 0.5 up to 1.5, for pauses that should not fall together.
    #[must_use]
    pub fn jitter(&self) -> f64 {
        let fraction = u32::try_from(self.u64() >> 32).unwrap_or_default();
        0.5 + f64::from(fraction) / (f64::from(u32::MAX) + 1.0)
    }
}

/// SplitMix64's mix.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_numbers_again_and_jitter_stays_in_its_bounds() {
        let numbers = |seed| -> Vec<u128> {
            let random = Random::seeded(seed);
            (0..100).map(|_| random.u128()).collect()
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        for random in [Random::Real, Random::seeded(1)] {
            let jitters: Vec<f64> = (0..1000).map(|_| random.jitter()).collect();
            assert!(jitters.iter().all(|jitter| (0.5..1.5).contains(jitter)));
            assert!(jitters.iter().any(|jitter| *jitter < 0.6));
            assert!(jitters.iter().any(|jitter| *jitter > 1.4));
        }
    }
}
