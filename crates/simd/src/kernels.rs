//! The kernels on one back end: checks of lengths, then the code for its instruction set.
//!
//! Owns the contract of every kernel (shapes, special values, error). Does not know the code of a back
//! end. Invariant: a `Kernels` only exists for a back end that this CPU supports.
//!
//! Error limits are in units of ε = 2^-24 (half an ULP of 1) and hold on every back end; the tests
//! of this crate check each of them against an f64 oracle.

use crate::arch;
use crate::backend::{self, Backend, UnsupportedBackend};
use crate::root::{sqrt_f32, sqrt_f64};

/// Sums of squares below this may have lost digits to underflow (2^-80, a norm of about 1e-12).
const SMALLEST_SAFE_SUM: f32 = f32::from_bits((127 - 80) << 23);

/// Elementwise kernels process shorter slices by the portable loop on every back end: it is inlined, while a call
/// and a mask would cost more than the arithmetic.
const SHORT: usize = 32;

/// The kernels of one back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernels {
    backend: Backend,
}

impl Kernels {
    /// The back end in use, on which the free functions of this crate run.
    #[inline]
    #[must_use]
    pub fn active() -> Self {
        Self { backend: backend::active() }
    }

    /// A chosen back end, whichever is in use.
    ///
    /// # Errors
    /// [`UnsupportedBackend`] if this CPU does not support it.
    pub fn with(backend: Backend) -> Result<Self, UnsupportedBackend> {
        backend::check(backend)?;
        Ok(Self { backend })
    }

    /// The back end that the kernels run on.
    #[inline]
    #[must_use]
    pub fn backend(self) -> Backend {
        self.backend
    }

    /// Inner product `Σ a[i]·b[i]` (BLAS `dot`).
    ///
    /// 0 for empty slices. NaN if a product is NaN or infinities of both signs meet; otherwise an
    /// infinite product gives an infinite sum. Error at most `(n / 16 + 12) ε Σ |a[i]·b[i]|`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    #[must_use]
    pub fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        same_length("dot", "a", a.len(), "b", b.len());
        arch::dispatch!(self.backend, dot_f32(a, b))
    }

    /// Euclidean norm `√Σ x[i]²` (BLAS `nrm2`).
    ///
    /// 0 for an empty slice, NaN if an element is NaN, infinite if one is infinite and none is NaN.
    /// Very large and very small elements neither overflow nor underflow in between: such sums are
    /// computed again in f64. Relative error at most `(n / 32 + 8) ε`.
    #[inline]
    #[must_use]
    pub fn l2_norm(self, x: &[f32]) -> f32 {
        let sum = arch::dispatch!(self.backend, sum_squares_f32(x));
        if is_safe_sum(sum) { sqrt_f32(sum) } else { exact_norm(x) as f32 }
    }

    /// Scales `x` to norm 1, in place, and returns its former norm.
    ///
    /// A vector whose norm is 0, infinite or NaN has no direction and is left unchanged; the returned
    /// norm shows it. Any other is normalised, however large or small its elements. Error of each
    /// element at most `(n / 32 + 11) ε`, relative.
    #[inline]
    pub fn normalize(self, x: &mut [f32]) -> f32 {
        let sum = arch::dispatch!(self.backend, sum_squares_f32(x));
        if is_safe_sum(sum) {
            let norm = sqrt_f32(sum);
            arch::dispatch!(self.backend, scale_f32(1.0 / norm, x));
            return norm;
        }
        normalize_exactly(x)
    }

    /// `x[i] *= factors[i]`: weights a term vector by its inverse document frequencies, say.
    ///
    /// Correctly rounded, special values as in IEEE 754.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    pub fn mul_assign(self, x: &mut [f32], factors: &[f32]) {
        same_length("mul_assign", "x", x.len(), "factors", factors.len());
        if x.len() < SHORT {
            return arch::portable::mul_assign_f32(x, factors);
        }
        arch::dispatch!(self.backend, mul_assign_f32(x, factors));
    }

    /// `y[i] += alpha * x[i]` (BLAS `axpy`).
    ///
    /// Special values as in IEEE 754; `alpha` = 0 still multiplies. Error at most
    /// `ε |alpha·x[i]| + ε |result|`: long slices round once on fused back ends, others twice.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    pub fn axpy(self, alpha: f32, x: &[f32], y: &mut [f32]) {
        same_length("axpy", "x", x.len(), "y", y.len());
        if x.len() < SHORT {
            return arch::portable::axpy_f32(alpha, x, y);
        }
        arch::dispatch!(self.backend, axpy_f32(alpha, x, y));
    }

    /// `out[i] = a[i] * b[i] + c[i]`.
    ///
    /// Special values as in IEEE 754. Error at most `ε |a[i]·b[i]| + ε |result|`: long slices
    /// round once on fused back ends, others twice.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    pub fn fma(self, a: &[f32], b: &[f32], c: &[f32], out: &mut [f32]) {
        same_length("fma", "a", a.len(), "out", out.len());
        same_length("fma", "b", b.len(), "out", out.len());
        same_length("fma", "c", c.len(), "out", out.len());
        if out.len() < SHORT {
            return arch::portable::fma_f32(a, b, c, out);
        }
        arch::dispatch!(self.backend, fma_f32(a, b, c, out));
    }

    /// `out = matrix · x` (BLAS `gemv`); `matrix` is row-major, `out.len()` rows of `x.len()`.
    ///
    /// Each element is an inner product with the special values of [`dot`](Self::dot), but an error of up
    /// to `(n / 4 + 12) ε Σ |row[i]·x[i]|`: rows run side by side, with fewer partial sums each. Overwrites `out`; with an empty `x` every element becomes 0.
    ///
    /// # Panics
    /// If `matrix.len() != out.len() * x.len()`.
    #[inline]
    pub fn matvec(self, matrix: &[f32], x: &[f32], out: &mut [f32]) {
        let (n_rows, n_columns) = (out.len(), x.len());
        assert!(
            n_rows.checked_mul(n_columns) == Some(matrix.len()),
            "matvec: `matrix` has {} elements, but `out` and `x` ask for {n_rows} rows of {n_columns}",
            matrix.len()
        );
        arch::dispatch!(self.backend, matvec_f32(matrix, x, out));
    }

    /// `out += Σ weights[k] · row(indices[k])`: the product of a sparse vector with a dense matrix,
    /// as the first layer of a network on hashed features needs it.
    ///
    /// `table` is row-major with rows of `out.len()`. Indices may repeat and come in any order. The
    /// limits are those of [`axpy`](Self::axpy), once per index and in the order given. Nothing
    /// happens if `out` is empty.
    ///
    /// # Panics
    /// If `indices` and `weights` differ in length, `table` is not a whole number of rows, or an
    /// index is not below the number of rows.
    #[inline]
    pub fn gather_accumulate(
        self,
        table: &[f32],
        indices: &[u32],
        weights: &[f32],
        out: &mut [f32],
    ) {
        let name = "gather_accumulate";
        if check_gather(name, table.len(), indices, weights.len(), out.len()) {
            arch::dispatch!(self.backend, gather_accumulate_f32(table, indices, weights, out));
        }
    }

    /// [`gather_accumulate`](Self::gather_accumulate) on a table of 8-bit integers, a quarter of the
    /// memory.
    ///
    /// The caller multiplies the scale of the integers, one for the table or one for each row, into the weights.
    ///
    /// # Panics
    /// As `gather_accumulate`.
    #[inline]
    pub fn gather_accumulate_i8(
        self,
        table: &[i8],
        indices: &[u32],
        weights: &[f32],
        out: &mut [f32],
    ) {
        let name = "gather_accumulate_i8";
        if check_gather(name, table.len(), indices, weights.len(), out.len()) {
            arch::dispatch!(self.backend, gather_accumulate_i8(table, indices, weights, out));
        }
    }

    /// Turns scores into probabilities, in place: `exp(x[i] - max) / Σ exp(x[j] - max)`.
    ///
    /// An empty slice stays empty and -∞ becomes 0. If an element is NaN or +∞, or all are -∞, there
    /// is no such distribution and every element becomes NaN. Relative error at most
    /// `(n / 4 + 16 + |x[i] - max|) ε` (the last term is the rounding of the subtraction), plus
    /// 2^-149 where the result is subnormal.
    #[inline]
    pub fn softmax(self, x: &mut [f32]) {
        arch::dispatch!(self.backend, softmax_f32(x));
    }

    /// Negative values become 0, in place. NaN stays NaN and -0 stays -0. Exact.
    #[inline]
    pub fn relu(self, x: &mut [f32]) {
        if x.len() < SHORT {
            return arch::portable::relu_f32(x);
        }
        arch::dispatch!(self.backend, relu_f32(x));
    }

    /// The logistic function `1 / (1 + exp(-x))`, in place.
    ///
    /// +∞ becomes 1, -∞ becomes 0, NaN stays NaN. Relative error at most 8 ε, plus 2^-149 where the
    /// result is subnormal.
    #[inline]
    pub fn sigmoid(self, x: &mut [f32]) {
        arch::dispatch!(self.backend, sigmoid_f32(x));
    }
}

