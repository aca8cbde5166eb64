//! The protobuf messages of Core ML's model format, as far as exported files need them.
//!
//! Field numbers are those of Apple's `Model.proto`, `MIL.proto`, `NeuralNetwork.proto` and `FeatureTypes.proto`
//! (coremltools, `mlmodel/format`). Maps are ordered, so that the same model has the same bytes. Used to write only: files
//! of unknown origin are read by `wire`, without a copy.
#![allow(missing_docs, reason = "names and meanings are those of Apple's format")]

use std::collections::BTreeMap;

use prost::{Enumeration, Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Model {
    #[prost(int32, tag = "1")]
    pub specification_version: i32,
    #[prost(message, optional, tag = "2")]
    pub description: Option<ModelDescription>,
    #[prost(oneof = "ModelType", tags = "500, 502")]
    pub kind: Option<ModelType>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum ModelType {
    #[prost(message, tag = "500")]
    NeuralNetwork(NeuralNetwork),
    #[prost(message, tag = "502")]
    MlProgram(Program),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelDescription {
    #[prost(message, repeated, tag = "1")]
    pub input: Vec<FeatureDescription>,
    #[prost(message, repeated, tag = "10")]
    pub output: Vec<FeatureDescription>,
    #[prost(message, optional, tag = "100")]
    pub metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metadata {
    #[prost(string, tag = "1")]
    pub short_description: String,
    #[prost(string, tag = "2")]
    pub version_string: String,
    #[prost(string, tag = "3")]
    pub author: String,
    #[prost(btree_map = "string, string", tag = "100")]
    pub user_defined: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FeatureDescription {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "3")]
    pub feature_type: Option<FeatureType>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FeatureType {
    #[prost(message, optional, tag = "5")]
    pub multi_array_type: Option<ArrayFeatureType>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ArrayFeatureType {
    #[prost(int64, repeated, tag = "1")]
    pub shape: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub data_type: i32,
}

/// `ArrayFeatureType.ArrayDataType.FLOAT32`.
pub(crate) const ARRAY_FLOAT32: i32 = 0x10000 | 32;

// MIL.proto

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Program {
    #[prost(int64, tag = "1")]
    pub version: i64,
    #[prost(btree_map = "string, message", tag = "2")]
    pub functions: BTreeMap<String, Function>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Function {
    #[prost(message, repeated, tag = "1")]
    pub inputs: Vec<NamedValueType>,
    #[prost(string, tag = "2")]
    pub opset: String,
    #[prost(btree_map = "string, message", tag = "3")]
    pub block_specializations: BTreeMap<String, Block>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Block {
    #[prost(string, repeated, tag = "2")]
    pub outputs: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    pub operations: Vec<Operation>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Operation {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(btree_map = "string, message", tag = "2")]
    pub inputs: BTreeMap<String, Argument>,
    #[prost(message, repeated, tag = "3")]
    pub outputs: Vec<NamedValueType>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub attributes: BTreeMap<String, Value>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Argument {
    #[prost(message, repeated, tag = "1")]
    pub arguments: Vec<Binding>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Binding {
    #[prost(string, tag = "1")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NamedValueType {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value_type: Option<ValueType>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueType {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorType {
    #[prost(enumeration = "DataType", tag = "1")]
    pub data_type: i32,
    #[prost(int64, tag = "2")]
    pub rank: i64,
    #[prost(message, repeated, tag = "3")]
    pub dimensions: Vec<Dimension>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(crate) enum DataType {
    Unused = 0,
    String = 2,
    Float16 = 10,
    Float32 = 11,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Dimension {
    #[prost(message, optional, tag = "1")]
    pub constant: Option<ConstantDimension>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ConstantDimension {
    #[prost(uint64, tag = "1")]
    pub size: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Value {
    #[prost(message, optional, tag = "2")]
    pub value_type: Option<ValueType>,
    #[prost(oneof = "ValueKind", tags = "3, 5")]
    pub kind: Option<ValueKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum ValueKind {
    #[prost(message, tag = "3")]
    Immediate(ImmediateValue),
    #[prost(message, tag = "5")]
    BlobFile(BlobFileValue),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ImmediateValue {
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BlobFileValue {
    #[prost(string, tag = "1")]
    pub file_name: String,
    #[prost(uint64, tag = "2")]
    pub offset: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorValue {
    #[prost(oneof = "TensorContents", tags = "1, 4, 7")]
    pub contents: Option<TensorContents>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum TensorContents {
    #[prost(message, tag = "1")]
    Floats(RepeatedFloats),
    #[prost(message, tag = "4")]
    Strings(RepeatedStrings),
    #[prost(message, tag = "7")]
    Bytes(RepeatedBytes),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RepeatedFloats {
    #[prost(float, repeated, tag = "1")]
    pub values: Vec<f32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RepeatedStrings {
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RepeatedBytes {
    #[prost(bytes = "vec", tag = "1")]
    pub values: Vec<u8>,
}

// NeuralNetwork.proto

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NeuralNetwork {
    #[prost(message, repeated, tag = "1")]
    pub layers: Vec<NeuralNetworkLayer>,
    #[prost(int32, tag = "5")]
    pub array_input_shape_mapping: i32,
}

/// `NeuralNetworkMultiArrayShapeMapping.EXACT_ARRAY_MAPPING`.
pub(crate) const EXACT_ARRAY_MAPPING: i32 = 1;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NeuralNetworkLayer {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, repeated, tag = "2")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub output: Vec<String>,
    #[prost(oneof = "Layer", tags = "130, 140, 880, 1070")]
    pub layer: Option<Layer>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Layer {
    #[prost(message, tag = "130")]
    Activation(ActivationParams),
    #[prost(message, tag = "140")]
    InnerProduct(InnerProductLayerParams),
    #[prost(message, tag = "880")]
    AddBroadcastable(Empty),
    #[prost(message, tag = "1070")]
    LoadConstantNd(LoadConstantNdLayerParams),
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ActivationParams {
    #[prost(message, optional, tag = "10")]
    pub relu: Option<Empty>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct InnerProductLayerParams {
    #[prost(uint64, tag = "1")]
    pub input_channels: u64,
    #[prost(uint64, tag = "2")]
    pub output_channels: u64,
    #[prost(bool, tag = "10")]
    pub has_bias: bool,
    #[prost(message, optional, tag = "20")]
    pub weights: Option<WeightParams>,
    #[prost(message, optional, tag = "21")]
    pub bias: Option<WeightParams>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LoadConstantNdLayerParams {
    #[prost(uint64, repeated, tag = "1")]
    pub shape: Vec<u64>,
    #[prost(message, optional, tag = "2")]
    pub data: Option<WeightParams>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WeightParams {
    #[prost(float, repeated, tag = "1")]
    pub float_value: Vec<f32>,
}
