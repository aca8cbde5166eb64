//! The text model behind linfa's traits: parameters, records, `Fit`, `FitWith`, `PredictInplace`.
//!
//! A thin layer over the inherent API, for programs that use linfa. Targets are sets of label numbers.
//! Invariant: the same rows give the same model through either API.

use std::sync::atomic::AtomicBool;

use linfa::dataset::{DatasetBase, Records};
use linfa::prelude::ParamGuard;
use linfa::traits::{Fit, FitWith, PredictInplace};

use majordomo_simd::hash_bytes;
use majordomo_text::Words;

use crate::classifier::{TextClassifier, TrainError, check};
use crate::decision::append_labels;
use crate::features::HashedTexts;
use crate::model::TrainingSet;
use crate::model::recipe::{HeldOut, Recipe};
use crate::model::text_model::ModelScratch;
use crate::params::{ParamError, TextParams, TextValidParams};

/// Sparse records: the hashed n-grams of texts.
#[derive(Clone, Debug)]
pub struct TextRecords {
    texts: HashedTexts,
    bits: u32,
    n_texts: usize,
}

/// The labels of each record, by number; each at most once in a record.
pub type LabelSets = Vec<Vec<u32>>;

/// Unchecked [`TextParams`] in the form that linfa requires.
#[derive(Clone, Debug)]
pub struct TextModelParams(TextValidParams);

/// Why training through linfa failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names and messages of the other variants and fields say it")]
pub enum FitError {
    #[error(transparent)]
    Param(#[from] ParamError),
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Records and targets of different length, or records of another number of buckets than the settings have.
    #[error(
        "{records} records of 2^{bits} buckets do not fit {targets} targets and 2^{want} buckets"
    )]
    Shape {
        records: usize,
        /// The number of buckets of the records, as a logarithm.
        bits: u32,
        targets: usize,
        /// The number of buckets of the settings or the model, as a logarithm.
        want: u32,
    },
    #[error(transparent)]
    Linfa(#[from] linfa::error::Error),
}

impl TextRecords {
    /// Hashes texts into `2^bits` buckets.
    ///
    /// # Errors
    /// When `bits` is not in 8..=16.
    pub fn new<'a>(
        bits: u32,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ParamError> {
        TextParams { bits, ..TextParams::default() }.check()?;
        let mut words = Words::default();
        let mut out = Self { texts: HashedTexts::new(bits), bits, n_texts: 0 };
        for text in texts {
            words.split(text);
            out.texts.push(&words);
            out.n_texts += 1;
        }
        Ok(out)
    }
}

impl Records for TextRecords {
    type Elem = f32;

    fn nsamples(&self) -> usize {
        self.n_texts
    }

    fn nfeatures(&self) -> usize {
        1 << self.bits
    }
}

impl From<TextParams> for TextModelParams {
    fn from(params: TextParams) -> Self {
        Self(TextValidParams::unchecked(params))
    }
}

impl ParamGuard for TextModelParams {
    type Checked = TextValidParams;
    type Error = ParamError;

    fn check_ref(&self) -> Result<&TextValidParams, ParamError> {
        self.0.params().check_in_place()?;
        Ok(&self.0)
    }

    fn check(self) -> Result<TextValidParams, ParamError> {
        self.check_ref()?;
        Ok(self.0)
    }
}

/// Stands in for the hash of a text: records have no text, and their order may follow a pattern.
fn hash_of_position(row: u32) -> u64 {
    hash_bytes(&row.to_le_bytes(), 0)
}

fn check_shape(records: &TextRecords, targets: &LabelSets, want: u32) -> Result<(), FitError> {
    if records.n_texts == targets.len() && records.bits == want {
        return Ok(());
    }
    let (bits, targets) = (records.bits, targets.len());
    Err(FitError::Shape { records: records.n_texts, bits, targets, want })
}

impl Fit<TextRecords, LabelSets, FitError> for TextValidParams {
    type Object = TextClassifier;

