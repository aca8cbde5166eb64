//! Models of fixed batch sizes behind one session: a fixed shape is what accelerators take.
//!
//! Owns the export of one file for each bucket, the choice of the model that answers a batch, and padding. Does not know
//! how a model computes. Invariant: a model gets exactly the rows that it was made for.

use std::path::PathBuf;

use majordomo_core::ComponentId;
use majordomo_predictor::{BackendError, DenseWeights, WeightsId};

use crate::calibration::BUCKETS;
use crate::export::Exported;
use crate::layout::{ExportSettings, Format, Precision};
use crate::queue::Session;
use crate::stamp::Stamp;

/// A model of one batch size.
pub trait FixedModel {
    /// The scores of a batch of the model's size: `units` has the shape `[rows, n_hidden]`, the answer `[rows, n_outputs]`.
    ///
    /// # Errors
    /// Whatever the platform reports.
    fn scores(&mut self, shape: [usize; 2], units: &[f32]) -> Result<Vec<f32>, BackendError>;
}

/// The dense layers, once for each batch size of [`BUCKETS`].
#[derive(Debug)]
pub struct FixedBatches<M> {
    id: WeightsId,
    n_inputs: usize,
    n_outputs: usize,
    /// By rows, ascending.
    models: Vec<(usize, M)>,
    padded: Vec<f32>,
}

impl<M: FixedModel> FixedBatches<M> {
    /// Opens the models of these weights, by number of rows.
    ///
    /// # Errors
    /// The first of the openings.
    pub fn open(
        weights: &DenseWeights,
        mut open: impl FnMut(usize) -> Result<M, BackendError>,
    ) -> Result<Self, BackendError> {
        let models = BUCKETS.into_iter().map(|rows| Ok((rows, open(rows)?)));
        Ok(Self {
            id: weights.id(),
            n_inputs: weights.n_hidden(),
            n_outputs: weights.n_outputs(),
            models: models.collect::<Result<_, BackendError>>()?,
            padded: Vec::new(),
        })
    }
}

impl<M: FixedModel> Session for FixedBatches<M> {
    fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    fn weights_id(&self) -> WeightsId {
        self.id
    }

    fn max_rows(&self) -> usize {
        self.models.last().map_or(1, |(rows, _)| *rows)
    }

    fn predict(
        &mut self,
        rows: usize,
        inputs: &[f32],
        out: &mut [f32],
    ) -> Result<(), BackendError> {
        let failed = |why: &str| BackendError::Failed(why.to_owned());
        let fitting = self.models.iter_mut().find(|(batch, _)| *batch >= rows);
        let (batch, model) = fitting.ok_or_else(|| failed("the batch is too long"))?;
        let shape = [*batch, self.n_inputs];
        let scores = if rows == *batch {
            model.scores(shape, inputs)?
        } else {
            self.padded.clear();
            self.padded.extend_from_slice(inputs);
            self.padded.resize(*batch * self.n_inputs, 0.0);
            model.scores(shape, &self.padded)?
        };
        let own = scores.get(..out.len()).filter(|_| scores.len() == *batch * self.n_outputs);
        out.copy_from_slice(own.ok_or_else(|| failed("the model has another number of scores"))?);
        Ok(())
    }
}

/// Writes a package of these weights for each batch size of [`BUCKETS`]; `place` names it by its number of rows.
///
/// # Errors
/// When one cannot be exported or written.
pub fn export_batches(
    weights: &DenseWeights,
    precision: Precision,
    place: impl Fn(usize) -> PathBuf,
) -> Result<(), BackendError> {
    fn failed(error: impl std::fmt::Display) -> BackendError {
        BackendError::Failed(error.to_string())
    }
    // These files serve this process only; the names of components stay out of them.
    let labels = (1..weights.n_outputs()).map(|i| ComponentId::new(&format!("output-{i}")));
    let stamp = Stamp::new(weights, &labels.collect::<Result<Vec<_>, _>>().map_err(failed)?);
    for batch in BUCKETS {
        let settings = ExportSettings { format: Format::MlPackage, precision, batch };
        let exported = Exported::new(weights, &stamp, settings).map_err(failed)?;
        exported.write(&place(batch), true).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use majordomo_predictor::Head;

    use super::*;
    use crate::read::ModelFile;

    /// Answers by the interpreter; a broken one has a score too few.
    struct Interpreted {
        file: ModelFile,
        is_broken: bool,
    }

    impl FixedModel for Interpreted {
        fn scores(&mut self, shape: [usize; 2], units: &[f32]) -> Result<Vec<f32>, BackendError> {
            assert_eq!(shape, [self.file.batch(), self.file.n_hidden()]);
            assert_eq!(units.len(), shape[0] * shape[1]);
            let mut out = Vec::new();
            for units in units.chunks_exact(shape[1]) {
                let mut row = vec![0.0; self.file.n_outputs()];
                self.file.evaluate(units, &mut row).expect("lengths of one row");
                out.extend(row);
            }
            out.truncate(out.len() - usize::from(self.is_broken));
            Ok(out)
        }
    }

    #[test]
    fn batches_are_padded_to_the_next_size_and_answered_by_their_own_files() {
        let folder = std::env::temp_dir().join(format!("majordomo-batches-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let rows = vec![1.0, 2.0, -1.0, 0.0, 3.0, 0.5];
        let weights = DenseWeights::new(1, Head::Exclusive, vec![0.1, 0.2], rows, vec![0.0; 3]);
        let weights = weights.expect("they fit");
        let place = |rows: usize| folder.join(format!("m-{rows}.mlpackage"));
        export_batches(&weights, Precision::Single, place).expect("an export");
        let open = |is_broken: bool| {
            FixedBatches::open(&weights, |rows| {
                let file = ModelFile::open(&place(rows));
                let file = file.map_err(|error| BackendError::Failed(error.to_string()))?;
                Ok(Interpreted { file, is_broken })
            })
        };
        let mut batches = open(false).expect("they are there");
        assert_eq!((batches.max_rows(), batches.weights_id()), (512, weights.id()));
        let units = |n: usize| (0..2 * n).map(|i| (i % 5) as f32 - 2.0).collect::<Vec<_>>();
        for n in [1, 7, 8, 9, 512] {
            let mut out = vec![0.0; 3 * n];
            batches.predict(n, &units(n), &mut out).expect("an answer");
            for (row, units) in out.chunks_exact(3).zip(units(n).chunks_exact(2)) {
                let active = [(units[0] + 0.1f32).max(0.0), (units[1] + 0.2f32).max(0.0)];
                let first = active[0] + 2.0 * active[1];
                assert!((row[0] - first).abs() < 1e-5, "{n} rows: {} is not {first}", row[0]);
            }
        }
        assert!(batches.predict(513, &units(513), &mut vec![0.0; 3 * 513]).is_err());
        let mut broken = open(true).expect("they are there");
        let error = broken.predict(1, &units(1), &mut [0.0; 3]).expect_err("a score is missing");
        assert!(error.to_string().contains("another number of scores"), "{error}");
        std::fs::remove_dir_all(&folder).expect("it is there");
    }
}
