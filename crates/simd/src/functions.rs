//! The kernels as free functions, on the back end in use ([`active`](crate::active)).
//!
//! Owns the choice only; each kernel is documented at its method of [`Kernels`].

use crate::Kernels;

/// Inner product (BLAS `dot`): see [`Kernels::dot`].
#[inline]
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    Kernels::active().dot(a, b)
}

/// Euclidean norm (BLAS `nrm2`): see [`Kernels::l2_norm`].
#[inline]
#[must_use]
pub fn l2_norm(x: &[f32]) -> f32 {
    Kernels::active().l2_norm(x)
}

/// Scales `x` to norm 1 and returns its former norm: see [`Kernels::normalize`].
#[inline]
pub fn normalize(x: &mut [f32]) -> f32 {
    Kernels::active().normalize(x)
}

/// `x[i] *= factors[i]`: see [`Kernels::mul_assign`].
#[inline]
pub fn mul_assign(x: &mut [f32], factors: &[f32]) {
    Kernels::active().mul_assign(x, factors);
}

/// `y[i] += alpha * x[i]` (BLAS `axpy`): see [`Kernels::axpy`].
#[inline]
pub fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
    Kernels::active().axpy(alpha, x, y);
}

/// `out[i] = a[i] * b[i] + c[i]`: see [`Kernels::fma`].
#[inline]
pub fn fma(a: &[f32], b: &[f32], c: &[f32], out: &mut [f32]) {
    Kernels::active().fma(a, b, c, out);
}

/// `out = matrix · x` (BLAS `gemv`): see [`Kernels::matvec`].
#[inline]
pub fn matvec(matrix: &[f32], x: &[f32], out: &mut [f32]) {
    Kernels::active().matvec(matrix, x, out);
}

/// Adds weighted rows of an f32 table to `out`: see [`Kernels::gather_accumulate`].
#[inline]
pub fn gather_accumulate(table: &[f32], indices: &[u32], weights: &[f32], out: &mut [f32]) {
    Kernels::active().gather_accumulate(table, indices, weights, out);
}

/// Adds weighted rows of an 8-bit table to `out`: see [`Kernels::gather_accumulate_i8`].
#[inline]
pub fn gather_accumulate_i8(table: &[i8], indices: &[u32], weights: &[f32], out: &mut [f32]) {
    Kernels::active().gather_accumulate_i8(table, indices, weights, out);
}

/// Turns scores into probabilities, in place: see [`Kernels::softmax`].
#[inline]
pub fn softmax(x: &mut [f32]) {
    Kernels::active().softmax(x);
}

/// Negative values become 0, in place: see [`Kernels::relu`].
#[inline]
pub fn relu(x: &mut [f32]) {
    Kernels::active().relu(x);
}

/// The logistic function, in place: see [`Kernels::sigmoid`].
#[inline]
pub fn sigmoid(x: &mut [f32]) {
    Kernels::active().sigmoid(x);
}
