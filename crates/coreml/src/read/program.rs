//! The operations of an ML Program.

use majordomo_core::quoted_start;

use super::constants::{Constants, check_head, numbers, record};
use super::error::{At, ReadError, fault};
use super::graph_builder::{Builder, Ends, Meaning};
use crate::graph::{Constant, Graph};
use crate::layout::WEIGHTS_NAME;
use crate::proto::DataType;
use crate::wire::{Message, Shape};

/// The type of a value: numbers (half or single), or text; and its shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Type {
    data: DataType,
    shape: Shape,
}

/// A constant: its type and its value.
#[derive(Clone, Copy)]
struct Found<'a> {
    stated: Type,
    value: Message<'a>,
}

struct Reader<'a> {
    builder: Builder<'a, Found<'a>>,
    weights: Option<&'a [u8]>,
}

/// The graph of a program, and how many of its operations have half precision.
pub(super) fn read<'a>(
    program: Message<'a>,
    ends: Ends<'a>,
    weights: Option<&'a [u8]>,
    n_bytes: usize,
) -> Result<(Graph, usize), ReadError> {
    const AT: &str = "the ML Program";
    let Some(main) = program.entry(2, "main").at(AT)? else {
        return fault(AT, "it has no function `main`");
    };
    let mut inputs = main.messages(1);
    let (Some(input), None) = (inputs.next(), inputs.next()) else {
        return fault("function `main`", "it has not exactly one input");
    };
    let expected = [ends.rows as u64, ends.n_inputs as u64];
    let (name, stated) = named(input.at("function `main`")?, "function `main`")?;
    if name != ends.input || stated.data != DataType::Float32 || stated.shape.sizes() != expected {
        return fault("function `main`", "its input is not the one that is described");
    }
    let opset = main.text(2).at("function `main`")?;
    let Some(block) = main.entry(3, opset).at("function `main`")? else {
        return fault(
            "function `main`",
            format_args!("it has no block for its operations {}", quoted_start(opset)),
        );
    };
    let mut outputs = block.texts(2);
    let (Some(output), None) = (outputs.next(), outputs.next()) else {
        return fault("the block", "it has not exactly one output");
    };
    if output.at("the block")? != ends.output {
        return fault("the block", "its output is not the one that is described");
    }
    if let Some(file) = weights {
        check_head(file)?;
    }
    let mut reader = Reader { builder: Builder::new(ends, Constants::new(n_bytes)), weights };
    for (operation_idx, operation) in block.messages(3).enumerate() {
        let at = format!("operation {operation_idx}");
        reader.operation(operation.at(&at)?, &at)?;
    }
    reader.builder.finish()
}

impl<'a> Reader<'a> {
    fn operation(&mut self, operation: Message<'a>, at: &str) -> Result<(), ReadError> {
        let kind = operation.text(1).at(at)?;
        let mut outputs = operation.messages(3);
        let (Some(output), None) = (outputs.next(), outputs.next()) else {
            return fault(at, "it has not exactly one output");
        };
        let (name, stated) = named(output.at(at)?, at)?;
        if operation.messages(4).next().is_some() {
            return fault(at, "it has blocks of its own, which are not evaluated here");
        }
        let input = |key: &str| input(operation, key, at);
        match kind {
            "const" => return self.constant(operation, name, stated, at),
            "add" => {
                let constant = self.numbers(input("y")?)?;
                self.builder.add(name, input("x")?, constant)?;
            }
            "relu" => self.builder.relu(name, input("x")?)?,
            "linear" => {
                let weights = self.numbers(input("weight")?)?;
                let bias = self.numbers(input("bias")?)?;
                self.builder.linear(name, input("x")?, weights, bias)?;
            }
            "cast" => {
                let is_half = self.builder.precision(input("dtype")?)?;
                self.builder.cast(name, input("x")?, is_half)?;
            }
            other => {
                return fault(
                    at,
                    format_args!("operations {} are not evaluated here", quoted_start(other)),
                );
            }
        }
        // The result is of the type that is stated.
        let (_, width, is_half) = self.builder.row(name)?;
        let data = if is_half { DataType::Float16 } else { DataType::Float32 };
        let expected = [self.builder.ends().rows as u64, width as u64];
        if stated.data != data || stated.shape.sizes() != expected {
            return fault(
                at,
                format_args!("its result {} is not of the type that it states", quoted_start(name)),
            );
        }
        Ok(())
    }

