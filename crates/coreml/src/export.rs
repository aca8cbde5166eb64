//! From the dense layers of a snapshot to the files of a Core ML model.
//!
//! Pure: the same layers, stamp and settings give the same bytes on every machine. Writing them to disk is `place`'s.

mod manifest;
mod network;
mod program;
mod weight_file;

use std::path::Path;

use majordomo_predictor::DenseWeights;
use prost::Message;

use crate::half;
use crate::layout::{
    ExportSettings, Format, INPUT, MANIFEST_PATH, MAX_BATCH, MODEL_PATH, OUTPUT, Precision,
    WEIGHTS_PATH,
};
use crate::place::{self, WriteError};
use crate::proto::{
    ARRAY_FLOAT32, ArrayFeatureType, FeatureDescription, FeatureType, Model, ModelDescription,
    ModelType,
};
use crate::stamp::Stamp;

/// Why a model cannot be exported as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The batch is 0 or too large.
    #[error("a batch of {0} rows cannot be exported; it has 1 to {MAX_BATCH}")]
    Batch(usize),
    /// Neural networks have weights of 32 bits.
    #[error("an mlmodel has single precision only; export half precision as an mlpackage")]
    HalfNetwork,
    /// A weight does not fit into 16 bits.
    #[error("a weight is above 65504, the largest number of 16 bits; export single precision")]
    Overflow,
    /// Labels and outputs do not belong together.
    #[error("{n_labels} labels do not fit {n_outputs} outputs, of which the first stands for none")]
    Labels {
        /// Number of labels.
        n_labels: usize,
        /// Number of outputs.
        n_outputs: usize,
    },
}

/// The files of an exported model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    format: Format,
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Exported {
    /// Exports dense layers with their stamp.
    ///
    /// # Errors
    /// An [`ExportError`].
    pub fn new(
        weights: &DenseWeights,
        stamp: &Stamp,
        settings: ExportSettings,
    ) -> Result<Self, ExportError> {
        if settings.batch == 0 || settings.batch > MAX_BATCH {
            return Err(ExportError::Batch(settings.batch));
        }
        let n_outputs = weights.n_outputs();
        if !stamp.fits(n_outputs) {
            return Err(ExportError::Labels { n_labels: stamp.labels().count(), n_outputs });
        }
        match settings.format {
            Format::MlPackage => Self::package(weights, stamp, settings),
            Format::MlModel if settings.precision == Precision::Half => {
                Err(ExportError::HalfNetwork)
            }
            Format::MlModel => {
                let network = ModelType::NeuralNetwork(network::build(weights));
                let bytes = model(4, weights, stamp, settings, network);
                Ok(Self { format: settings.format, files: vec![("", bytes)] })
            }
        }
    }

    fn package(
        weights: &DenseWeights,
        stamp: &Stamp,
        settings: ExportSettings,
    ) -> Result<Self, ExportError> {
        let all = [weights.hidden_bias(), weights.weights(), weights.bias()];
        let fits = |x: &f32| half::round(*x).is_finite();
        if settings.precision == Precision::Half && !all.into_iter().flatten().all(fits) {
            return Err(ExportError::Overflow);
        }
        let (program, blobs) = program::build(weights, settings);
        let version = match settings.precision {
            Precision::Single => 6,
            Precision::Half => 7,
        };
        let bytes = model(version, weights, stamp, settings, ModelType::MlProgram(program));
        let manifest = manifest::build(&bytes, &blobs);
        let files = vec![
            (MANIFEST_PATH, manifest.into_bytes()),
            (MODEL_PATH, bytes),
            (WEIGHTS_PATH, blobs),
        ];
        Ok(Self { format: settings.format, files })
    }

    /// The kind of file.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The files: path below the package and contents. A neural network is one file with an empty path.
    #[must_use]
    pub fn files(&self) -> &[(&'static str, Vec<u8>)] {
        &self.files
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Writes the model to `path`, whose name ends in `.mlpackage` or `.mlmodel`. It appears there in one step and complete, or not
    /// at all. Readable by this user only: the weights were learned from what users said. Blocking.
    ///
    /// # Errors
    /// A [`WriteError`]; there is what there was before then. An existing model is an error unless `replace` is set.
    pub fn write(&self, path: &Path, replace: bool) -> Result<(), WriteError> {
        place::write(self.format, &self.files, path, replace)
    }
}

/// The bytes of a model.
fn model(
    version: i32,
    weights: &DenseWeights,
    stamp: &Stamp,
    settings: ExportSettings,
    kind: ModelType,
) -> Vec<u8> {
    let feature = |name: &str, width: usize| {
        let shape = vec![settings.batch as i64, width as i64];
        let array = ArrayFeatureType { shape, data_type: ARRAY_FLOAT32 };
        let feature_type = Some(FeatureType { multi_array_type: Some(array) });
        FeatureDescription { name: name.to_owned(), feature_type }
    };
    let description = ModelDescription {
        input: vec![feature(INPUT, weights.n_hidden())],
        output: vec![feature(OUTPUT, weights.n_outputs())],
        metadata: Some(stamp.to_metadata()),
    };
    Model { specification_version: version, description: Some(description), kind: Some(kind) }
        .encode_to_vec()
}
