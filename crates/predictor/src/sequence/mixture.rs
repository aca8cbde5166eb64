//! The mixture: a log-linear pool of the experts with weights learned online.
//!
//! P(c) ∝ exp Σ w_k · log p_k(c): the conditional logit model (McFadden 1974) over experts' logarithms,
//! trained by AdaGrad (Duchi, Hazan and Singer 2011) on the log loss of what was used. Learned weights start
//! from a prior that prefers long contexts and renewal, and from a high accumulated gradient, since a
//! mixture that learns too fast follows noise (measured: ADR 0014).

use serde::{Deserialize, Serialize};

use super::experts::N_EXPERTS;

/// Weights before any observation, in the experts' order. Rounded to a twentieth.
const PRIOR: [f32; N_EXPERTS] = [
    0.10, 0.10, // recency
    0.05, 0.0, -0.05, -0.05, // frequency by commands
    0.0, -0.05, -0.05, // frequency by time
    0.0, 0.05, 0.05, 0.05, 0.05, 0.10, // orders 1, 1 recently, 2, 3, 4, 6
    0.10, 0.05, 0.05, 0.05, // skip, pause, time of day with and without
    0.05, 0.0, 0.0, 0.0, 0.05, // unordered, sparse, pause alone, followers
    0.15, 0.15, // renewal
    -2.0, // in use now
];
const RATE: f32 = 0.03;
/// Squared gradient counted at the start.
const STIFFNESS: f32 = 30.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Mixture {
    weights: Vec<f32>,
    squares: Vec<f32>,
}

impl Default for Mixture {
    fn default() -> Self {
        Self { weights: PRIOR.to_vec(), squares: vec![STIFFNESS; N_EXPERTS] }
    }
}

impl Mixture {
    pub(super) fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Writes the pooled probabilities; they sum to 1 over the components that are not retired.
    pub(super) fn predict(&self, features: &[f32], retired: &[bool], p: &mut Vec<f32>) {
        let n = retired.len();
        p.clear();
        p.resize(n, 0.0);
        for (weight, row) in self.weights.iter().zip(features.chunks_exact(n.max(1))) {
            for (score, feature) in p.iter_mut().zip(row) {
                *score += weight * feature;
            }
        }
        let alive = p.iter().zip(retired).filter(|(_, r)| !**r);
        let max = alive.map(|(s, _)| *s).fold(f32::MIN, f32::max);
        let mut sum = 0.0;
        for (p, retired) in p.iter_mut().zip(retired) {
            *p = if *retired { 0.0 } else { (*p - max).exp() };
            sum += *p;
        }
        if sum > 0.0 {
            p.iter_mut().for_each(|p| *p /= sum);
        }
    }

    /// Follows the gradient of the log loss of the last prediction. `used` lies below `p.len()`.
    pub(super) fn learn(&mut self, features: &[f32], p: &[f32], used: &[u32]) {
        if used.is_empty() || p.len() < 2 {
            return;
        }
        let share = 1.0 / used.len() as f32;
        for (k, row) in features.chunks_exact(p.len()).enumerate() {
            let expected: f32 = p.iter().zip(row).map(|(p, x)| p * x).sum();
            let observed: f32 = used.iter().map(|i| row[*i as usize]).sum::<f32>() * share;
            let gradient = expected - observed;
            self.squares[k] += gradient * gradient;
            self.weights[k] -= RATE * gradient / self.squares[k].sqrt();
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        self.weights.len() == N_EXPERTS
            && self.squares.len() == N_EXPERTS
            && self.weights.iter().all(|w| w.is_finite() && w.abs() < 1e3)
            && self.squares.iter().all(|s| s.is_finite() && *s > 0.0)
    }
}
