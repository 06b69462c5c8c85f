//! Spread that is the same for the same seed.

use std::hash::{Hash, Hasher};
use std::time::Duration;

/// A small deterministic source of numbers (splitmix64: public domain, Steele et al. 2014): spreading needs no more, and
/// the verdict must give the same outputs for the same inputs.
#[derive(Debug, Clone)]
pub struct Jitter(u64);

/// Verdicts that differ in what they will draw alone are the same but for their spread.
impl Hash for Jitter {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Jitter {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between nothing and `longest`.
    pub fn up_to(&mut self, longest: Duration) -> Duration {
        longest.mul_f64((self.next() >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// Between eight tenths of `longest` and all of it: what is promised within a time is not late by the spread.
    pub fn within(&mut self, longest: Duration) -> Duration {
        longest * 8 / 10 + longest.mul_f64(0.2 * (self.next() >> 11) as f64 / (1u64 << 53) as f64)
    }
}
