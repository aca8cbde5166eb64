//! Files of Core ML models, read back.
//!
//! Owns the reference interpreter's side of a file: what it says, checked before it is believed. Reads the models that this
//! crate writes, whatever wrote them; anything else is an error that names it. Invariant: reading a file never panics and
//! never holds more than four times the file's bytes, besides a constant, and neither does the evaluation of a row.

mod constants;
mod error;
mod graph_builder;
mod network;
mod package;
mod program;

use std::collections::BTreeMap;
use std::path::Path;

pub use error::ReadError;

use crate::graph::Graph;
use crate::layout::{Format, MAX_BATCH, MAX_FILE};
use crate::proto::ARRAY_FLOAT32;
use crate::stamp::{
    KEY_FEATURES, KEY_FORM, KEY_HEAD, KEY_LABELS, KEY_SNAPSHOT, KEY_WEIGHTS, Stamp,
};
use crate::wire::{Message, Shape};
use error::{At, fault};

const OUR_KEYS: [&str; 6] =
    [KEY_FORM, KEY_SNAPSHOT, KEY_WEIGHTS, KEY_FEATURES, KEY_HEAD, KEY_LABELS];

/// A Core ML model, read from its files and ready to be evaluated.
#[derive(Clone, Debug)]
pub struct ModelFile {
    format: Format,
    spec_version: u32,
    batch: usize,
    stamp: Option<Stamp>,
    graph: Graph,
    n_bytes: u64,
    n_half: usize,
}

impl ModelFile {
    /// Reads an `.mlpackage` (a folder) or an `.mlmodel` (a file). Blocking.
    ///
    /// # Errors
    /// A [`ReadError`] that names the fault.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let (model, weights) = package::load(path)?;
        Self::from_bytes(&model, weights.as_deref())
    }

    /// Reads a model from the bytes of its specification and, for an ML Program, of its file of weights.
    ///
    /// # Errors
    /// A [`ReadError`] that names the fault.
    pub fn from_bytes(model: &[u8], weights: Option<&[u8]>) -> Result<Self, ReadError> {
        let n_bytes = model.len() + weights.map_or(0, <[u8]>::len);
        let root = Message::new(model).at("the model")?;
        let spec_version = root.number(1).at("the model")?;
        if !(1..=10).contains(&spec_version) {
            return fault("the model", format_args!("its version {spec_version} is unknown"));
        }
        let description = root.message(2).at("the model's description")?;
        let Some(description) = description else {
            return fault("the model", "it has no description");
        };
        let (input, rows, n_inputs) = array(description, 1, "input")?;
        let (output, output_rows, n_outputs) = array(description, 10, "output")?;
        if rows != output_rows {
            return fault("the description", "input and output have different numbers of rows");
        }
        // Two bytes a number at least: the first constant is as wide as the input.
        if n_inputs.max(n_outputs) > n_bytes {
            return fault(
                "the description",
                "it states more numbers than the file can have weights for",
            );
        }
        let ends = graph_builder::Ends { input, output, rows, n_inputs, n_outputs };
        let network = root.message(500).at("the neural network")?;
        let program = root.message(502).at("the ML Program")?;
        let (format, (graph, n_half)) = match (network, program) {
            (Some(network), None) => (Format::MlModel, (network::read(network, ends, n_bytes)?, 0)),
            (None, Some(program)) => {
                (Format::MlPackage, program::read(program, ends, weights, n_bytes)?)
            }
            (None, None) => {
                return fault("the model", "it is neither a neural network nor an ML Program");
            }
            (Some(_), Some(_)) => return fault("the model", "it is of two kinds"),
        };
        // Four bytes each: an evaluation is bounded like the reading.
        if graph.n_numbers() > n_bytes {
            return fault("the graph", "its rows have more numbers than the file has bytes");
        }
        let stamp = stamp(description)?;
        if let Some(stamp) = &stamp
            && !stamp.fits(n_outputs)
        {
            return fault("the metadata", "its labels do not fit the number of outputs");
        }
        Ok(Self {
            format,
            spec_version: spec_version as u32,
            batch: rows,
            stamp,
            graph,
            n_bytes: n_bytes as u64,
            n_half,
        })
    }

    /// The kind of file.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The version of Apple's specification: 4 needs macOS 10.15, 6 macOS 12, 7 macOS 13.
    #[must_use]
    pub fn spec_version(&self) -> u32 {
        self.spec_version
    }

    /// Whether operations compute in half precision.
    #[must_use]
    pub fn is_half(&self) -> bool {
        self.n_half > 0
    }

    /// Rows of one call.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Hidden units of a row.
    #[must_use]
    pub fn n_hidden(&self) -> usize {
        self.graph.n_inputs
    }

    /// Scores of a row.
    #[must_use]
    pub fn n_outputs(&self) -> usize {
        self.graph.n_outputs
    }

    /// Operations, constants not counted.
    #[must_use]
    pub fn n_operations(&self) -> usize {
        self.graph.steps.len()
    }

    /// Bytes of model and weights.
    #[must_use]
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Where it comes from; none for a model that Majordomo did not write.
    #[must_use]
    pub fn stamp(&self) -> Option<&Stamp> {
        self.stamp.as_ref()
    }

    /// Computes the scores of rows of units, any number of them, one after another.
    ///
    /// # Panics
    /// Never for `units` of whole rows and `scores` of as many.
    ///
    /// # Errors
    /// The lengths, when they are not of as many rows.
    pub fn evaluate(&self, units: &[f32], scores: &mut [f32]) -> Result<(), ReadError> {
        let rows = units.len() / self.n_hidden();
        if rows * self.n_hidden() != units.len() || rows * self.n_outputs() != scores.len() {
            let (n_units, n_scores) = (units.len(), scores.len());
            return fault(
                "the call",
                format_args!("{n_units} units and {n_scores} scores are not of as many rows"),
            );
        }
        let mut scratch = Vec::new();
        let rows =
            units.chunks_exact(self.n_hidden()).zip(scores.chunks_exact_mut(self.n_outputs()));
        rows.for_each(|(units, scores)| self.graph.row(units, scores, &mut scratch));
        Ok(())
    }
}

