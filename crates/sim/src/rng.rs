//! A small seeded generator: SplitMix64 (Steele, Lea, Flood 2014).
//!
//! Written here, because a seed must give the same script whatever the next version of a library draws. Not for
//! statistics, not for secrets.

use std::time::Duration;

/// A seeded generator; see the module.
#[derive(Clone, Debug)]
pub struct Rng(u64);

/// The finaliser of SplitMix64: spreads a word's bits.
fn spread(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// A generator for one purpose: the same words give the same draws, other words independent ones.
    pub fn new(words: &[u64]) -> Self {
        let state = words.iter().fold(0x9e37_79b9_7f4a_7c15, |h, w| {
            spread(h ^ spread(w.wrapping_add(0x9e37_79b9_7f4a_7c15)))
        });
        Self(state)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        spread(self.0)
    }

    /// A number in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `true` with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(usize::try_from(high - low + 1).unwrap_or(usize::MAX)) as u64
    }

    /// One of `items`, all equally likely.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Between `low` and `high` milliseconds, equally likely in each decade (log-uniform).
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        let (a, b) = ((low.max(1) as f64).ln(), (high.max(1) as f64).ln());
        Duration::from_micros(((a + (b - a) * self.unit()).exp() * 1e3) as u64)
    }
}
