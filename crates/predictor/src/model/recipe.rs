//! The recipe from labelled texts to a model, the only one of the laboratory and the product.
//!
//! A *rehearsal* trains on a part of the rows and scores the other rows, which gives the
//! number of passes, the calibration and the thresholds. Then every part is fitted again to all rows,
//! for that number of passes. No row is learned by an online step. Where rows are few, the rehearsal is a
//! cross-fit (every row is scored by a model that was fitted without it), else one part is held out.
//! Invariant: the model depends on the rows, their folds and the settings alone.

use std::sync::atomic::AtomicBool;

use majordomo_simd::Kernels;

use crate::model::calibration::{Calibration, Evidence, HeldOutScores};
use crate::model::mlp::Stop;
use crate::model::text_model::TextModel;
use crate::model::{Mode, TrainingSet};
use crate::params::TextParams;
use crate::prior::Prior;

/// Which rows tune a model that is fitted to others.
#[derive(Clone, Copy)]
pub(crate) enum HeldOut<'a> {
    /// These rows, which the model is never fitted to.
    Apart(&'a [u32]),
    /// Folds of the rows themselves, by a hash of each row: the same folds in every training.
    Folds(&'a dyn Fn(u32) -> u64),
}

/// The fold of a row by its hash, without the lowest bits, which hash tables use.
fn fold(hash: u64, n_folds: usize) -> usize {
    ((hash >> 7) % n_folds as u64) as usize
}

/// Rows and settings.
pub(crate) struct Recipe<'a> {
    pub(crate) set: &'a TrainingSet,
    pub(crate) evidence: &'a dyn Fn(u32) -> Vec<Evidence>,
    pub(crate) params: &'a TextParams,
    pub(crate) prior: Option<&'a Prior>,
    /// Checked before every example.
    pub(crate) cancel: &'a AtomicBool,
}

/// The result of a rehearsal.
#[derive(Debug)]
pub(crate) struct Rehearsal {
    pub(crate) mode: Mode,
    /// Passes over the rows, by network.
    passes: Vec<usize>,
    /// Scores of rows by models that were fitted without them. Rows with a label without an example in such a
    /// model are left out, since no model can be judged by them.
    pub(crate) scores: HeldOutScores,
    pub(crate) calibration: Calibration,
}

impl Rehearsal {
    /// The calibrated probabilities by output of every row that was scored.
    pub(crate) fn each(&self, mut see: impl FnMut(u32, &[f32])) {
        let kernels = Kernels::active();
        let n_outputs = self.calibration.thresholds.len() + 1;
        let mut p = vec![0.0; n_outputs];
        for at in 0..self.scores.rows.len() {
            self.calibration.probabilities(kernels, self.mode, &self.scores, at, &mut p);
            see(self.scores.rows[at], &p);
        }
    }
}

impl Recipe<'_> {
    /// Trains on `rows`. `None` when cancelled.
    pub(crate) fn fit(&self, rows: &[u32], held_out: HeldOut<'_>) -> Option<TextModel> {
        match held_out {
            HeldOut::Folds(hash_of) => self.complete(rows, self.rehearse(rows, hash_of)?),
            HeldOut::Apart(held_out) => {
                let mode = self.mode();
                let known = known(self.set, rows, held_out);
                let (mut model, _) = self.fit_parts(rows, &stop_by(&known), mode)?;
                let scores = model.held_out_scores(self.set, &known, self.evidence);
                model.calibration = Calibration::fit(mode, self.set, &scores);
                Some(model)
            }
        }
    }

    /// Trains on a part of `rows` and scores the others. `None` when cancelled.
    pub(crate) fn rehearse(&self, rows: &[u32], hash_of: &dyn Fn(u32) -> u64) -> Option<Rehearsal> {
        let mode = self.mode();
        let folds = &self.params.folds;
        let (n_folds, n_rehearsed) = match rows.len() {
            n if n < folds.min_rows => (1, 0),
            n if n < folds.few_rows => (folds.n_few, folds.n_few),
            _ => (folds.n_many, 1),
        };
        let mut scores = HeldOutScores::default();
        let mut passes: Vec<Vec<usize>> = Vec::new();
        for held in 0..n_rehearsed {
            let is_held_out = |row: &u32| fold(hash_of(*row), n_folds) == held;
            let (held_out, rows): (Vec<u32>, Vec<u32>) = rows.iter().partition(|r| is_held_out(r));
            let known = known(self.set, &rows, &held_out);
            if known.is_empty() || rows.is_empty() {
                continue;
            }
            let (model, made) = self.fit_parts(&rows, &Stop::HeldOut(&known), mode)?;
            passes.push(made);
            scores.append(model.held_out_scores(self.set, &known, self.evidence));
        }
        let calibration = Calibration::fit(mode, self.set, &scores);
        Some(Rehearsal { mode, passes: mean(&passes), scores, calibration })
    }

    /// Fits every part to all `rows` with the results of the rehearsal. `None` when cancelled.
    pub(crate) fn complete(&self, rows: &[u32], rehearsal: Rehearsal) -> Option<TextModel> {
        let Rehearsal { mode, passes, calibration, .. } = rehearsal;
        let (model, _) = self.fit_parts(rows, &Stop::After(&passes), mode)?;
        Some(TextModel { calibration, ..model })
    }

    fn mode(&self) -> Mode {
        self.set.mode(self.params.multi_share)
    }

    fn fit_parts(
        &self,
        rows: &[u32],
        stop: &Stop<'_>,
        mode: Mode,
    ) -> Option<(TextModel, Vec<usize>)> {
        TextModel::fit_parts(self.set, rows, stop, mode, self.params, self.prior, self.cancel)
    }
}