    fn constant(
        &mut self,
        operation: Message<'a>,
        name: &'a str,
        stated: Type,
        at: &str,
    ) -> Result<(), ReadError> {
        let Some(value) = operation.entry(5, "val").at(at)? else {
            return fault(at, "the constant has no value");
        };
        let value_type = value.message(2).at(at)?;
        if value_type.map(|found| tensor(found, at)).transpose()? != Some(stated) {
            return fault(at, "the constant's value is not of the type that it states");
        }
        let meaning = if stated.data == DataType::String {
            let strings = immediate(value, at)?.message(4).at(at)?;
            let mut texts = strings.into_iter().flat_map(|strings| strings.texts(1));
            match (texts.next().transpose().at(at)?, texts.next()) {
                (Some("fp16"), None) => Meaning::Precision(true),
                (Some("fp32"), None) => Meaning::Precision(false),
                _ => return fault(at, "the text is no precision"),
            }
        } else {
            Meaning::Constant(Found { stated, value })
        };
        self.builder.define(name, meaning)
    }

    /// Reads a constant from the model or from the file of weights.
    fn numbers(&mut self, name: &str) -> Result<Constant, ReadError> {
        let Found { stated: Type { data, shape }, value } = self.builder.constant(name)?;
        let at = &*format!("constant {}", quoted_start(name));
        let is_half = data == DataType::Float16;
        let taken = &mut self.builder.constants;
        if let Some(blob) = value.message(5).at(at)? {
            let file = blob.text(1).at(at)?;
            if file != WEIGHTS_NAME {
                return fault(
                    at,
                    format_args!("its file is {}, not {WEIGHTS_NAME}", quoted_start(file)),
                );
            }
            let Some(file) = self.weights else {
                return fault(at, "there is no file of weights");
            };
            let (record_is_half, bytes) = record(file, blob.number(2).at(at)?)?;
            if record_is_half != is_half {
                return fault(at, "the file of weights has it in another precision");
            }
            let (count, values) = numbers(bytes, is_half);
            let constant = taken.take(at, shape.sizes(), count, values)?;
            return Ok(Constant { is_half, ..constant });
        }
        let tensor = immediate(value, at)?;
        if is_half {
            let Some(bytes) = tensor.message(7).at(at)? else {
                return fault(at, "its numbers are missing");
            };
            let bytes = bytes.bytes(1).at(at)?;
            if bytes.len() % 2 != 0 {
                return fault(at, "it ends in the middle of a number");
            }
            let (count, values) = numbers(bytes, true);
            let constant = taken.take(at, shape.sizes(), count, values)?;
            Ok(Constant { is_half, ..constant })
        } else {
            let Some(floats) = tensor.message(1).at(at)? else {
                return fault(at, "its numbers are missing");
            };
            let (count, values) = floats.floats(1).at(at)?;
            taken.take(at, shape.sizes(), count, values)
        }
    }
}

/// As opposed to one in the file of weights.
fn immediate<'a>(value: Message<'a>, at: &str) -> Result<Message<'a>, ReadError> {
    let tensor = value.message(3).at(at)?.map(|found| found.message(1)).transpose().at(at)?;
    match tensor.flatten() {
        Some(tensor) => Ok(tensor),
        None => fault(at, "its value is neither in the model nor in the file of weights"),
    }
}

/// The name that an operation reads under a key.
fn input<'a>(operation: Message<'a>, key: &str, at: &str) -> Result<&'a str, ReadError> {
    let Some(argument) = operation.entry(2, key).at(at)? else {
        return fault(at, format_args!("its input `{key}` is missing"));
    };
    let mut bindings = argument.messages(1);
    match (bindings.next(), bindings.next()) {
        (Some(binding), None) => {
            let name = binding.at(at)?.text(1).at(at)?;
            if name.is_empty() {
                return fault(at, format_args!("its input `{key}` names no value"));
            }
            Ok(name)
        }
        _ => fault(at, format_args!("its input `{key}` is not one value")),
    }
}

fn named<'a>(found: Message<'a>, at: &str) -> Result<(&'a str, Type), ReadError> {
    let name = found.text(1).at(at)?;
    let Some(value_type) = found.message(2).at(at)? else {
        return fault(at, format_args!("{} has no type", quoted_start(name)));
    };
    Ok((name, tensor(value_type, at)?))
}

fn tensor(value_type: Message<'_>, at: &str) -> Result<Type, ReadError> {
    let Some(tensor) = value_type.message(1).at(at)? else {
        return fault(at, "a value is no tensor");
    };
    let number = tensor.number(1).at(at)?;
    let known = i32::try_from(number).ok().and_then(|number| DataType::try_from(number).ok());
    let Some(data) = known.filter(|data| *data != DataType::Unused) else {
        return fault(at, format_args!("values of kind {number} are not evaluated here"));
    };
    let mut shape = Shape::default();
    for dimension in tensor.messages(3) {
        let Some(constant) = dimension.at(at)?.message(1).at(at)? else {
            return fault(at, "a dimension is not fixed");
        };
        if !shape.push(constant.number(1).at(at)?) {
            return fault(at, "a tensor has more than four dimensions");
        }
    }
    if tensor.number(2).at(at)? != shape.sizes().len() as u64 {
        return fault(at, "a tensor has another number of dimensions than it states");
    }
    Ok(Type { data, shape })
}
