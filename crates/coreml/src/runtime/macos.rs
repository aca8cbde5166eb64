//! Core ML on macOS: the back ends `coreml-cpu` and `coreml-ne`, and models of components.
//!
//! Owns which files are exported for which back end. Never executed where it was written: it is type-checked and linted for
//! `aarch64-apple-darwin` (`cargo xtask cross`), and `.github/workflows/macos.yml` is to run it. Invariants: models are
//! compiled and loaded on the thread that keeps them; `All` compute units are never asked for, since they can abort the
//! process.

#![allow(unsafe_code, reason = "calls of Apple's frameworks, and of sysctl")]

mod model;
mod plan;

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use majordomo_predictor::{Backend, BackendError, DenseWeights};

use self::model::{Input, Model, Numbers};
use crate::arrays::{ModelInput, Tensor, TensorData};
use crate::batches::{FixedBatches, FixedModel, export_batches};
use crate::calibration::{BUCKETS, Maker};
use crate::layout::{INPUT, Precision};
use crate::queue::{QueueLimits, QueuedBackend, Session};
use crate::tensor::{ComputeUnits, TensorModel};

/// A back end of this platform.
struct Kind {
    name: &'static str,
    precision: Precision,
    bits: u8,
    units: ComputeUnits,
}

/// Programs of 32 bits never reach the Neural Engine; those of 16 bits may.
const KINDS: [Kind; 2] = [
    Kind {
        name: "coreml-cpu",
        precision: Precision::Single,
        bits: 32,
        units: ComputeUnits::CpuOnly,
    },
    Kind {
        name: "coreml-ne",
        precision: Precision::Half,
        bits: 16,
        units: ComputeUnits::CpuAndNeuralEngine,
    },
];

/// Makes the back ends of Core ML.
pub(super) struct CoreMl;

fn failed(error: impl std::fmt::Display) -> BackendError {
    BackendError::Failed(error.to_string())
}

impl Kind {
    fn find(name: &str) -> Result<&'static Self, BackendError> {
        KINDS
            .iter()
            .find(|kind| kind.name == name)
            .ok_or_else(|| failed(format!("no back end `{name}`")))
    }

    fn file(&self, folder: &Path, rows: usize, ending: &str) -> PathBuf {
        folder.join(format!("{}-{rows}.{ending}", self.name))
    }
}

impl Maker for CoreMl {
    fn names(&self) -> Vec<String> {
        KINDS.iter().map(|kind| kind.name.to_owned()).collect()
    }

    fn settings(&self, name: &str) -> String {
        let described = |kind: &Kind| format!("{} bits, {:?}", kind.bits, kind.units);
        Kind::find(name).map(described).unwrap_or_default()
    }

    fn prepare(&self, weights: &DenseWeights, folder: &Path) -> Result<(), BackendError> {
        KINDS.iter().try_for_each(|kind| {
            export_batches(weights, kind.precision, |rows| kind.file(folder, rows, "mlpackage"))
        })
    }

    fn make(
        &self,
        name: &str,
        weights: &DenseWeights,
        folder: &Path,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        let kind = Kind::find(name)?;
        let (weights, folder) = (weights.clone(), folder.to_owned());
        let opening = move || {
            let batches = FixedBatches::open(&weights, |rows| {
                let package = kind.file(&folder, rows, "mlpackage");
                let compiled = kind.file(&folder, rows, "mlmodelc");
                Model::compiled(&package, &compiled, kind.units)
            })?;
            Ok(Box::new(batches) as Box<dyn Session>)
        };
        let limits = QueueLimits::default();
        Ok(Arc::new(QueuedBackend::start(kind.name, kind.bits, limits, Box::new(opening))?))
    }

    fn placement(&self, name: &str, folder: &Path) -> Vec<(String, u32)> {
        let Ok(kind) = Kind::find(name) else { return Vec::new() };
        let rows = BUCKETS[BUCKETS.len() - 1];
        plan::placement(&kind.file(folder, rows, "mlmodelc"), kind.units).unwrap_or_default()
    }
}

impl FixedModel for Model {
    fn scores(&mut self, shape: [usize; 2], units: &[f32]) -> Result<Vec<f32>, BackendError> {
        let input = Input::Array { name: INPUT, shape: &shape, numbers: Numbers::F32(units) };
        match self.predict(&[input])?.pop().map(|tensor| tensor.data) {
            Some(TensorData::F32(scores)) => Ok(scores),
            _ => Err(failed("the model has no scores of 32 bits")),
        }
    }
}

/// Opens a model of a component: compiled (`.mlmodelc`), or a package or file that is compiled into a temporary place.
pub(super) fn open_component(
    path: &Path,
    units: ComputeUnits,
) -> Result<Box<dyn TensorModel>, BackendError> {
    Ok(Box::new(Component(Model::open(path, units)?)))
}

struct Component(Model);

impl TensorModel for Component {
    fn predict(&mut self, inputs: &[ModelInput]) -> Result<Vec<Tensor>, BackendError> {
        self.0.predict(&inputs.iter().map(Input::from).collect::<Vec<_>>())
    }
}

/// A text that `sysctl` knows; empty where it does not.
pub(crate) fn system_value(name: &CStr) -> String {
    let mut value = [0u8; 256];
    let mut length = value.len();
    // SAFETY: `name` ends in a zero byte; `value` has `length` bytes, which the call does not exceed; nothing is set.
    let code = unsafe {
        libc::sysctlbyname(
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            &raw mut length,
            std::ptr::null_mut(),
            0,
        )
    };
    let known = value.get(..length).filter(|_| code == 0);
    let text = known.and_then(|bytes| CStr::from_bytes_until_nul(bytes).ok());
    text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}
