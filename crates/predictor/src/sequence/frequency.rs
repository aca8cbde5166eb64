//! The frequency of each component: an exponentially decayed count of its uses.

use serde::{Deserialize, Serialize};

/// Weight of the uniform prior, in uses.
const PRIOR: f32 = 0.5;
/// Counts below this become 0, which keeps long-decayed numbers out of the subnormal range.
const GONE: f32 = 1e-12;

/// Decayed counts by component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Frequency {
    counts: Vec<f32>,
    sum: f32,
}

impl Frequency {
    /// Decays all counts to the share `stays`, then counts the uses.
    pub(super) fn learn(&mut self, used: &[u32], n: usize, stays: f32) {
        self.counts.resize(n, 0.0);
        let mut sum = 0.0;
        for c in &mut self.counts {
            *c = if *c > GONE { *c * stays } else { 0.0 };
            sum += *c;
        }
        for local in used {
            self.counts[*local as usize] += 1.0;
        }
        self.sum = sum + used.len() as f32;
    }

    pub(super) fn predict(&self, p: &mut [f32]) {
        let prior = PRIOR / p.len().max(1) as f32;
        let total = self.sum + PRIOR;
        for (p, c) in p.iter_mut().zip(&self.counts) {
            *p = (c + prior) / total;
        }
    }

    pub(super) fn is_sound(&self, n: usize) -> bool {
        self.counts.len() == n
            && self.counts.iter().chain([&self.sum]).all(|c| c.is_finite() && *c >= 0.0)
    }
}
