//! The kernels in plain Rust: the reference for every other back end, and the one that gives the
//! same bits on every platform.
//!
//! Sums run in [`LANES`] independent partial sums, which the compiler turns into vectors of
//! the target's default width. No function fuses a multiplication with an addition:
//! `mul_add` becomes a call into the C library where the target has no such instruction.

use super::exp;

/// Partial sums per reduction: four 128-bit vectors, enough to hide the latency of an addition.
const LANES: usize = 16;

pub(crate) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sum_lanes(lanes) + rest
}

pub(crate) fn sum_squares_f32(x: &[f32]) -> f32 {
    dot_f32(x, x)
}

/// Adds neighbours in pairs, so that the error grows with the logarithm of the number of lanes.
///
/// Not inlined: otherwise the compiler keeps the lanes of the preceding loops in pairs, too, of half a register
/// each.
#[inline(never)]
fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

pub(crate) fn scale_f32(alpha: f32, x: &mut [f32]) {
    for x in x {
        *x *= alpha;
    }
}

pub(crate) fn mul_assign_f32(x: &mut [f32], factors: &[f32]) {
    for (x, factor) in x.iter_mut().zip(factors) {
        *x *= factor;
    }
}

pub(crate) fn axpy_f32(alpha: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += alpha * x;
    }
}

pub(crate) fn fma_f32(a: &[f32], b: &[f32], c: &[f32], out: &mut [f32]) {
    for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
        *out = a * b + c;
    }
}

pub(crate) fn matvec_f32(matrix: &[f32], x: &[f32], out: &mut [f32]) {
    if x.is_empty() {
        out.fill(0.0);
        return;
    }
    for (row, out) in matrix.chunks_exact(x.len()).zip(out) {
        *out = dot_f32(row, x);
    }
}

pub(crate) fn gather_accumulate_f32(
    table: &[f32],
    indices: &[u32],
    weights: &[f32],
    out: &mut [f32],
) {
    for (&index, &weight) in indices.iter().zip(weights) {
        let row = &table[index as usize * out.len()..][..out.len()];
        axpy_f32(weight, row, out);
    }
}

pub(crate) fn gather_accumulate_i8(
    table: &[i8],
    indices: &[u32],
    weights: &[f32],
    out: &mut [f32],
) {
    for (&index, &weight) in indices.iter().zip(weights) {
        let row = &table[index as usize * out.len()..][..out.len()];
        for (out, &value) in out.iter_mut().zip(row) {
            *out += weight * f32::from(value);
        }
    }
}

pub(crate) fn relu_f32(x: &mut [f32]) {
    for x in x {
        // Not `max`, which would turn NaN into 0.
        *x = if *x < 0.0 { 0.0 } else { *x };
    }
}

pub(crate) fn softmax_f32(x: &mut [f32]) {
    let max = max_f32(x);
    let (blocks, rest) = x.as_chunks_mut::<LANES>();
    let mut lanes = [0.0; LANES];
    for block in blocks {
        for i in 0..LANES {
            block[i] = exp_nonpositive(block[i] - max);
            lanes[i] += block[i];
        }
    }
    let mut sum = sum_lanes(lanes);
    for x in rest {
        *x = exp_nonpositive(*x - max);
        sum += *x;
    }
    scale_f32(1.0 / sum, x);
}

/// The largest element except NaN; -∞ without any.
fn max_f32(x: &[f32]) -> f32 {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for block in blocks {
        for i in 0..LANES {
            lanes[i] = if block[i] > lanes[i] { block[i] } else { lanes[i] };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max })
}

pub(crate) fn sigmoid_f32(x: &mut [f32]) {
    for x in x {
        // exp(-|x|) cannot overflow, and is precise where the result is tiny.
        let e = exp_nonpositive(-x.abs());
        let s = 1.0 / (1.0 + e);
        *x = if *x >= 0.0 { s } else { e * s };
    }
}

/// 1.5 · 2^23: adding it rounds to an integer, which is then in the low bits.
const ROUND: f32 = 12_582_912.0;

/// `exp(x)` for `x <= 0` or NaN; see [`exp`] for the method.
#[inline]
fn exp_nonpositive(x: f32) -> f32 {
    let x = if x < exp::LOWEST { exp::LOWEST } else { x };
    let rounded = x * core::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * exp::LN2_HIGH - n * exp::LN2_LOW;
    let mut p = exp::C[0];
    for c in &exp::C[1..] {
        p = p * r + c;
    }
    let p = p * (r * r) + r + 1.0;
    // In two steps, since 2^n alone may be subnormal.
    let n = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n - half)
}

/// 2^n for n in -126..=127 (any value for other n, which occur with NaN only).
#[inline]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}
