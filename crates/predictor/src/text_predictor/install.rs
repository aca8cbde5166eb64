//! Full retrains: when one is due, what it needs, and whether its candidate takes over.
//!
//! Runs nothing itself; the owner runs the [`RetrainJob`]. Invariant: a candidate made before something was forgotten is
//! never installed.

use std::sync::Arc;

use majordomo_core::ComponentId;

use super::{TextPredictor, outputs_of};
use crate::buffer::Outcome;
use crate::model::retired::Retired;
use crate::model::text_model::TextModel;
use crate::retrain::{Candidate, RetrainJob, Verdict};

/// Outcomes before the first retrain.
const FIRST_RETRAIN: usize = 10;

impl TextPredictor {
    /// Whether enough outcomes are new for a full retrain, or one is [required](Self::retrain_required).
    #[must_use]
    pub fn retrain_due(&self) -> bool {
        let n = self.buffer.outcomes().len();
        let enough = match self.current.model {
            None => FIRST_RETRAIN,
            Some(_) => self.config.retrain_every.min((n / 3).max(FIRST_RETRAIN)),
        };
        self.retrain_required() || (self.n_new >= enough && n > 0)
    }

    /// Whether a full retrain is due because something was forgotten that the current model still knows.
    #[must_use]
    pub fn retrain_required(&self) -> bool {
        self.must_retrain && !self.buffer.outcomes().is_empty()
    }

    /// Everything a full retrain needs. Pass the candidate it makes to [`install`](Self::install).
    pub fn retrain_job(&mut self) -> RetrainJob {
        self.n_new = 0;
        RetrainJob {
            params: self.config.params.clone(),
            names: self.names.clone(),
            outcomes: self.buffer.outcomes().to_vec(),
            keywords: self.current.keywords.clone(),
            labels: self.current.labels.clone(),
            prior: self.config.prior.clone(),
            is_required: self.must_retrain,
            epoch: self.epoch,
            next_order: self.buffer.next_order(),
        }
    }

    /// Installs a candidate that is not worse than the answers so far, after it has learned the outcomes since its
    /// job was made. The model before it is kept for [`roll_back`](Self::roll_back).
    pub fn install(&mut self, candidate: Candidate) -> Verdict {
        if candidate.epoch != self.epoch {
            return Verdict::Stale;
        }
        let Candidate { model, names, next_order, report, .. } = candidate;
        // A required candidate always has a model: the current one must be replaced whatever the candidate is worth.
        let Some(model) = model else {
            self.prequential.n_rejected += 1;
            return Verdict::Rejected(report);
        };
        let mut model = self.fit_labels(model, &names);
        let online = &self.config.params.params().online;
        let mut since: Vec<&Outcome> =
            self.buffer.outcomes().iter().filter(|o| o.order >= next_order).collect();
        since.sort_by_key(|o| o.order);
        for outcome in since {
            self.words.split(&outcome.text);
            self.texts.clear();
            self.texts.push(&self.words);
            let outputs = outputs_of(&outcome.standing.labels);
            model.learn(self.texts.get(0), &outputs, true, online, &mut self.scratch);
        }
        if let Some(old) = self.current.model.replace(Arc::new(model)) {
            let retired = || Retired::pack(Arc::unwrap_or_clone(old));
            self.previous = (!self.must_retrain).then(|| (retired(), self.names.clone()));
        }
        self.must_retrain = false;
        self.prequential.n_retrains += 1;
        self.changed();
        Verdict::Accepted { version: self.current.version }
    }

    /// Maps a model for `names` to the current labels.
    pub(super) fn fit_labels(&self, model: TextModel, names: &[ComponentId]) -> TextModel {
        if names == self.names {
            return model;
        }
        let from = |l: usize| names.iter().position(|name| *name == self.names[l]);
        model.remap(self.names.len(), from)
    }

    /// Restores the model before the last installed candidate. `false` when there is none.
    pub fn roll_back(&mut self) -> bool {
        let Some((retired, names)) = self.previous.take() else { return false };
        self.current.model = Some(Arc::new(self.fit_labels(retired.unpack(), &names)));
        self.changed();
        true
    }
}
