//! The layers of a neural network.

use majordomo_core::quoted_start;

use super::constants::Constants;
use super::error::{At, ReadError, fault};
use super::graph_builder::{Builder, Ends, Meaning};
use crate::graph::{Constant, Graph};
use crate::proto::EXACT_ARRAY_MAPPING;
use crate::wire::{Message, Shape};

const ACTIVATION: u32 = 130;
const INNER_PRODUCT: u32 = 140;
const ADD: u32 = 880;
const LOAD_CONSTANT: u32 = 1070;

/// The graph of a network.
pub(super) fn read(
    network: Message<'_>,
    ends: Ends<'_>,
    n_bytes: usize,
) -> Result<Graph, ReadError> {
    if network.number(5).at("the neural network")? != EXACT_ARRAY_MAPPING as u64 {
        return fault("the neural network", "arrays do not keep their shape in it");
    }
    let mut builder = Builder::new(ends, Constants::new(n_bytes));
    for (layer_idx, layer) in network.messages(1).enumerate() {
        let at = format!("layer {layer_idx}");
        read_layer(layer.at(&at)?, &at, &mut builder)?;
    }
    Ok(builder.finish()?.0)
}

fn read_layer<'a>(
    layer: Message<'a>,
    at: &str,
    builder: &mut Builder<'a, Message<'a>>,
) -> Result<(), ReadError> {
    let mut inputs = layer.texts(2);
    let (first, second, more) = (inputs.next(), inputs.next(), inputs.next());
    let mut outputs = layer.texts(3);
    let (Some(output), None, None) = (outputs.next(), outputs.next(), more) else {
        return fault(at, "it has not two inputs at most and one output");
    };
    let output = output.at(at)?;
    let (first, second) = (first.transpose().at(at)?, second.transpose().at(at)?);
    // 1 to 3 are names, 4 and 5 shapes.
    let kind = layer.fields().map(|(number, _)| number).find(|number| *number >= 100);
    let params = kind.map(|kind| layer.message(kind)).transpose().at(at)?.flatten();
    let (Some(kind), Some(params)) = (kind, params) else {
        return fault(at, "it has no kind");
    };
    match (kind, first, second) {
        (LOAD_CONSTANT, None, None) => builder.define(output, Meaning::Constant(params)),
        (ADD, Some(x), Some(constant)) => {
            let found = builder.constant(constant)?;
            let mut shape = Shape::default();
            let fits = found.numbers(1, &mut shape).at(quoted_start(constant))?;
            if !fits {
                return fault(quoted_start(constant), "it has too many dimensions");
            }
            let constant = weights(found, 2, shape.sizes(), at, builder)?;
            builder.add(output, x, constant)
        }
        (ACTIVATION, Some(x), None) => {
            let mut kinds = params.fields().map(|(number, _)| number);
            match (kinds.next(), kinds.next()) {
                (Some(10), None) => builder.relu(output, x),
                _ => fault(at, "its activation is not ReLU"),
            }
        }
        (INNER_PRODUCT, Some(x), None) => {
            let (n_inputs, n_outputs) = (params.number(1).at(at)?, params.number(2).at(at)?);
            if params.number(10).at(at)? != 1 || params.number(22).at(at)? != 0 {
                return fault(at, "a product without bias, or of 8 bits, is not evaluated here");
            }
            let matrix = weights(params, 20, &[n_outputs, n_inputs], at, builder)?;
            let bias = weights(params, 21, &[n_outputs], at, builder)?;
            builder.linear(output, x, matrix, bias)
        }
        _ => fault(
            at,
            format_args!("layers of kind {kind} with these inputs are not evaluated here"),
        ),
    }
}

fn weights<'a>(
    params: Message<'a>,
    number: u32,
    shape: &[u64],
    at: &str,
    builder: &mut Builder<'a, Message<'a>>,
) -> Result<Constant, ReadError> {
    let Some(found) = params.message(number).at(at)? else {
        return fault(at, "its weights are missing");
    };
    if found.fields().any(|(number, _)| number != 1) {
        return fault(at, "its weights are not of 32 bits");
    }
    let (count, values) = found.floats(1).at(at)?;
    builder.constants.take(at, shape, count, values)
}
