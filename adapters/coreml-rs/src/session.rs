//! The models behind the back end, one for each batch size, on the thread of the queue.
//!
//! Owns the URLs of the files and the shapes that `coreml-rs` demands to be the model's own.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use coreml_rs::mlarray::MLArray;
use coreml_rs::{ComputePlatform, CoreMLModelOptions, CoreMLModelWithState};
use majordomo_coreml::{
    FixedBatches, FixedModel, INPUT, OUTPUT, QueueLimits, QueuedBackend, Session,
};
use majordomo_predictor::{Backend, BackendError, DenseWeights};
use ndarray::{Array, IxDyn};

use crate::maker::{NAME, failed, package};

pub(super) fn start(
    weights: &DenseWeights,
    folder: &Path,
) -> Result<Arc<dyn Backend>, BackendError> {
    let (weights, folder) = (weights.clone(), folder.to_owned());
    let opening = move || {
        let batches = FixedBatches::open(&weights, |rows| {
            let options = CoreMLModelOptions {
                compute_platform: ComputePlatform::CpuAndANE,
                cache_dir: folder.clone(),
            };
            let url = file_url(&package(&folder, rows));
            CoreMLModelWithState::new(url, options).load().map(Model).map_err(failed)
        })?;
        Ok(Box::new(batches) as Box<dyn Session>)
    };
    let back_end = QueuedBackend::start(NAME, 16, QueueLimits::default(), Box::new(opening))?;
    Ok(Arc::new(back_end))
}

/// A path as the URL that `coreml-rs` parses it as: without a scheme it names no file, and a blank in it makes it no URL.
fn file_url(path: &Path) -> String {
    let mut url = "file://".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing into a text does not fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}

struct Model(CoreMLModelWithState);

impl FixedModel for Model {
    fn scores(&mut self, shape: [usize; 2], units: &[f32]) -> Result<Vec<f32>, BackendError> {
        let array = Array::from_shape_vec(IxDyn(&shape), units.to_vec()).map_err(failed)?;
        self.0.add_input(INPUT, array).map_err(failed)?;
        let mut outputs = self.0.predict().map_err(failed)?.outputs;
        let scores = outputs.remove(OUTPUT).ok_or_else(|| failed("the model has no scores"))?;
        let MLArray::Float32Array(scores) = scores else {
            return Err(failed("the scores have no 32 bits"));
        };
        Ok(scores.into_raw_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_encoded() {
        let url = file_url(Path::new("/var/Application Support/a#ü.mlpackage"));
        assert_eq!(url, "file:///var/Application%20Support/a%23%C3%BC.mlpackage");
    }
}
