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

use majordomo_core::ComponentId;
use majordomo_predictor::{Backend, BackendError, DenseWeights, WeightsId};

use self::model::Model;
use crate::calibration::{BUCKETS, Maker};
use crate::export::Exported;
use crate::layout::{ExportSettings, Format, INPUT, Precision};
use crate::queue::{QueueLimits, QueuedBackend, Session};
use crate::stamp::Stamp;
use crate::tensor::{ComputeUnits, Tensor, TensorModel};

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

    fn prepare(&self, weights: &DenseWeights, folder: &Path) -> Result<(), BackendError> {
        // These files serve this process only; the names of components stay out of them.
        let labels = (1..weights.n_outputs()).map(|i| ComponentId::new(&format!("output-{i}")));
        let labels = labels.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let stamp = Stamp::new(weights, &labels);
        for kind in &KINDS {
            for batch in BUCKETS {
                let settings =
                    ExportSettings { format: Format::MlPackage, precision: kind.precision, batch };
                let exported = Exported::new(weights, &stamp, settings).map_err(failed)?;
                exported.write(&kind.file(folder, batch, "mlpackage"), true).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn make(
        &self,
        name: &str,
        weights: &DenseWeights,
        folder: &Path,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        let kind = Kind::find(name)?;
        let (id, n_inputs, n_outputs) = (weights.id(), weights.n_hidden(), weights.n_outputs());
        let folder = folder.to_owned();
        let opening = move || {
            let open = |rows: usize| {
                let package = kind.file(&folder, rows, "mlpackage");
                let compiled = kind.file(&folder, rows, "mlmodelc");
                Model::compiled(&package, &compiled, kind.units).map(|model| (rows, model))
            };
            let models = BUCKETS.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
            let session = DenseSession { id, n_inputs, n_outputs, models, padded: Vec::new() };
            Ok(Box::new(session) as Box<dyn Session>)
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

/// The dense layers, once for each batch size: a fixed shape is what the Neural Engine takes.
struct DenseSession {
    id: WeightsId,
    n_inputs: usize,
    n_outputs: usize,
    /// By rows, ascending.
    models: Vec<(usize, Model)>,
    padded: Vec<f32>,
}

impl Session for DenseSession {
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
        let fitting = self.models.iter().find(|(batch, _)| *batch >= rows);
        let (batch, model) = fitting.ok_or_else(|| failed("the batch is too long"))?;
        let shape = [*batch, self.n_inputs];
        let outputs = if rows == *batch {
            model.predict(&[(INPUT, &shape, inputs)])?
        } else {
            self.padded.clear();
            self.padded.extend_from_slice(inputs);
            self.padded.resize(batch * self.n_inputs, 0.0);
            model.predict(&[(INPUT, &shape, &self.padded)])?
        };
        let scores = outputs.first().map(|tensor| tensor.data.as_slice()).unwrap_or_default();
        let scores = scores.get(..out.len()).filter(|_| scores.len() == batch * self.n_outputs);
        out.copy_from_slice(
            scores.ok_or_else(|| failed("the model has another number of scores"))?,
        );
        Ok(())
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
    fn predict(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, BackendError> {
        let inputs: Vec<_> = inputs
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice(), tensor.data.as_slice()))
            .collect();
        self.0.predict(&inputs)
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
