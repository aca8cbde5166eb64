//! The models behind the back end, one for each batch size, on the thread of the queue.
//!
//! Owns padding and the shapes that `coreml-rs` demands to be the model's own.

use std::path::Path;
use std::sync::Arc;

use coreml_rs::mlarray::MLArray;
use coreml_rs::{ComputePlatform, CoreMLModelOptions, CoreMLModelWithState};
use majordomo_coreml::{BUCKETS, INPUT, OUTPUT, QueueLimits, QueuedBackend, Session};
use majordomo_predictor::{Backend, BackendError, DenseWeights, WeightsId};
use ndarray::{Array, IxDyn};

use crate::maker::{NAME, failed, package};

pub(super) fn start(
    weights: &DenseWeights,
    folder: &Path,
) -> Result<Arc<dyn Backend>, BackendError> {
    let (id, n_inputs, n_outputs) = (weights.id(), weights.n_hidden(), weights.n_outputs());
    let folder = folder.to_owned();
    let opening = move || {
        let open = |rows: usize| {
            let options = CoreMLModelOptions {
                compute_platform: ComputePlatform::CpuAndANE,
                cache_dir: folder.clone(),
            };
            // A path without a scheme gives a URL that names no file.
            let url = format!("file://{}", package(&folder, rows).display());
            let model = CoreMLModelWithState::new(url, options).load().map_err(failed)?;
            Ok((rows, model))
        };
        let models = BUCKETS.into_iter().map(open).collect::<Result<Vec<_>, BackendError>>()?;
        Ok(Box::new(Models { id, n_inputs, n_outputs, models }) as Box<dyn Session>)
    };
    let back_end = QueuedBackend::start(NAME, 16, QueueLimits::default(), Box::new(opening))?;
    Ok(Arc::new(back_end))
}

struct Models {
    id: WeightsId,
    n_inputs: usize,
    n_outputs: usize,
    /// By rows, ascending.
    models: Vec<(usize, CoreMLModelWithState)>,
}

impl Session for Models {
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
        let fitting = self.models.iter_mut().find(|(batch, _)| *batch >= rows);
        let (batch, model) = fitting.ok_or_else(|| failed("the batch is too long"))?;
        let mut padded = inputs.to_vec();
        padded.resize(*batch * self.n_inputs, 0.0);
        let shape = IxDyn(&[*batch, self.n_inputs]);
        let array = Array::from_shape_vec(shape, padded).map_err(failed)?;
        model.add_input(INPUT, array).map_err(failed)?;
        let mut outputs = model.predict().map_err(failed)?.outputs;
        let scores = outputs.remove(OUTPUT).ok_or_else(|| failed("the model has no scores"))?;
        let MLArray::Float32Array(scores) = scores else {
            return Err(failed("the scores have no 32 bits"));
        };
        let scores = scores.into_raw_vec();
        let right_length = scores.len() == *batch * self.n_outputs;
        let scores = scores.get(..out.len()).filter(|_| right_length);
        out.copy_from_slice(scores.ok_or_else(|| failed("another number of scores"))?);
        Ok(())
    }
}
