//! A full retrain as a value: it owns everything it needs, shares nothing, and can be cancelled at any moment.
//!
//! The owner of a [`TextPredictor`](crate::TextPredictor) makes a [`RetrainJob`], runs it on any thread, and installs
//! the [`Candidate`]. A rehearsal on held-out texts judges the candidate; only a candidate that passes is fitted to all
//! outcomes. Invariant: the candidate depends on the job alone.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use majordomo_core::ComponentId;

use crate::buffer::{Judgement, Outcome};
use crate::classifier::TrainError;
use crate::keywords::{KeywordMatcher, KeywordScratch};
use crate::labels::Labels;
use crate::model::calibration::Evidence;
use crate::model::recipe::{Recipe, Rehearsal};
use crate::model::text_model::TextModel;
use crate::model::{NONE, TrainingSet};
use crate::params::TextValidParams;
use crate::prior::Prior;

/// Answers of at least this confidence must not lose precision.
const SURE: f32 = 0.85;

/// Outcomes and settings of a full retrain.
#[derive(Debug)]
pub struct RetrainJob {
    pub(crate) params: TextValidParams,
    /// By label.
    pub(crate) names: Vec<ComponentId>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) keywords: Arc<KeywordMatcher>,
    pub(crate) labels: Labels,
    pub(crate) prior: Option<Prior>,
    /// The candidate is installed even if it does worse.
    pub(crate) is_required: bool,
    pub(crate) epoch: u64,
    pub(crate) next_order: u64,
}

/// A trained model that has not been installed yet.
#[derive(Debug)]
pub struct Candidate {
    /// `None` when it was rejected.
    pub(crate) model: Option<TextModel>,
    pub(crate) names: Vec<ComponentId>,
    pub(crate) epoch: u64,
    pub(crate) next_order: u64,
    pub(crate) report: CandidateReport,
}

/// The quality of a candidate on held-out examples, compared with the answers given before these were learned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CandidateReport {
    /// Examples it was trained on.
    pub n_train: usize,
    /// Held-out examples that an earlier model had answered.
    pub n_compared: usize,
    /// Mean log-loss on the compared examples: of the candidate, of the earlier answers.
    pub log_loss: (f64, f64),
    /// Precision at a confidence of 0.85 or more: of the candidate, of the earlier answers.
    pub precision: (f64, f64),
    /// Whether the candidate is good enough to be installed.
    pub is_accepted: bool,
}

/// The result of installing a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The candidate answers from now on, as this version.
    Accepted {
        /// As [`TextSnapshot::version`](crate::TextSnapshot::version).
        version: u64,
    },
    /// The candidate did worse than the answers given so far; the current model stays.
    Rejected(CandidateReport),
    /// Something was forgotten after the job was made, and the candidate still knows it.
    Stale,
}

impl Candidate {
    /// How it compares with the answers so far.
    #[must_use]
    pub fn report(&self) -> &CandidateReport {
        &self.report
    }
}

impl RetrainJob {
    /// Trains. Checks `cancel` before every example.
    ///
    /// # Errors
    /// [`TrainError::Cancelled`], or [`TrainError::NoExample`] before the first outcome.
    pub fn run(&self, cancel: &AtomicBool) -> Result<Candidate, TrainError> {
        if self.outcomes.is_empty() {
            return Err(TrainError::NoExample);
        }
        let params = self.params.params();
        let mut set = TrainingSet::new(params.bits, self.names.len());
        for outcome in &self.outcomes {
            set.push(&outcome.text, outcome.standing.labels.iter().copied());
        }
        let rows: Vec<u32> = (0u32..)
            .zip(&self.outcomes)
            .flat_map(|(row, outcome)| std::iter::repeat_n(row, outcome.standing.n_rows()))
            .collect();
        let recipe = Recipe {
            set: &set,
            evidence: &|row| self.evidence(row),
            params,
            prior: self.prior.as_ref(),
            cancel,
        };
        let hash_of = |row: u32| self.outcomes[row as usize].hash;
        let rehearsal = recipe.rehearse(&rows, &hash_of).ok_or(TrainError::Cancelled)?;
        let report = self.judge(&rehearsal, &set);
        let model = if report.is_accepted || self.is_required {
            Some(recipe.complete(&rows, rehearsal).ok_or(TrainError::Cancelled)?)
        } else {
            None
        };
        Ok(Candidate {
            model,
            names: self.names.clone(),
            epoch: self.epoch,
            next_order: self.next_order,
            report,
        })
    }

    fn evidence(&self, row: u32) -> Vec<Evidence> {
        let mut scratch = KeywordScratch::default();
        let found = self.keywords.find(&self.outcomes[row as usize].text, &mut scratch);
        found
            .components()
            .filter(|hits| !hits.is_negated())
            .filter_map(|hits| {
                Some((self.labels.label(hits.component)? + 1, hits.confidence().get()))
            })
            .collect()
    }

