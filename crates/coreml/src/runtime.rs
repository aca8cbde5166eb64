//! The platform's own back ends: Core ML on macOS, none elsewhere.
//!
//! Owns the names of the back ends. The code that needs Apple's frameworks is in `macos`, compiled for macOS only; the queue, the
//! choice and the files are the same everywhere.

#[cfg(target_os = "macos")]
mod macos;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use majordomo_predictor::BackendError;

use crate::calibration::Maker;
use crate::tensor::{ComputeUnits, OpenModel, TensorThread};

#[cfg(target_os = "macos")]
pub(crate) use macos::system_value;

/// Opens a model of a component: compiled (`.mlmodelc`), a package, or a file that is compiled first. Blocks.
///
/// # Errors
/// On every platform but macOS; whatever Core ML reports; no answer within `time_out`.
pub fn open_model(
    path: &Path,
    units: ComputeUnits,
    time_out: Duration,
) -> Result<TensorThread, BackendError> {
    let path = path.to_owned();
    #[cfg(target_os = "macos")]
    let open: OpenModel = Box::new(move || macos::open_component(&path, units));
    #[cfg(not(target_os = "macos"))]
    let open: OpenModel = Box::new(move || {
        let why = format!("{} cannot be opened with {units:?}: macOS only", path.display());
        Err(BackendError::Failed(why))
    });
    TensorThread::start(time_out, open)
}

/// The back ends of this platform.
#[must_use]
pub fn platform_maker() -> Arc<dyn Maker> {
    #[cfg(target_os = "macos")]
    return Arc::new(macos::CoreMl);
    #[cfg(not(target_os = "macos"))]
    Arc::new(elsewhere::NoBackEnd)
}

#[cfg(not(target_os = "macos"))]
mod elsewhere {
    use std::path::Path;
    use std::sync::Arc;

    use majordomo_predictor::{Backend, BackendError, DenseWeights};

    use crate::calibration::Maker;

    pub(super) struct NoBackEnd;

    impl Maker for NoBackEnd {
        fn names(&self) -> Vec<String> {
            Vec::new()
        }

        fn prepare(&self, _weights: &DenseWeights, _folder: &Path) -> Result<(), BackendError> {
            Ok(())
        }

        fn make(
            &self,
            name: &str,
            _weights: &DenseWeights,
            _folder: &Path,
        ) -> Result<Arc<dyn Backend>, BackendError> {
            Err(BackendError::Failed(format!("`{name}` is on macOS only")))
        }
    }

    #[cfg(test)]
    mod tests {
        use std::path::Path;
        use std::time::Duration;

        use super::super::{open_model, platform_maker};
        use crate::tensor::ComputeUnits;

        #[test]
        fn kernels_are_alone_here() {
            let maker = platform_maker();
            assert!(maker.names().is_empty());
            let time_out = Duration::from_secs(60);
            let opened = open_model(Path::new("m.mlmodelc"), ComputeUnits::CpuOnly, time_out);
            let error = opened.expect_err("this is no Mac").to_string();
            assert!(error.ends_with("macOS only"), "{error}");
        }
    }
}
