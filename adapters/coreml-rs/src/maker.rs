//! The maker of the back end: its files, one for each batch size, and the session behind the queue.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use majordomo_coreml::{Maker, Precision, export_batches};
use majordomo_predictor::{Backend, BackendError, DenseWeights};

/// The name of the only back end: half precision on processor and Neural Engine.
pub const NAME: &str = "coreml-rs-ne";

/// Makes the back end; give it to `majordomo::BackEnds::new`, with a child of the same maker.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoreMlRs;

pub(crate) fn failed(error: impl std::fmt::Display) -> BackendError {
    BackendError::Failed(error.to_string())
}

pub(crate) fn package(folder: &Path, rows: usize) -> PathBuf {
    folder.join(format!("{NAME}-{rows}.mlpackage"))
}

impl Maker for CoreMlRs {
    fn names(&self) -> Vec<String> {
        vec![NAME.to_owned()]
    }

    fn settings(&self, _name: &str) -> String {
        "16 bits, processor and Neural Engine, coreml-rs 0.5.4".to_owned()
    }

    fn prepare(&self, weights: &DenseWeights, folder: &Path) -> Result<(), BackendError> {
        export_batches(weights, Precision::Half, |rows| package(folder, rows))
    }

    fn make(
        &self,
        name: &str,
        weights: &DenseWeights,
        folder: &Path,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        if name != NAME {
            return Err(failed(format!("no back end `{name}`")));
        }
        #[cfg(any(target_os = "macos", adapter_check))]
        return crate::session::start(weights, folder);
        #[cfg(not(any(target_os = "macos", adapter_check)))]
        {
            let _ = (weights, folder);
            Err(failed("macOS only"))
        }
    }
}