    fn judge(&self, rehearsal: &Rehearsal, set: &TrainingSet) -> CandidateReport {
        let mut pairs: Vec<(Judgement, Judgement)> = Vec::new();
        rehearsal.each(|row, probabilities| {
            if let Some(before) = self.outcomes[row as usize].before {
                let log_loss = set.log_loss(rehearsal.mode, row as usize, probabilities);
                pairs.push((judge(probabilities, set.outputs(row as usize), log_loss), before));
            }
        });
        let n = pairs.len() as f64;
        let mean = |f: &dyn Fn(&(Judgement, Judgement)) -> f64| {
            if pairs.is_empty() { 0.0 } else { pairs.iter().map(f).sum::<f64>() / n }
        };
        let log_loss = (mean(&|p| p.0.log_loss.into()), mean(&|p| p.1.log_loss.into()));
        let worse = |p: &(Judgement, Judgement)| f64::from(p.0.log_loss) - f64::from(p.1.log_loss);
        let difference = mean(&worse);
        let spread = mean(&|p| (worse(p) - difference).powi(2)).sqrt();
        let error = if pairs.is_empty() { 0.0 } else { spread / n.sqrt() };
        let after: Vec<Judgement> = pairs.iter().map(|p| p.0).collect();
        let before: Vec<Judgement> = pairs.iter().map(|p| p.1).collect();
        let (precision, own_error) = precision(&after);
        let (precision_before, error_before) = self::precision(&before);
        let precision_error = own_error.hypot(error_before).max(0.01);
        CandidateReport {
            n_train: self.outcomes.len(),
            n_compared: pairs.len(),
            log_loss,
            precision: (precision, precision_before),
            // Worse by at most one standard error, which chance alone explains.
            is_accepted: difference <= error && precision >= precision_before - precision_error,
        }
    }
}

/// Precision of confident answers and its standard error; (1, 1) when there are none.
fn precision(judged: &[Judgement]) -> (f64, f64) {
    let sure: Vec<&Judgement> = judged.iter().filter(|j| j.confidence >= SURE).collect();
    if sure.is_empty() {
        return (1.0, 1.0);
    }
    let n = sure.len() as f64;
    let p = sure.iter().filter(|j| j.is_right).count() as f64 / n;
    // With one pseudo-error, so that "all of five right" is not certainty.
    let smoothed = (p * n + 1.0) / (n + 2.0);
    (p, (smoothed * (1.0 - smoothed) / n).sqrt())
}

/// Judges probabilities by output where `outputs` were meant.
pub(crate) fn judge(probabilities: &[f32], outputs: &[u32], log_loss: f64) -> Judgement {
    let best = (0..probabilities.len())
        .max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]))
        .unwrap_or(NONE);
    Judgement {
        log_loss: log_loss as f32,
        confidence: probabilities.get(best).copied().unwrap_or(0.0),
        is_right: outputs.contains(&(best as u32)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use majordomo_core::ComponentId;

    use crate::{PredictorConfig, TextPredictor, Verdict};

    #[test]
    fn worse_candidate_is_rejected() {
        let mut predictor = TextPredictor::new(PredictorConfig::default());
        let [music, clock] = ["music", "clock"].map(|n| [ComponentId::new(n).expect("a name")]);
        let teach = |predictor: &mut TextPredictor, from: usize| {
            for i in from..from + 120 {
                let (verb, used) = if i % 2 == 0 {
                    ("play song number", &music)
                } else {
                    ("set alarm number", &clock)
                };
                predictor.learn_named(&format!("{verb} {i}"), used).expect("a text");
            }
        };
        teach(&mut predictor, 0);
        let never = AtomicBool::new(false);
        let first = predictor.retrain_job().run(&never).expect("outcomes");
        assert!(matches!(predictor.install(first), Verdict::Accepted { .. }));
        // The model answers these outcomes right before it learns them.
        teach(&mut predictor, 120);
        let mut poisoned = predictor.retrain_job();
        for outcome in &mut poisoned.outcomes {
            if (outcome.hash >> 20).is_multiple_of(2) {
                let label = outcome.standing.labels[0];
                outcome.standing.labels = vec![1 - label].into();
            }
        }
        let candidate = poisoned.run(&never).expect("outcomes");
        let report = *candidate.report();
        assert!(report.n_compared > 0 && report.log_loss.0 > report.log_loss.1, "{report:?}");
        assert_eq!(predictor.install(candidate), Verdict::Rejected(report));
        assert_eq!(predictor.prequential().n_rejected, 1);
    }
}
