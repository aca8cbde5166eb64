//! The operations of a file, evaluated as they are written: the reference for back ends.
//!
//! Slow and plain: sums are made in 64 bits and rounded once. In half precision the result of every operation is rounded to
//! 16 bits; how a device rounds inside of one is its own affair.

use crate::half;

/// The place of a row among those of an evaluation; 0 is the input.
pub(crate) type Slot = usize;

/// A constant of the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constant {
    /// It stands in the file in 16 bits.
    pub(crate) is_half: bool,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) values: Vec<f32>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Adds a row.
    Add(Vec<f32>),
    Relu,
    /// `weights · x + bias`.
    Linear {
        weights: Constant,
        bias: Vec<f32>,
    },
    /// To another precision.
    Cast,
}

/// An operation on rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    pub(crate) from: Slot,
    /// The length of its result.
    pub(crate) width: usize,
    /// Its result has 16 bits.
    pub(crate) is_half: bool,
}

/// Steps in order; step `i` gives slot `i + 1`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Graph {
    pub(crate) n_inputs: usize,
    pub(crate) n_outputs: usize,
    pub(crate) steps: Vec<Step>,
    pub(crate) output: Slot,
}

impl Graph {
    /// Numbers that the evaluation of one row holds at a time: those of all rows in between.
    pub(crate) fn n_numbers(&self) -> usize {
        self.steps.iter().fold(self.n_inputs, |n, step| n.saturating_add(step.width))
    }

    /// Computes one row. `scratch` is kept between rows.
    pub(crate) fn row(&self, input: &[f32], output: &mut [f32], scratch: &mut Vec<Vec<f32>>) {
        scratch.resize_with(self.steps.len() + 1, Vec::new);
        scratch[0].clear();
        scratch[0].extend_from_slice(input);
        for (step_idx, step) in self.steps.iter().enumerate() {
            let mut result = std::mem::take(&mut scratch[step_idx + 1]);
            result.clear();
            let from = &scratch[step.from];
            match &step.kind {
                Kind::Add(row) => result.extend(from.iter().zip(row).map(|(x, y)| x + y)),
                Kind::Relu => result.extend(from.iter().map(|x| x.max(0.0))),
                Kind::Linear { weights, bias } => {
                    let rows = weights.values.chunks_exact(weights.columns);
                    result.extend(rows.zip(bias).map(|(row, bias)| {
                        let products =
                            row.iter().zip(from).map(|(w, x)| f64::from(*w) * f64::from(*x));
                        (products.sum::<f64>() + f64::from(*bias)) as f32
                    }));
                }
                Kind::Cast => result.extend_from_slice(from),
            }
            if step.is_half {
                result.iter_mut().for_each(|x| *x = half::round(*x));
            }
            scratch[step_idx + 1] = result;
        }
        output.copy_from_slice(&scratch[self.output]);
    }
}