    /// Labels are numbered from 0 to the largest that occurs.
    fn fit(
        &self,
        dataset: &DatasetBase<TextRecords, LabelSets>,
    ) -> Result<TextClassifier, FitError> {
        let (records, targets) = (&dataset.records, &dataset.targets);
        let params = self.params();
        check_shape(records, targets, params.bits)?;
        if targets.is_empty() {
            return Err(TrainError::NoExample.into());
        }
        let n_labels = targets.iter().flatten().map(|l| *l as usize + 1).max().unwrap_or(0);
        for (row, labels) in targets.iter().enumerate() {
            check(row, labels, n_labels)?;
        }
        let set = TrainingSet::from_hashed(records.texts.clone(), params.bits, n_labels, targets);
        let rows: Vec<u32> = (0..set.len() as u32).collect();
        let cancel = &AtomicBool::new(false);
        let recipe = Recipe { set: &set, evidence: &|_| Vec::new(), params, prior: None, cancel };
        let model =
            recipe.fit(&rows, HeldOut::Folds(&hash_of_position)).ok_or(TrainError::Cancelled)?;
        Ok(TextClassifier::new(params.bits, model))
    }
}

impl<'a> FitWith<'a, TextRecords, LabelSets, FitError> for TextValidParams {
    type ObjectIn = Option<TextClassifier>;
    type ObjectOut = TextClassifier;

    /// Takes one online step a row; without a model, fits from scratch. Labels must be known to the model.
    fn fit_with(
        &self,
        model: Option<TextClassifier>,
        dataset: &'a DatasetBase<TextRecords, LabelSets>,
    ) -> Result<TextClassifier, FitError> {
        let Some(mut classifier) = model else { return self.fit(dataset) };
        let (records, targets) = (&dataset.records, &dataset.targets);
        check_shape(records, targets, classifier.bits())?;
        for (row, labels) in targets.iter().enumerate() {
            check(row, labels, classifier.n_labels())?;
        }
        let n_labels = classifier.n_labels();
        let set = TrainingSet::from_hashed(records.texts.clone(), records.bits, n_labels, targets);
        let mut scratch = ModelScratch::default();
        let online = &self.params().online;
        for row in 0..set.len() {
            let model = classifier.model_mut();
            model.learn(set.texts.get(row), set.outputs(row), true, online, &mut scratch);
        }
        Ok(classifier)
    }
}

impl PredictInplace<TextRecords, LabelSets> for TextClassifier {
    /// # Panics
    /// When the records were hashed into another number of buckets than the model's.
    fn predict_inplace<'a>(&'a self, records: &'a TextRecords, out: &mut LabelSets) {
        assert_eq!(records.bits, self.bits(), "the records' buckets must be the model's");
        let mut scratch = ModelScratch::default();
        out.resize(records.n_texts, Vec::new());
        for (row, labels) in out.iter_mut().enumerate() {
            self.model().predict(records.texts.get(row), &[], &mut scratch);
            labels.clear();
            append_labels(&self.model().answer(&scratch), labels);
        }
    }

    fn default_target(&self, records: &TextRecords) -> LabelSets {
        vec![Vec::new(); records.n_texts]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linfa_traits_fit_update_and_predict() {
        let texts = ["play music", "play a song", "set an alarm", "alarm at six"];
        let targets: LabelSets = vec![vec![0], vec![0], vec![1], vec![1]];
        let records = TextRecords::new(14, texts).expect("in range");
        assert_eq!((records.nsamples(), records.nfeatures()), (4, 1 << 14));
        let dataset = DatasetBase::new(records, targets);
        let params = TextModelParams::from(TextParams::default());
        let model: TextClassifier = params.fit(&dataset).expect("sound rows");
        let model = params.fit_with(Some(model), &dataset).expect("sound rows");
        let records = TextRecords::new(14, ["play the song", "an alarm please"]).expect("in range");
        let mut said = model.default_target(&records);
        model.predict_inplace(&records, &mut said);
        assert_eq!(said, [[0], [1]]);

        let bad = TextModelParams::from(TextParams { bits: 3, ..TextParams::default() });
        assert!(matches!(bad.fit(&dataset), Err(FitError::Param(_))));
        let short = DatasetBase::new(records, vec![vec![0]]);
        assert!(matches!(params.fit(&short), Err(FitError::Shape { targets: 1, .. })));
    }
}
