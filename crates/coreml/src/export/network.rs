//! The dense layers as a neural network: constants and layers in one file.
//!
//! Arrays keep their shape (exact mapping), so a row is a text; a layer has no bias for rows of rank 2 but by adding a
//! constant.

use majordomo_predictor::DenseWeights;

use crate::layout::{INPUT, OUTPUT};
use crate::proto::{
    ActivationParams, EXACT_ARRAY_MAPPING, Empty, InnerProductLayerParams, Layer,
    LoadConstantNdLayerParams, NeuralNetwork, NeuralNetworkLayer, WeightParams,
};

pub(super) fn build(weights: &DenseWeights) -> NeuralNetwork {
    let numbers = |values: &[f32]| Some(WeightParams { float_value: values.to_vec() });
    let constant = LoadConstantNdLayerParams {
        shape: vec![1, weights.n_hidden() as u64],
        data: numbers(weights.hidden_bias()),
    };
    let product = InnerProductLayerParams {
        input_channels: weights.n_hidden() as u64,
        output_channels: weights.n_outputs() as u64,
        has_bias: true,
        weights: numbers(weights.weights()),
        bias: numbers(weights.bias()),
    };
    let relu = ActivationParams { relu: Some(Empty {}) };
    NeuralNetwork {
        layers: vec![
            layer(&[], "hidden_bias", Layer::LoadConstantNd(constant)),
            layer(&[INPUT, "hidden_bias"], "biased", Layer::AddBroadcastable(Empty {})),
            layer(&["biased"], "hidden", Layer::Activation(relu)),
            layer(&["hidden"], OUTPUT, Layer::InnerProduct(product)),
        ],
        array_input_shape_mapping: EXACT_ARRAY_MAPPING,
    }
}

fn layer(inputs: &[&str], output: &str, layer: Layer) -> NeuralNetworkLayer {
    NeuralNetworkLayer {
        name: output.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        layer: Some(layer),
    }
}
