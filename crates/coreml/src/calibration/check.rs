//! Whether the results of a back end are right, by the kernels.
//!
//! Owns the limits. Invariant: a row with anything but finite scores is wrong.

use majordomo_predictor::{Backend, DenseWeights, Head, SimdBackend};

use super::Rejection;

/// Probabilities may differ by this much; half precision differs by a tenth of it.
pub(crate) const MAX_DIFFERENCE: f32 = 1e-2;
/// Where a label has no threshold of its own.
const THRESHOLD: f32 = 0.5;

/// The right probabilities of the probes, and what counts as a decision.
pub(crate) struct Judge<'a> {
    weights: &'a DenseWeights,
    thresholds: &'a [f32],
    right: Vec<f32>,
}

impl<'a> Judge<'a> {
    /// For probes of whole rows; `thresholds` are by label, 0.5 where they are missing.
    pub(crate) fn new(weights: &'a DenseWeights, thresholds: &'a [f32], probes: &[f32]) -> Self {
        let rows = probes.len() / weights.n_hidden();
        let mut right = vec![0.0; rows * weights.n_outputs()];
        let simd = SimdBackend::new(weights.clone());
        // The kernels do not fail on buffers of the right length.
        let _ = simd.infer_batch(&probes[..rows * weights.n_hidden()], rows, &mut right);
        weights.activate(&mut right);
        Self { weights, thresholds, right }
    }

    /// Judges the scores of all probes; returns the largest difference of a probability.
    pub(crate) fn judge(&self, scores: &[f32]) -> Result<f32, Rejection> {
        if scores.len() != self.right.len() {
            let (n, want) = (scores.len(), self.right.len());
            return Err(Rejection::NoNumber(format!("{n} scores instead of {want}")));
        }
        if let Some(at) = scores.iter().position(|x| !x.is_finite()) {
            return Err(Rejection::NoNumber(format!("score {at} is {}", scores[at])));
        }
        let mut own = scores.to_vec();
        self.weights.activate(&mut own);
        let difference =
            own.iter().zip(&self.right).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        if difference > MAX_DIFFERENCE {
            return Err(Rejection::WrongResult { difference, allowed: MAX_DIFFERENCE });
        }
        let n = self.weights.n_outputs();
        let rows = own.chunks_exact(n).zip(self.right.chunks_exact(n));
        let flips = rows.filter(|(own, right)| self.decides_otherwise(own, right)).count() as u32;
        if flips > 0 {
            return Err(Rejection::WrongDecision { flips, rows: (own.len() / n) as u32 });
        }
        Ok(difference)
    }

    fn decides_otherwise(&self, own: &[f32], right: &[f32]) -> bool {
        let threshold = |output: usize| {
            output.checked_sub(1).and_then(|label| self.thresholds.get(label)).unwrap_or(&THRESHOLD)
        };
        let on = |row: &[f32], output: usize| row[output] >= *threshold(output);
        match self.weights.head() {
            Head::Exclusive => {
                let (a, b) = (DenseWeights::likeliest(own), DenseWeights::likeliest(right));
                a != b || on(own, a) != on(right, b)
            }
            Head::Independent => (0..own.len()).any(|o| on(own, o) != on(right, o)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores are the units themselves.
    fn identity(head: Head) -> DenseWeights {
        DenseWeights::new(0, head, vec![0.0; 2], vec![1.0, 0.0, 0.0, 1.0], vec![0.0; 2])
            .expect("they fit")
    }

    #[test]
    fn limits_are_a_hundredth_and_no_other_decision() {
        let check = |head, probes: &[f32], scores: &[f32]| {
            let weights = identity(head);
            Judge::new(&weights, &[], probes).judge(scores)
        };
        let same = check(Head::Exclusive, &[1.0, 2.0, 3.0, 0.0], &[1.0, 2.0, 3.0, 0.0]);
        assert_eq!(same, Ok(0.0));
        let near = check(Head::Exclusive, &[1.0, 2.0], &[1.01, 2.0]).expect("near");
        assert!(near > 0.0 && near < MAX_DIFFERENCE);
        let far = check(Head::Exclusive, &[1.0, 2.0], &[1.2, 2.0]);
        assert!(matches!(far, Err(Rejection::WrongResult { .. })), "{far:?}");
        let flip = check(Head::Exclusive, &[1.0, 1.001], &[1.001, 1.0]);
        assert_eq!(flip, Err(Rejection::WrongDecision { flips: 1, rows: 1 }));
        let nan = check(Head::Exclusive, &[1.0, 2.0], &[f32::NAN, 2.0]);
        assert!(matches!(nan, Err(Rejection::NoNumber(_))), "{nan:?}");
        assert!(check(Head::Exclusive, &[1.0, 2.0], &[1.0]).is_err());
    }

    #[test]
    fn threshold_of_a_label_is_a_decision() {
        let at = |p: f32| (p / (1.0 - p)).ln();
        let weights = DenseWeights::new(
            0,
            Head::Independent,
            vec![0.0; 2],
            vec![1.0, 0.0, 0.0, 1.0],
            vec![0.0, at(0.301)],
        )
        .expect("they fit");
        let judge = Judge::new(&weights, &[0.3], &[5.0, 0.0]);
        assert!(judge.judge(&[5.0, at(0.302)]).is_ok());
        let flipped = judge.judge(&[5.0, at(0.299)]);
        assert_eq!(flipped, Err(Rejection::WrongDecision { flips: 1, rows: 1 }));
    }
}
