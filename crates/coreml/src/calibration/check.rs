//! Whether the results of a back end are right, by the kernels.
//!
//! Owns the limits. Compared are the answers that the product makes of the scores ([`Probes`]), not the scores: a
//! difference counts as much as it counts for a user. Invariant: a row with anything but finite scores is wrong.

use majordomo_predictor::{Backend, ProbeAnswers, Probes, SimdBackend};

use super::Rejection;
use super::cache::Verdict;

/// Probabilities may differ by this much; half precision differs by a tenth of it.
pub(crate) const MAX_DIFFERENCE: f32 = 1e-2;

/// The right answers to the probes.
pub(crate) struct Judge<'a> {
    probes: &'a Probes,
    right: ProbeAnswers,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(probes: &'a Probes) -> Self {
        let mut scores = vec![0.0; probes.n_rows() * probes.weights().n_outputs()];
        let simd = SimdBackend::new(probes.weights().clone());
        // The kernels do not fail on buffers of the right length.
        let _ = simd.infer_batch(probes.units(), probes.n_rows(), &mut scores);
        Self { probes, right: probes.answers(&scores) }
    }

    /// Judges the scores of all probes.
    pub(crate) fn judge(&self, scores: &[f32]) -> Verdict {
        let want = self.probes.n_rows() * self.probes.weights().n_outputs();
        if scores.len() != want {
            let n = scores.len();
            return Err(Rejection::NoNumber(format!("{n} scores instead of {want}")));
        }
        if let Some(at) = scores.iter().position(|x| !x.is_finite()) {
            return Err(Rejection::NoNumber(format!("score {at} is {}", scores[at])));
        }
        let own = self.probes.answers(scores);
        let differences =
            own.probabilities.iter().zip(&self.right.probabilities).map(|(a, b)| (a - b).abs());
        // Scores that overflow on the way give no number, which a comparison would pass over.
        let difference = differences.fold(0.0, |most: f32, difference| {
            if difference.is_nan() { f32::INFINITY } else { most.max(difference) }
        });
        if difference > MAX_DIFFERENCE {
            return Err(Rejection::WrongResult { difference, allowed: MAX_DIFFERENCE });
        }
        let pairs = own.decisions.iter().zip(&self.right.decisions);
        let flips = pairs.filter(|(own, right)| own != right).count() as u32;
        if flips > 0 {
            return Err(Rejection::WrongDecision { flips, rows: own.decisions.len() as u32 });
        }
        Ok(difference)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use majordomo_core::{ComponentId, ComponentKey};
    use majordomo_predictor::{
        DenseWeights, Head, KeywordMatcher, PredictorConfig, TextPredictor, Verdict as Installed,
    };

    use super::*;

    /// Scores are the units themselves.
    fn identity() -> DenseWeights {
        let unit = vec![1.0, 0.0, 0.0, 1.0];
        DenseWeights::new(0, Head::Exclusive, vec![0.0; 2], unit, vec![0.0; 2]).expect("they fit")
    }

    #[test]
    fn scores_without_texts_are_compared_by_probability() {
        let check = |units: &[f32], scores: &[f32]| {
            Judge::new(&Probes::of_scores(identity(), units.to_vec())).judge(scores)
        };
        assert_eq!(check(&[1.0, 2.0, 3.0, 0.0], &[1.0, 2.0, 3.0, 0.0]), Ok(0.0));
        let near = check(&[1.0, 2.0], &[1.01, 2.0]).expect("near");
        assert!(near > 0.0 && near < MAX_DIFFERENCE);
        let far = check(&[1.0, 2.0], &[1.2, 2.0]);
        assert!(matches!(far, Err(Rejection::WrongResult { .. })), "{far:?}");
        let nan = check(&[1.0, 2.0], &[f32::NAN, 2.0]);
        assert!(matches!(nan, Err(Rejection::NoNumber(_))), "{nan:?}");
        assert!(check(&[1.0, 2.0], &[1.0]).is_err());
    }

    /// Probes of a learned model's texts, and the kernels' scores of them.
    fn learned() -> (Probes, Vec<f32>) {
        let mut predictor = TextPredictor::new(PredictorConfig::default());
        let names = ["music", "clock"].map(|name| ComponentId::new(name).expect("a name"));
        let keys = [ComponentKey(0), ComponentKey(1)];
        predictor.set_catalog(keys.into_iter().zip(&names), KeywordMatcher::default());
        for i in 0..60 {
            predictor.learn(&format!("play some jazz number {i}"), &keys[..1]).expect("a text");
            predictor.learn(&format!("wake me up at {i}"), &keys[1..]).expect("a text");
        }
        let candidate = predictor.retrain_job().run(&AtomicBool::new(false)).expect("outcomes");
        assert!(matches!(predictor.install(candidate), Installed::Accepted { .. }));
        let probes = predictor.rescore_job().and_then(|job| job.probes(64)).expect("a model");
        let mut scores = vec![0.0; probes.n_rows() * probes.weights().n_outputs()];
        let simd = SimdBackend::new(probes.weights().clone());
        simd.infer_batch(probes.units(), probes.n_rows(), &mut scores).expect("an answer");
        (probes, scores)
    }

    #[test]
    fn answers_of_the_product_are_compared_and_not_bare_scores() {
        let (probes, right) = learned();
        let judge = Judge::new(&probes);
        assert_eq!(judge.judge(&right), Ok(0.0));
        // Every score pulled towards 0 by a little: bare probabilities differ by more or by less than the fused ones, in which
        // the linear part has its share.
        let bare = Probes::of_scores(probes.weights().clone(), probes.units().to_vec());
        let pulled: Vec<f32> = right.iter().map(|x| x * 0.99).collect();
        let (fused, alone) = (judge.judge(&pulled), Judge::new(&bare).judge(&pulled));
        assert!(fused.is_ok() && fused != alone, "{fused:?} and {alone:?}");
    }

    #[test]
    fn other_decision_is_wrong_even_where_probabilities_are_near() {
        let (probes, right) = learned();
        let mut judge = Judge::new(&probes);
        // The right answers as if one text needed nothing.
        judge.right.decisions[3].1.clear();
        let rows = judge.right.decisions.len() as u32;
        assert_eq!(judge.judge(&right), Err(Rejection::WrongDecision { flips: 1, rows }));
    }

    #[test]
    fn scores_that_overflow_in_the_fusion_are_wrong() {
        let (probes, right) = learned();
        let huge: Vec<f32> = right.iter().map(|_| f32::MAX).collect();
        let judged = Judge::new(&probes).judge(&huge);
        assert!(matches!(judged, Err(Rejection::WrongResult { .. })), "{judged:?}");
    }
}