/// The only input or output: its name, and its rows and columns.
fn array<'a>(
    description: Message<'a>,
    number: u32,
    which: &'static str,
) -> Result<(&'a str, usize, usize), ReadError> {
    let mut all = description.messages(number);
    let (Some(feature), None) = (all.next(), all.next()) else {
        return fault("the description", format_args!("there is not exactly one {which}"));
    };
    let feature = feature.at(which)?;
    let name = feature.text(1).at(which)?;
    let feature_type = feature.message(3).at(which)?;
    let array = feature_type.map(|t| t.message(5)).transpose().at(which)?.flatten();
    let Some(array) = array else { return fault(which, "it is no array") };
    if array.number(2).at(which)? != ARRAY_FLOAT32 as u64 {
        return fault(which, "its numbers are not of 32 bits");
    }
    let mut shape = Shape::default();
    let fits = array.numbers(1, &mut shape).at(which)?;
    let &[rows, columns] = shape.sizes() else {
        return fault(which, "it is not of rows and columns");
    };
    let size = |n: u64, most: u64| usize::try_from(n).ok().filter(|n| *n > 0 && *n as u64 <= most);
    match (fits, size(rows, MAX_BATCH as u64), size(columns, MAX_FILE)) {
        (true, Some(rows), Some(columns)) => Ok((name, rows, columns)),
        _ => fault(which, format_args!("{rows} rows of {columns} numbers are no batch")),
    }
}

fn stamp(description: Message<'_>) -> Result<Option<Stamp>, ReadError> {
    const AT: &str = "the metadata";
    let Some(metadata) = description.message(100).at(AT)? else { return Ok(None) };
    let mut ours = BTreeMap::new();
    for entry in metadata.messages(100) {
        let entry = entry.at(AT)?;
        let key = entry.text(1).at(AT)?;
        if let Some(key) = OUR_KEYS.iter().find(|ours| **ours == key) {
            ours.insert(*key, entry.text(2).at(AT)?);
        }
    }
    Stamp::from_metadata(&ours).or_else(|bad| fault(AT, bad))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::{
        ActivationParams, ArrayFeatureType, EXACT_ARRAY_MAPPING, Empty, FeatureDescription,
        FeatureType, Layer, Metadata, Model, ModelDescription, ModelType, NeuralNetwork,
        NeuralNetworkLayer,
    };

    fn feature(name: &str, width: i64) -> FeatureDescription {
        let array = ArrayFeatureType { shape: vec![1, width], data_type: ARRAY_FLOAT32 };
        let feature_type = Some(FeatureType { multi_array_type: Some(array) });
        FeatureDescription { name: name.to_owned(), feature_type }
    }

    /// A network without constants: rows go through `n_layers` times ReLU. `padding` bytes of it say nothing.
    fn chain(width: i64, n_layers: usize, padding: usize) -> Vec<u8> {
        let layer = |layer_idx: usize| NeuralNetworkLayer {
            name: String::new(),
            input: vec![format!("{layer_idx}")],
            output: vec![format!("{}", layer_idx + 1)],
            layer: Some(Layer::Activation(ActivationParams { relu: Some(Empty {}) })),
        };
        let network = NeuralNetwork {
            layers: (0..n_layers).map(layer).collect(),
            array_input_shape_mapping: EXACT_ARRAY_MAPPING,
        };
        let metadata = Metadata { short_description: "x".repeat(padding), ..Metadata::default() };
        let description = ModelDescription {
            input: vec![feature("0", width)],
            output: vec![feature(&n_layers.to_string(), width)],
            metadata: Some(metadata),
        };
        Model {
            specification_version: 4,
            description: Some(description),
            kind: Some(ModelType::NeuralNetwork(network)),
        }
        .encode_to_vec()
    }

    #[test]
    fn rows_of_an_evaluation_take_no_more_memory_than_the_file_allows() {
        let bytes = chain(10_000, 30, 11_000);
        let error = ModelFile::from_bytes(&bytes, None).unwrap_err().to_string();
        assert!(error.contains("more numbers than the file has bytes"), "{error}");
        let model = ModelFile::from_bytes(&chain(10, 30, 11_000), None).unwrap();
        let mut scores = [0.0; 10];
        model.evaluate(&[-1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0], &mut scores).unwrap();
        assert_eq!(scores, [0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0]);
    }
}