fn stop_by(held_out: &[u32]) -> Stop<'_> {
    if held_out.is_empty() { Stop::After(&[]) } else { Stop::HeldOut(held_out) }
}

/// The held-out rows whose labels all have an example in `rows`.
fn known(set: &TrainingSet, rows: &[u32], held_out: &[u32]) -> Vec<u32> {
    let mut has_example = vec![false; set.n_outputs()];
    for &row in rows {
        for &output in set.outputs(row as usize) {
            has_example[output as usize] = true;
        }
    }
    let is_known = |row: &u32| set.outputs(*row as usize).iter().all(|&o| has_example[o as usize]);
    held_out.iter().copied().filter(is_known).collect()
}

/// The mean over the folds, by network.
fn mean(passes: &[Vec<usize>]) -> Vec<usize> {
    let n_networks = passes.first().map_or(0, Vec::len);
    let of = |network: usize| {
        let sum: usize = passes.iter().map(|p| p[network]).sum();
        (sum + passes.len() / 2) / passes.len()
    };
    (0..n_networks).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::text_model::ModelScratch;
    use crate::params::FoldParams;

    /// `n` different texts of three labels in turn.
    fn set(n: usize, extra: Option<(&str, u32)>) -> (TrainingSet, Vec<u64>) {
        let what = ["play the radio", "wake me at noon", "will it rain today"];
        let mut set = TrainingSet::new(14, 4);
        let mut hashes: Vec<u64> = (0..n)
            .map(|i| set.push(&format!("{} {}", what[i % 3], i / 3), [i as u32 % 3]))
            .collect();
        if let Some((text, label)) = extra {
            set.push(text, [label]);
            // Held out with any number of folds.
            hashes.push(0);
        }
        (set, hashes)
    }

    fn params(few_rows: usize) -> TextParams {
        let folds = FoldParams { few_rows, ..TextParams::default().folds };
        TextParams { folds, ..TextParams::default() }
    }

    fn check<T>(
        n: usize,
        extra: Option<(&str, u32)>,
        few_rows: usize,
        see: impl FnOnce(&Recipe<'_>, &[u32], Rehearsal) -> T,
    ) -> T {
        let (set, hashes) = set(n, extra);
        let params = params(few_rows);
        let recipe = Recipe {
            set: &set,
            evidence: &|_| Vec::new(),
            params: &params,
            prior: None,
            cancel: &AtomicBool::new(false),
        };
        let rows: Vec<u32> = (0..set.len() as u32).collect();
        let rehearsal = recipe.rehearse(&rows, &|row| hashes[row as usize]).expect("not cancelled");
        see(&recipe, &rows, rehearsal)
    }

    #[test]
    fn rehearsal_scores_all_of_few_rows_and_a_part_of_many() {
        check(60, None, 1000, |_, rows, rehearsal| {
            let mut scored = rehearsal.scores.rows.clone();
            scored.sort_unstable();
            assert_eq!(scored, rows);
        });
        check(60, None, 0, |_, rows, rehearsal| {
            let n = rehearsal.scores.rows.len();
            assert!(n > 0 && n < rows.len() / 3, "{n}");
        });
    }

    #[test]
    fn held_out_row_of_a_label_without_example_does_not_stop_training() {
        let usual = check(90, None, 0, |_, _, rehearsal| rehearsal.passes);
        check(90, Some(("qwertz uiop", 3)), 0, |recipe, rows, rehearsal| {
            assert!(!rehearsal.scores.rows.contains(&90));
            assert_eq!(rehearsal.passes, usual);
            // Not in the rehearsal, but learned.
            let model = recipe.complete(rows, rehearsal).expect("not cancelled");
            let mut scratch = ModelScratch::default();
            model.predict(recipe.set.texts.get(90), &[], &mut scratch);
            let p = &scratch.probabilities;
            assert!((0..4).all(|other| p[4] > p[other]), "{p:?}");
        });
    }
}
