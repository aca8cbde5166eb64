//! From the scores of the parts and the keywords to calibrated probabilities, and the learned thresholds.
//!
//! The fused score of an output is `linear · margin + mlp · score + bias + keyword evidence`, all factors
//! but the biases at least 0, learned on held-out rows by their log-loss (Platt scaling over several
//! scores; for one part it is temperature scaling). Keyword evidence grows with the share that one
//! component has in the word: three non-negative increments, so the rule is monotone by construction.

use majordomo_simd::Kernels;

use crate::model::{Mode, NONE, TrainingSet};

/// Index in [`Calibration::factors`].
const LINEAR: usize = 0;
const MLP: usize = 1;
const NONE_BIAS: usize = 2;
const BIAS: usize = 3;
/// First of three increments of keyword evidence.
const KEYWORD: usize = 4;
const N_FACTORS: usize = 7;

/// Confidences above which keyword evidence gains an increment: any keyword, one of at most three components, one of a
/// single component.
const EVIDENCE_STEPS: [f32; 3] = [0.0, 0.3, 0.9];

/// The cost of a wrong load, in questions to the user: the command is given again, as after a question, and
/// the load was wasted.
const COST_OF_WRONG: f32 = 1.4;
/// Threshold of the likeliest label before any row was held out.
const CAUTIOUS: f32 = 0.5;
/// The weight of the prior "as often right as the probability says", in rows.
const N_CAUTIOUS: f64 = 20.0;

/// Keyword evidence: (output, confidence of its strongest keyword).
pub(crate) type Evidence = (u32, f32);

/// Factors and thresholds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Calibration {
    pub(crate) factors: [f32; N_FACTORS],
    /// By label (output - 1).
    pub(crate) thresholds: Vec<f32>,
}

/// The scores of the parts for held-out rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldOutScores {
    pub(crate) rows: Vec<u32>,
    /// `rows × n_outputs` each.
    pub(crate) linear: Vec<f32>,
    pub(crate) mlp: Vec<f32>,
    pub(crate) evidence: Vec<Vec<Evidence>>,
}

impl HeldOutScores {
    pub(crate) fn append(&mut self, mut other: Self) {
        self.rows.append(&mut other.rows);
        self.linear.append(&mut other.linear);
        self.mlp.append(&mut other.mlp);
        self.evidence.append(&mut other.evidence);
    }
}

impl Calibration {
    /// The calibration before any held-out row.
    pub(crate) fn start(mode: Mode, n_labels: usize) -> Self {
        let threshold = match mode {
            Mode::Exclusive => CAUTIOUS,
            Mode::Independent => 0.3,
        };
        // The factors of the parts as learned from seventy to a thousand held-out rows.
        Self { factors: [3.0, 0.5, 0.0, 0.0, 0.5, 1.0, 1.5], thresholds: vec![threshold; n_labels] }
    }

    /// The score for keyword evidence of a confidence in (0, 1].
    pub(crate) fn keyword_score(&self, confidence: f32) -> f32 {
        let steps = EVIDENCE_STEPS.iter().zip(&self.factors[KEYWORD..]);
        steps.filter(|(step, _)| confidence > **step).map(|(_, factor)| factor).sum()
    }

    pub(crate) fn linear_factor(&self) -> f32 {
        self.factors[LINEAR]
    }

    /// Writes the fused scores of all outputs into `out`.
    pub(crate) fn fuse(&self, linear: &[f32], mlp: &[f32], evidence: &[Evidence], out: &mut [f32]) {
        let f = &self.factors;
        for ((out, l), m) in out.iter_mut().zip(linear).zip(mlp) {
            *out = f[LINEAR] * l + f[MLP] * m + f[BIAS];
        }
        out[NONE] += f[NONE_BIAS];
        for &(output, confidence) in evidence {
            out[output as usize] += self.keyword_score(confidence);
        }
    }

    /// Writes the probabilities by output of the row at a position of `held_out` into `out`.
    pub(crate) fn probabilities(
        &self,
        kernels: Kernels,
        mode: Mode,
        held_out: &HeldOutScores,
        at: usize,
        out: &mut [f32],
    ) {
        let n = out.len();
        let range = at * n..(at + 1) * n;
        let evidence = &held_out.evidence[at];
        self.fuse(&held_out.linear[range.clone()], &held_out.mlp[range], evidence, out);
        mode.activate(kernels, out);
    }

