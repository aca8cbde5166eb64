//! The reuse head: P(used again within the horizon), an online logistic regression.
//!
//! Learns from all components at once, when the horizon of a prediction has passed and its uses are
//! known. AdaGrad, from a prior.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::experts::{Experts, FREQUENCY_ROW, N_FREQUENCIES, Now, SLOT_ROW};

/// A component is used again "soon" when it is used within this many commands.
pub const REUSE_HORIZON: u64 = 8;

const N_INPUTS: usize = 9 + N_FREQUENCIES;
/// Weights before any observation.
const PRIOR: [f32; N_INPUTS] = [
    1.2, -0.3, 1.0, -0.2, -0.05, // bias, log and logit P(next), age in commands and seconds
    0.15, 0.15, 0.2, 0.35, 0.15, 0.0, 0.25, // frequencies
    0.4, 0.7, 0.9, -0.45, // time of day, in use, uses, stack depth
];
const RATE: f32 = 0.1;
/// Squared gradient counted at the start.
const STIFFNESS: f32 = 30.0;

type Inputs = [f32; N_INPUTS];

/// A prediction whose horizon has not passed.
#[derive(Clone, Debug, Default, PartialEq)]
struct Pending {
    step: u64,
    inputs: Vec<Inputs>,
    used: Vec<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ReuseHead {
    weights: Inputs,
    squares: Inputs,
    #[serde(skip)]
    pending: VecDeque<Pending>,
    /// A past prediction, kept for its memory.
    #[serde(skip)]
    spare: Pending,
}

impl Default for ReuseHead {
    fn default() -> Self {
        Self {
            weights: PRIOR,
            squares: [STIFFNESS; N_INPUTS],
            pending: VecDeque::new(),
            spare: Pending::default(),
        }
    }
}

fn probability(weights: &Inputs, inputs: &Inputs) -> f32 {
    let z: f32 = weights.iter().zip(inputs).map(|(w, x)| w * x).sum();
    1.0 / (1.0 + (-z).exp())
}

impl ReuseHead {
    /// Marks the used components in the pending predictions, and learns from those whose horizon has passed.
    pub(super) fn learn(&mut self, used: &[u32], step: u64) {
        for pending in &mut self.pending {
            for local in used {
                if let Some(mark) = pending.used.get_mut(*local as usize) {
                    *mark = true;
                }
            }
        }
        while self.pending.front().is_some_and(|p| p.step + REUSE_HORIZON <= step) {
            let Some(due) = self.pending.pop_front() else { break };
            let mut gradient = [0.0; N_INPUTS];
            for (inputs, used) in due.inputs.iter().zip(&due.used) {
                let error = probability(&self.weights, inputs) - f32::from(u8::from(*used));
                for (g, x) in gradient.iter_mut().zip(inputs) {
                    *g += error * x;
                }
            }
            for ((w, s), g) in self.weights.iter_mut().zip(&mut self.squares).zip(gradient) {
                *s += g * g;
                *w -= RATE * g / s.sqrt();
            }
            self.spare = due;
        }
    }

    /// Writes the probabilities and remembers the prediction until its horizon has passed.
    pub(super) fn predict(
        &mut self,
        now: &Now,
        experts: &Experts,
        features: &[f32],
        mixed: &[f32],
        out: &mut Vec<f32>,
    ) {
        let mut pending = std::mem::take(&mut self.spare);
        pending.step = now.step;
        pending.inputs.clear();
        pending.used.clear();
        pending.used.resize(mixed.len(), false);
        pending.inputs.extend(inputs(now, experts, features, mixed));
        out.clear();
        out.extend(pending.inputs.iter().map(|x| probability(&self.weights, x)));
        // Another prediction for the same moment replaces the one before.
        if self.pending.back().is_some_and(|p| p.step == now.step) {
            self.pending.pop_back();
        }
        self.pending.push_back(pending);
    }

    /// Writes the probabilities of a forecast, from which nothing is learned.
    pub(super) fn forecast(
        &self,
        now: &Now,
        experts: &Experts,
        features: &[f32],
        mixed: &[f32],
        out: &mut Vec<f32>,
    ) {
        out.clear();
        out.extend(inputs(now, experts, features, mixed).map(|x| probability(&self.weights, &x)));
    }

    pub(super) fn is_sound(&self) -> bool {
        self.weights.iter().all(|w| w.is_finite() && w.abs() < 1e4)
            && self.squares.iter().all(|s| s.is_finite() && *s > 0.0)
    }
}

/// The inputs of the regression, by component, scaled so that all vary by about one.
fn inputs<'a>(
    now: &'a Now,
    experts: &'a Experts,
    features: &'a [f32],
    mixed: &'a [f32],
) -> impl Iterator<Item = Inputs> + 'a {
    let n = mixed.len();
    mixed.iter().enumerate().map(move |(i, p)| {
        let p = p.max(1e-6);
        let age = experts.age(i);
        let mut x: Inputs = [0.0; N_INPUTS];
        x[0] = 1.0;
        x[1] = 0.3 * p.ln();
        x[2] = 0.3 * (p / (1.0 - p).max(1e-3)).max(1e-4).ln();
        x[3] = 0.5 * (1.0 + age as f32).ln();
        x[4] = 0.2 * (1.0 + experts.seconds(i, now)).ln();
        for (j, x) in x[5..5 + N_FREQUENCIES].iter_mut().enumerate() {
            *x = 0.3 * features[(FREQUENCY_ROW + j) * n + i];
        }
        let rest = &mut x[5 + N_FREQUENCIES..];
        rest[0] = 0.3 * features[SLOT_ROW * n + i];
        rest[1] = f32::from(u8::from(age == 0));
        rest[2] = 0.3 * (1.0 + experts.uses(i) as f32).ln();
        rest[3] = 0.5 * (1.0 + experts.depth(i) as f32).ln();
        x
    })
}
