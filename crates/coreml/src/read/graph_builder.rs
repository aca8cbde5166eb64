//! Operations by name become steps: every name is defined once, before it is read.

use majordomo_core::quoted_start;

use super::constants::Constants;
use super::error::{ReadError, fault};
use crate::graph::{Constant, Graph, Kind, Slot, Step};

/// The most operations of a file; those written here have ten at most.
const MAX_OPERATIONS: usize = 64;

/// The ends of a graph, from the description.
#[derive(Clone, Copy)]
pub(super) struct Ends<'a> {
    pub(super) input: &'a str,
    pub(super) output: &'a str,
    pub(super) rows: usize,
    pub(super) n_inputs: usize,
    pub(super) n_outputs: usize,
}

/// The meaning of a name. Constants are read where they are used.
#[derive(Clone, Copy)]
pub(super) enum Meaning<C> {
    Row {
        slot: Slot,
        width: usize,
        is_half: bool,
    },
    Constant(C),
    /// The name of a precision: whether it is half.
    Precision(bool),
}

/// The steps so far. `C` is where a constant is found.
pub(super) struct Builder<'a, C> {
    ends: Ends<'a>,
    names: Vec<(&'a str, Meaning<C>)>,
    steps: Vec<Step>,
    pub(super) constants: Constants,
}

impl<'a, C: Copy> Builder<'a, C> {
    pub(super) fn new(ends: Ends<'a>, constants: Constants) -> Self {
        let input = Meaning::Row { slot: 0, width: ends.n_inputs, is_half: false };
        Self { ends, names: vec![(ends.input, input)], steps: Vec::new(), constants }
    }

    pub(super) fn ends(&self) -> Ends<'a> {
        self.ends
    }

    /// Gives a name its meaning.
    pub(super) fn define(&mut self, name: &'a str, meaning: Meaning<C>) -> Result<(), ReadError> {
        if self.names.len() > MAX_OPERATIONS {
            return fault(
                "the graph",
                format_args!("it has more than {MAX_OPERATIONS} operations"),
            );
        }
        if self.names.iter().any(|(known, _)| *known == name) {
            return fault(quoted_start(name), "two operations give this value");
        }
        self.names.push((name, meaning));
        Ok(())
    }

    fn meaning(&self, name: &str) -> Result<Meaning<C>, ReadError> {
        match self.names.iter().find(|(known, _)| *known == name) {
            Some((_, meaning)) => Ok(*meaning),
            None => fault(
                quoted_start(name),
                "it is read before an operation gives it: it is missing, or the operations form a cycle",
            ),
        }
    }

    /// The row that a name stands for: slot, width, precision.
    pub(super) fn row(&self, name: &str) -> Result<(Slot, usize, bool), ReadError> {
        match self.meaning(name)? {
            Meaning::Row { slot, width, is_half } => Ok((slot, width, is_half)),
            _ => fault(quoted_start(name), "it is a constant where a row is needed"),
        }
    }

    /// The constant that a name stands for.
    pub(super) fn constant(&self, name: &str) -> Result<C, ReadError> {
        match self.meaning(name)? {
            Meaning::Constant(constant) => Ok(constant),
            _ => fault(quoted_start(name), "it is no constant of numbers"),
        }
    }

    /// Whether the precision that a name stands for is half.
    pub(super) fn precision(&self, name: &str) -> Result<bool, ReadError> {
        match self.meaning(name)? {
            Meaning::Precision(is_half) => Ok(is_half),
            _ => fault(quoted_start(name), "it names no precision"),
        }
    }

    /// Adds a row to a row.
    pub(super) fn add(
        &mut self,
        name: &'a str,
        x: &str,
        constant: Constant,
    ) -> Result<(), ReadError> {
        let (from, width, is_half) = self.row(x)?;
        same_precision(name, is_half, &[&constant])?;
        if constant.rows != 1 || constant.columns != width {
            let Constant { rows, columns, .. } = constant;
            return fault(
                quoted_start(name),
                format_args!("{rows} x {columns} numbers are added to rows of {width}"),
            );
        }
        self.step(name, Step { kind: Kind::Add(constant.values), from, width, is_half })
    }

    pub(super) fn relu(&mut self, name: &'a str, x: &str) -> Result<(), ReadError> {
        let (from, width, is_half) = self.row(x)?;
        self.step(name, Step { kind: Kind::Relu, from, width, is_half })
    }

    pub(super) fn cast(&mut self, name: &'a str, x: &str, is_half: bool) -> Result<(), ReadError> {
        let (from, width, _) = self.row(x)?;
        self.step(name, Step { kind: Kind::Cast, from, width, is_half })
    }

    pub(super) fn linear(
        &mut self,
        name: &'a str,
        x: &str,
        weights: Constant,
        bias: Constant,
    ) -> Result<(), ReadError> {
        let (from, width, is_half) = self.row(x)?;
        same_precision(name, is_half, &[&weights, &bias])?;
        let n_outputs = weights.rows;
        if weights.columns != width || bias.rows != 1 || bias.columns != n_outputs {
            return fault(
                quoted_start(name),
                format_args!(
                    "weights of {n_outputs} x {} and a bias of {} do not fit rows of {width}",
                    weights.columns, bias.columns
                ),
            );
        }
        let kind = Kind::Linear { weights, bias: bias.values };
        self.step(name, Step { kind, from, width: n_outputs, is_half })
    }

    fn step(&mut self, name: &'a str, step: Step) -> Result<(), ReadError> {
        let slot = self.steps.len() + 1;
        self.define(name, Meaning::Row { slot, width: step.width, is_half: step.is_half })?;
        self.steps.push(step);
        Ok(())
    }

    /// The graph, and how many of its steps have half precision.
    pub(super) fn finish(self) -> Result<(Graph, usize), ReadError> {
        let Ends { output, n_inputs, n_outputs, .. } = self.ends;
        let (slot, width, is_half) = self.row(output)?;
        if width != n_outputs || is_half {
            let bits = if is_half { 16 } else { 32 };
            return fault(
                quoted_start(output),
                format_args!(
                    "it has {width} numbers of {bits} bits, described are {n_outputs} of 32"
                ),
            );
        }
        let n_half = self.steps.iter().filter(|step| step.is_half).count();
        Ok((Graph { n_inputs, n_outputs, steps: self.steps, output: slot }, n_half))
    }
}

/// An operation takes rows and constants of one precision, as Core ML demands; a `cast` stands between others.
fn same_precision(name: &str, is_half: bool, constants: &[&Constant]) -> Result<(), ReadError> {
    if constants.iter().all(|constant| constant.is_half == is_half) {
        return Ok(());
    }
    let (rows, others) = if is_half { (16, 32) } else { (32, 16) };
    fault(
        quoted_start(name),
        format_args!("it mixes rows of {rows} bits and constants of {others} without a cast"),
    )
}