    /// Learns the factors, then the thresholds.
    pub(crate) fn fit(mode: Mode, set: &TrainingSet, held_out: &HeldOutScores) -> Self {
        let mut out = Self::start(mode, set.n_outputs() - 1);
        if held_out.rows.is_empty() {
            return out;
        }
        out.fit_factors(mode, set, held_out);
        match mode {
            Mode::Exclusive => out.fit_floor(set, held_out),
            Mode::Independent => out.fit_thresholds(mode, set, held_out),
        }
        out
    }

    /// Rprop (Riedmiller and Braun, 1993) on the log-loss, pulled to the start with the weight of four
    /// rows, so that few rows do not move the factors far.
    fn fit_factors(&mut self, mode: Mode, set: &TrainingSet, held_out: &HeldOutScores) {
        let kernels = Kernels::active();
        let n = set.n_outputs();
        let start = self.factors;
        let mut steps = [0.1f32; N_FACTORS];
        let mut before = [0.0f64; N_FACTORS];
        let mut p = vec![0.0; n];
        for _ in 0..60 {
            let mut gradient = [0.0f64; N_FACTORS];
            for (at, &row) in held_out.rows.iter().enumerate() {
                let linear = &held_out.linear[at * n..][..n];
                let mlp = &held_out.mlp[at * n..][..n];
                let evidence = &held_out.evidence[at];
                self.probabilities(kernels, mode, held_out, at, &mut p);
                let target = set.target(mode, row as usize);
                for &output in set.outputs(row as usize) {
                    p[output as usize] -= target;
                }
                gradient[LINEAR] += f64::from(kernels.dot(&p, linear));
                gradient[MLP] += f64::from(kernels.dot(&p, mlp));
                gradient[NONE_BIAS] += f64::from(p[NONE]);
                if mode == Mode::Independent {
                    gradient[BIAS] += p.iter().copied().map(f64::from).sum::<f64>();
                }
                for &(output, confidence) in evidence {
                    for (i, step) in EVIDENCE_STEPS.iter().enumerate() {
                        if confidence > *step {
                            gradient[KEYWORD + i] += f64::from(p[output as usize]);
                        }
                    }
                }
            }
            for i in 0..N_FACTORS {
                let g = gradient[i] + 4.0 * f64::from(self.factors[i] - start[i]);
                let product = g * before[i];
                if product > 0.0 {
                    steps[i] = (steps[i] * 1.2).min(1.0);
                } else if product < 0.0 {
                    steps[i] *= 0.5;
                }
                before[i] = g;
                if g != 0.0 {
                    self.factors[i] -= steps[i] * g.signum() as f32;
                }
                if i != NONE_BIAS && i != BIAS {
                    self.factors[i] = self.factors[i].max(0.0);
                }
            }
        }
    }

    /// The threshold of least expected cost, where a right load costs nothing, a question one and a wrong load
    /// [`COST_OF_WRONG`]: the probability from which on the likeliest label is right often enough.
    fn fit_floor(&mut self, set: &TrainingSet, held_out: &HeldOutScores) {
        let kernels = Kernels::active();
        let mut p = vec![0.0; set.n_outputs()];
        // (probability of the likeliest label, whether it was meant)
        let mut judged: Vec<(f32, bool)> = Vec::with_capacity(held_out.rows.len());
        for (at, &row) in held_out.rows.iter().enumerate() {
            self.probabilities(kernels, Mode::Exclusive, held_out, at, &mut p);
            let best = (1..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b]));
            if let Some(best) = best.filter(|&b| p[b] > p[NONE]) {
                judged.push((p[best], set.outputs(row as usize).contains(&(best as u32))));
            }
        }
        let floor = least_cost(&judged);
        self.thresholds.fill(floor);
    }

    /// One threshold for the best micro-F1, then one a label, drawn to the common one while the label has
    /// few held-out rows.
    fn fit_thresholds(&mut self, mode: Mode, set: &TrainingSet, held_out: &HeldOutScores) {
        let kernels = Kernels::active();
        let n = set.n_outputs();
        let mut p = vec![0.0; n];
        // (probability, is on) by label
        let mut judged: Vec<Vec<(f32, bool)>> =
            vec![Vec::with_capacity(held_out.rows.len()); n - 1];
        for (at, &row) in held_out.rows.iter().enumerate() {
            self.probabilities(kernels, mode, held_out, at, &mut p);
            let on = set.outputs(row as usize);
            for (label, judged) in judged.iter_mut().enumerate() {
                judged.push((p[label + 1], on.contains(&(label as u32 + 1))));
            }
        }
        let grid = || (4..=36).map(|i| i as f32 * 0.025);
        let best = |counts: &dyn Fn(f32) -> (usize, usize, usize)| {
            // Of equally good thresholds the mean.
            let scores: Vec<(f32, f64)> = grid().map(|t| (t, f1(counts(t)))).collect();
            let top = scores.iter().map(|s| s.1).fold(0.0, f64::max);
            let among: Vec<f32> =
                scores.iter().filter(|s| s.1 >= top - 1e-9).map(|s| s.0).collect();
            among.iter().sum::<f32>() / among.len() as f32
        };
        let common = best(&|t| {
            judged
                .iter()
                .map(|j| count(j, t))
                .fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2))
        });
        for (threshold, judged) in self.thresholds.iter_mut().zip(&judged) {
            let n_on = judged.iter().filter(|j| j.1).count() as f32;
            let own = best(&|t| count(judged, t));
            *threshold = (n_on * own + 30.0 * common) / (n_on + 30.0);
        }
    }
}