#[inline]
#[track_caller]
fn same_length(kernel: &str, left: &str, n_left: usize, right: &str, n_right: usize) {
    if n_left != n_right {
        length_mismatch(kernel, left, n_left, right, n_right);
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn length_mismatch(kernel: &str, left: &str, n_left: usize, right: &str, n_right: usize) -> ! {
    panic!(
        "{kernel}: `{left}` has {n_left} elements, `{right}` has {n_right}; they must be the same"
    )
}

/// Checks the shapes; returns whether there is anything to add.
#[inline]
#[track_caller]
fn check_gather(
    kernel: &str,
    n_table: usize,
    indices: &[u32],
    n_weights: usize,
    width: usize,
) -> bool {
    same_length(kernel, "indices", indices.len(), "weights", n_weights);
    if width == 0 || indices.is_empty() {
        return false;
    }
    assert!(
        n_table.is_multiple_of(width),
        "{kernel}: `table` has {n_table} elements, not a whole number of rows of {width}"
    );
    let n_rows = n_table / width;
    // One pass without branches: vectorised, and far cheaper than the rows themselves.
    let largest = indices.iter().fold(0, |largest, &index| index.max(largest));
    assert!(
        (largest as usize) < n_rows,
        "{kernel}: index {largest} is out of range for a table of {n_rows} rows"
    );
    true
}

/// Whether a sum of squares in f32 can be trusted: no overflow, no NaN, nothing lost to underflow.
#[inline]
fn is_safe_sum(sum: f32) -> bool {
    (SMALLEST_SAFE_SUM..=f32::MAX).contains(&sum)
}

/// The norm in f64, where squares of f32 neither overflow nor underflow.
#[cold]
fn exact_norm(x: &[f32]) -> f64 {
    sqrt_f64(x.iter().fold(0.0, |sum, &v| sum + f64::from(v) * f64::from(v)))
}

#[cold]
fn normalize_exactly(x: &mut [f32]) -> f32 {
    let norm = exact_norm(x);
    if norm > 0.0 && norm.is_finite() {
        for v in x {
            *v = (f64::from(*v) / norm) as f32;
        }
    }
    norm as f32
}
