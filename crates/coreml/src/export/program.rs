//! The dense layers as an ML Program: operations in order, constants beside it in the file of weights.
//!
//! As coremltools writes it, so that its output from this program is the same: constants stand before the operation that
//! reads them, those of ten numbers or more in the file of weights.

use std::collections::BTreeMap;

use majordomo_predictor::DenseWeights;

use super::weight_file::{WeightFile, raw};
use crate::layout::{ExportSettings, INPUT, OUTPUT, Precision, WEIGHTS_NAME};
use crate::proto::{
    Argument, Binding, BlobFileValue, Block, ConstantDimension, DataType, Dimension, Function,
    ImmediateValue, NamedValueType, Operation, Program, RepeatedBytes, RepeatedFloats,
    RepeatedStrings, TensorContents, TensorType, TensorValue, Value, ValueKind, ValueType,
};

/// Constants of fewer numbers stand in the model.
const MIN_IN_FILE: usize = 10;

/// The program, and the file of weights.
pub(super) fn build(weights: &DenseWeights, settings: ExportSettings) -> (Program, Vec<u8>) {
    let mut builder =
        Builder { precision: settings.precision, file: WeightFile::new(), operations: Vec::new() };
    let is_half = settings.precision == Precision::Half;
    let rows = settings.batch as u64;
    let (n_hidden, n_outputs) = (weights.n_hidden() as u64, weights.n_outputs() as u64);
    let number = if is_half { DataType::Float16 } else { DataType::Float32 };
    let (units, scores) = if is_half { ("units_fp16", "scores_fp16") } else { (INPUT, OUTPUT) };

    if is_half {
        builder.cast(INPUT, units, "fp16", DataType::Float16, [rows, n_hidden]);
    }
    builder.constant("hidden_bias", &[n_hidden], weights.hidden_bias());
    let hidden = tensor(number, &[rows, n_hidden]);
    builder.push("add", &[("x", units), ("y", "hidden_bias")], "biased", hidden.clone());
    builder.push("relu", &[("x", "biased")], "hidden", hidden);
    builder.constant("weight", &[n_outputs, n_hidden], weights.weights());
    builder.constant("bias", &[n_outputs], weights.bias());
    let inputs = [("x", "hidden"), ("weight", "weight"), ("bias", "bias")];
    builder.push("linear", &inputs, scores, tensor(number, &[rows, n_outputs]));
    if is_half {
        builder.cast(scores, OUTPUT, "fp32", DataType::Float32, [rows, n_outputs]);
    }

    let opset = if is_half { "CoreML6" } else { "CoreML5" };
    let block = Block { outputs: vec![OUTPUT.to_owned()], operations: builder.operations };
    let main = Function {
        inputs: vec![named(INPUT, tensor(DataType::Float32, &[rows, n_hidden]))],
        opset: opset.to_owned(),
        block_specializations: BTreeMap::from([(opset.to_owned(), block)]),
    };
    let functions = BTreeMap::from([("main".to_owned(), main)]);
    (Program { version: 1, functions }, builder.file.finish())
}

struct Builder {
    precision: Precision,
    file: WeightFile,
    operations: Vec<Operation>,
}

impl Builder {
    fn constant(&mut self, name: &str, shape: &[u64], values: &[f32]) {
        let (data_type, contents) = match self.precision {
            Precision::Single => {
                let floats = RepeatedFloats { values: values.to_vec() };
                (DataType::Float32, TensorContents::Floats(floats))
            }
            Precision::Half => {
                let bytes = RepeatedBytes { values: raw(values, Precision::Half) };
                (DataType::Float16, TensorContents::Bytes(bytes))
            }
        };
        let value_type = tensor(data_type, shape);
        let kind = if values.len() < MIN_IN_FILE {
            immediate(contents)
        } else {
            let offset = self.file.push(values, self.precision);
            ValueKind::BlobFile(BlobFileValue { file_name: WEIGHTS_NAME.to_owned(), offset })
        };
        self.value(name, value_type, kind);
    }

    fn value(&mut self, name: &str, value_type: ValueType, kind: ValueKind) {
        let value = Value { value_type: Some(value_type.clone()), kind: Some(kind) };
        self.push("const", &[], name, value_type);
        if let Some(operation) = self.operations.last_mut() {
            operation.attributes.insert("val".to_owned(), value);
        }
    }

    fn cast(&mut self, from: &str, to: &str, kind: &str, data_type: DataType, shape: [u64; 2]) {
        let name = format!("{to}_dtype_0");
        self.value(&name, text_type(), text(kind));
        self.push("cast", &[("dtype", &name), ("x", from)], to, tensor(data_type, &shape));
    }

    fn push(&mut self, kind: &str, inputs: &[(&str, &str)], name: &str, output: ValueType) {
        let input = |&(key, name): &(&str, &str)| {
            let arguments = vec![Binding { name: name.to_owned() }];
            (key.to_owned(), Argument { arguments })
        };
        let stated = Value { value_type: Some(text_type()), kind: Some(text(name)) };
        self.operations.push(Operation {
            kind: kind.to_owned(),
            inputs: inputs.iter().map(input).collect(),
            outputs: vec![named(name, output)],
            attributes: BTreeMap::from([("name".to_owned(), stated)]),
        });
    }
}

fn named(name: &str, value_type: ValueType) -> NamedValueType {
    NamedValueType { name: name.to_owned(), value_type: Some(value_type) }
}

fn tensor(data_type: DataType, shape: &[u64]) -> ValueType {
    let dimension = |&size: &u64| Dimension { constant: Some(ConstantDimension { size }) };
    let tensor = TensorType {
        data_type: data_type.into(),
        rank: shape.len() as i64,
        dimensions: shape.iter().map(dimension).collect(),
    };
    ValueType { tensor_type: Some(tensor) }
}

fn text_type() -> ValueType {
    tensor(DataType::String, &[])
}

fn text(text: &str) -> ValueKind {
    immediate(TensorContents::Strings(RepeatedStrings { values: vec![text.to_owned()] }))
}

fn immediate(contents: TensorContents) -> ValueKind {
    let tensor = Some(TensorValue { contents: Some(contents) });
    ValueKind::Immediate(ImmediateValue { tensor })
}