/// The threshold of least cost for likeliest labels with (probability, whether they were meant).
///
/// Learns how often a likeliest label is right by the log-odds of its probability (Platt, 1999), by Newton's
/// method, drawn to "as often as the probability says" with the weight of [`N_CAUTIOUS`] rows.
fn least_cost(judged: &[(f32, bool)]) -> f32 {
    let log_odds = |p: f32| {
        let p = f64::from(p.clamp(1e-4, 1.0 - 1e-4));
        (p / (1.0 - p)).ln()
    };
    let (mut slope, mut offset) = (1.0f64, 0.0f64);
    for _ in 0..20 {
        let mut gradient = [N_CAUTIOUS * (slope - 1.0), N_CAUTIOUS * offset];
        let mut curvature = [N_CAUTIOUS, 0.0, N_CAUTIOUS];
        for &(p, right) in judged {
            let x = log_odds(p);
            let said = 1.0 / (1.0 + (-(slope * x + offset)).exp());
            let (error, weight) = (said - f64::from(u8::from(right)), said * (1.0 - said));
            gradient[0] += error * x;
            gradient[1] += error;
            curvature[0] += weight * x * x;
            curvature[1] += weight * x;
            curvature[2] += weight;
        }
        let [a, b, c] = curvature;
        let determinant = a * c - b * b;
        slope -= (c * gradient[0] - b * gradient[1]) / determinant;
        offset -= (a * gradient[1] - b * gradient[0]) / determinant;
    }
    let enough = log_odds(1.0 - 1.0 / COST_OF_WRONG);
    let floor = 1.0 / (1.0 + (-(enough - offset) / slope.max(0.1)).exp());
    if floor.is_finite() { (floor as f32).clamp(0.2, 0.8) } else { CAUTIOUS }
}

/// (true positives, false positives, false negatives)
fn count(judged: &[(f32, bool)], threshold: f32) -> (usize, usize, usize) {
    judged.iter().fold((0, 0, 0), |(tp, fp, fneg), &(p, on)| {
        let said = p >= threshold;
        (
            tp + usize::from(said && on),
            fp + usize::from(said && !on),
            fneg + usize::from(!said && on),
        )
    })
}

fn f1((tp, fp, fneg): (usize, usize, usize)) -> f64 {
    if tp == 0 { 0.0 } else { 2.0 * tp as f64 / (2 * tp + fp + fneg) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threshold_follows_expected_cost() {
        let check = |rows: &[(f32, bool, usize)], low: f32, high: f32| {
            let judged: Vec<(f32, bool)> =
                rows.iter().flat_map(|&(p, right, n)| vec![(p, right); n]).collect();
            let t = least_cost(&judged);
            assert!(t > low && t <= high, "{t} is not in {low}..={high}");
        };
        // As often right as the probability says: two of seven are enough.
        check(
            &[(0.33, true, 100), (0.33, false, 200), (0.8, true, 400), (0.8, false, 100)],
            0.25,
            0.31,
        );
        // Right more often than the probability says, less often, and without rows.
        check(&[(0.3, true, 200), (0.3, false, 100), (0.9, true, 400)], 0.19, 0.25);
        check(&[(0.5, true, 80), (0.5, false, 320), (0.9, true, 400)], 0.5, 0.65);
        check(&[], 0.28, 0.29);
    }
}
