//! The kernels, written once for all instruction sets that have a [`Vector`].
//!
//! Owns loops, the number of independent accumulators (a parameter, since latency × throughput is
//! the CPU's) and tails. Knows no intrinsic. Every function is inlined into a `#[target_feature]` entry
//! of an instruction set's module, and called from there only.
//!
//! Accumulators are indexed by constants of unrolled loops throughout: by iterator, or by an index
//! known at run time only, they would have to live in memory.
#![allow(clippy::needless_range_loop)]

use super::exp;
use super::vector::Vector;

/// Each accumulator waits for itself only, so `N` multiplications are in flight at a time.
#[inline(always)]
pub(super) fn dot<S: Vector, const N: usize>(s: S, a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = S::blocks(a);
    let (b_blocks, b_rest) = S::blocks(b);
    let (a_groups, a_left) = a_blocks.as_chunks::<N>();
    let (b_groups, b_left) = b_blocks.as_chunks::<N>();
    let mut sums = [s.splat(0.0); N];
    for (a, b) in a_groups.iter().zip(b_groups) {
        for i in 0..N {
            sums[i] = s.mul_add(s.load(&a[i]), s.load(&b[i]), sums[i]);
        }
    }
    for i in 0..N {
        if let (Some(a), Some(b)) = (a_left.get(i), b_left.get(i)) {
            sums[i] = s.mul_add(s.load(a), s.load(b), sums[i]);
        }
    }
    if !a_rest.is_empty() {
        sums[N - 1] = s.mul_add(s.load_partial(a_rest), s.load_partial(b_rest), sums[N - 1]);
    }
    s.sum(sum_registers(s, sums))
}

#[inline(always)]
pub(super) fn sum_squares<S: Vector, const N: usize>(s: S, x: &[f32]) -> f32 {
    let (blocks, rest) = S::blocks(x);
    let (groups, left) = blocks.as_chunks::<N>();
    let mut sums = [s.splat(0.0); N];
    for x in groups {
        for i in 0..N {
            let x = s.load(&x[i]);
            sums[i] = s.mul_add(x, x, sums[i]);
        }
    }
    for i in 0..N {
        if let Some(x) = left.get(i) {
            let x = s.load(x);
            sums[i] = s.mul_add(x, x, sums[i]);
        }
    }
    if !rest.is_empty() {
        let x = s.load_partial(rest);
        sums[N - 1] = s.mul_add(x, x, sums[N - 1]);
    }
    s.sum(sum_registers(s, sums))
}

/// Adds registers in pairs, so that one horizontal sum is left.
#[inline(always)]
fn sum_registers<S: Vector, const N: usize>(s: S, mut x: [S::Reg; N]) -> S::Reg {
    const { assert!(N.is_power_of_two()) }
    let mut width = N / 2;
    while width > 0 {
        for i in 0..width {
            x[i] = s.add(x[i], x[i + width]);
        }
        width /= 2;
    }
    x[0]
}

/// Blocks that the cheap elementwise kernels process at a time: loads and stores can then be paired where
/// the CPU supports that, and the loop's own instructions cost less.
const UNROLL: usize = 4;

/// `x[i] = op(x[i])`.
///
/// `op` must be a closure of an entry, which shares the entry's target features. One made in this module
/// does not: should the compiler not inline it, each of its intrinsics would become a call.
#[inline(always)]
pub(super) fn map<S: Vector>(s: S, x: &mut [f32], op: impl Fn(S::Reg) -> S::Reg) {
    let (blocks, rest) = S::blocks_mut(x);
    let (groups, left) = blocks.as_chunks_mut::<UNROLL>();
    for group in groups {
        let mut regs = [s.splat(0.0); UNROLL];
        for i in 0..UNROLL {
            regs[i] = op(s.load(&group[i]));
        }
        for i in 0..UNROLL {
            s.store(&mut group[i], regs[i]);
        }
    }
    for x in left {
        s.store(x, op(s.load(x)));
    }
    if !rest.is_empty() {
        s.store_partial(rest, op(s.load_partial(rest)));
    }
}

/// `x[i] *= alpha`.
#[inline(always)]
pub(super) fn scale<S: Vector>(s: S, alpha: f32, x: &mut [f32]) {
    let alpha = s.splat(alpha);
    let (blocks, rest) = S::blocks_mut(x);
    let (groups, left) = blocks.as_chunks_mut::<UNROLL>();
    for group in groups {
        let mut regs = [alpha; UNROLL];
        for i in 0..UNROLL {
            regs[i] = s.mul(alpha, s.load(&group[i]));
        }
        for i in 0..UNROLL {
            s.store(&mut group[i], regs[i]);
        }
    }
    for x in left {
        s.store(x, s.mul(alpha, s.load(x)));
    }
    if !rest.is_empty() {
        s.store_partial(rest, s.mul(alpha, s.load_partial(rest)));
    }
}

/// `y[i] = op(x[i], y[i])`.
#[inline(always)]
pub(super) fn zip_map<S: Vector>(
    s: S,
    x: &[f32],
    y: &mut [f32],
    op: impl Fn(S::Reg, S::Reg) -> S::Reg,
) {
    let (x_blocks, x_rest) = S::blocks(x);
    let (y_blocks, y_rest) = S::blocks_mut(y);
    let (x_groups, x_left) = x_blocks.as_chunks::<UNROLL>();
    let (y_groups, y_left) = y_blocks.as_chunks_mut::<UNROLL>();
    for (x, y) in x_groups.iter().zip(y_groups) {
        let mut regs = [s.splat(0.0); UNROLL];
        for i in 0..UNROLL {
            regs[i] = op(s.load(&x[i]), s.load(&y[i]));
        }
        for i in 0..UNROLL {
            s.store(&mut y[i], regs[i]);
        }
    }
    for (x, y) in x_left.iter().zip(y_left) {
        s.store(y, op(s.load(x), s.load(y)));
    }
    if !y_rest.is_empty() {
        s.store_partial(y_rest, op(s.load_partial(x_rest), s.load_partial(y_rest)));
    }
}

#[inline(always)]
pub(super) fn fma<S: Vector>(s: S, a: &[f32], b: &[f32], c: &[f32], out: &mut [f32]) {
    let (a_blocks, a_rest) = S::blocks(a);
    let (b_blocks, b_rest) = S::blocks(b);
    let (c_blocks, c_rest) = S::blocks(c);
    let (out_blocks, out_rest) = S::blocks_mut(out);
    for (((a, b), c), out) in a_blocks.iter().zip(b_blocks).zip(c_blocks).zip(out_blocks) {
        s.store(out, s.mul_add(s.load(a), s.load(b), s.load(c)));
    }
    if !out_rest.is_empty() {
        let (a, b, c) = (s.load_partial(a_rest), s.load_partial(b_rest), s.load_partial(c_rest));
        s.store_partial(out_rest, s.mul_add(a, b, c));
    }
}

/// Floats of a matrix that may well lie in the first-level cache.
const FIRST_LEVEL: usize = 6 << 10;

/// Four rows at a time share each load of `x` and one horizontal sum.
#[inline(always)]
pub(super) fn matvec<S: Vector, const N: usize>(s: S, matrix: &[f32], x: &[f32], out: &mut [f32]) {
    if x.is_empty() {
        out.fill(0.0);
        return;
    }
    let (out_groups, out_left) = out.as_chunks_mut::<4>();
    let mut groups = matrix.chunks_exact(4 * x.len());
    if matrix.len() <= FIRST_LEVEL {
        for (rows, out) in groups.by_ref().zip(out_groups) {
            *out = dot4::<S, false>(s, rows, rows, x);
        }
    } else {
        let mut following = matrix.chunks_exact(4 * x.len()).skip(1);
        for (rows, out) in groups.by_ref().zip(out_groups) {
            *out = dot4::<S, true>(s, rows, following.next().unwrap_or(rows), x);
        }
    }
    for (row, out) in groups.remainder().chunks_exact(x.len()).zip(out_left) {
        *out = dot::<S, N>(s, row, x);
    }
}

/// The products of `x` with four consecutive rows. With `PREFETCH` it prefetches the `following` four rows
/// meanwhile: the CPU's own prefetching restarts with every row, too late for short rows.
#[inline(always)]
fn dot4<S: Vector, const PREFETCH: bool>(
    s: S,
    rows: &[f32],
    following: &[f32],
    x: &[f32],
) -> [f32; 4] {
    let (x_blocks, x_rest) = S::blocks(x);
    let n_blocks = x_blocks.len();
    let row = |i: usize| S::blocks(&rows[i * x.len()..][..x.len()]);
    let rows = [row(0), row(1), row(2), row(3)];
    // Cut to a length that the compiler can see is the same: no checks inside the loop.
    let blocks = rows.map(|(blocks, _)| &blocks[..n_blocks]);
    let following = &S::blocks(following).0[..4 * n_blocks];
    let mut sums = [s.splat(0.0); 4];
    for j in 0..n_blocks {
        let x = s.load(&x_blocks[j]);
        for i in 0..4 {
            if PREFETCH {
                s.prefetch(&following[4 * j + i]);
            }
            sums[i] = s.mul_add(s.load(&blocks[i][j]), x, sums[i]);
        }
    }
    if !x_rest.is_empty() {
        let x = s.load_partial(x_rest);
        for i in 0..4 {
            sums[i] = s.mul_add(s.load_partial(rows[i].1), x, sums[i]);
        }
    }
    s.sum4(sums)
}

/// Full blocks, and the elements after them.
type Split<T, B> = fn(&[T]) -> (&[B], &[T]);

/// A table of rows, the type of whose elements comes with the functions that read it.
pub(super) struct Rows<'a, T, B, L, P> {
    pub(super) table: &'a [T],
    pub(super) width: usize,
    pub(super) blocks: Split<T, B>,
    pub(super) load: L,
    pub(super) load_partial: P,
}

/// Adds rows in the order of the indices. As many columns as registers allow go at a time, so that `out` is
/// loaded and stored once and a row of up to eight registers is read front to back.
#[inline(always)]
pub(super) fn gather_accumulate<S: Vector, T, B, L: Fn(&B) -> S::Reg, P: Fn(&[T]) -> S::Reg>(
    s: S,
    rows: &Rows<'_, T, B, L, P>,
    indices: &[u32],
    weights: &[f32],
    out: &mut [f32],
) {
    let (blocks, rest) = S::blocks_mut(out);
    let mut from = 0;
    let (eights, blocks) = blocks.as_chunks_mut::<8>();
    for eight in eights {
        from = gather_columns(s, rows, indices, weights, from, eight);
    }
    let (fours, blocks) = blocks.as_chunks_mut::<4>();
    for four in fours {
        from = gather_columns(s, rows, indices, weights, from, four);
    }
    let (twos, ones) = blocks.as_chunks_mut::<2>();
    for two in twos {
        from = gather_columns(s, rows, indices, weights, from, two);
    }
    let (ones, _) = ones.as_chunks_mut::<1>();
    for one in ones {
        from = gather_columns(s, rows, indices, weights, from, one);
    }
    if !rest.is_empty() {
        let mut sum = s.load_partial(rest);
        for (&index, &weight) in indices.iter().zip(weights) {
            let row = &rows.table[index as usize * rows.width + from..][..rest.len()];
            sum = s.mul_add(s.splat(weight), (rows.load_partial)(row), sum);
        }
        s.store_partial(rest, sum);
    }
}

/// `N` registers of columns from `from`; returns where the next begin.
#[inline(always)]
fn gather_columns<S: Vector, T, B, L: Fn(&B) -> S::Reg, P, const N: usize>(
    s: S,
    rows: &Rows<'_, T, B, L, P>,
    indices: &[u32],
    weights: &[f32],
    from: usize,
    out: &mut [S::Block; N],
) -> usize {
    let n_columns = N * S::LANES;
    let mut sums = [s.splat(0.0); N];
    for i in 0..N {
        sums[i] = s.load(&out[i]);
    }
    for (&index, &weight) in indices.iter().zip(weights) {
        let weight = s.splat(weight);
        let row = &rows.table[index as usize * rows.width + from..][..n_columns];
        let row = (rows.blocks)(row).0;
        for i in 0..N {
            sums[i] = s.mul_add(weight, (rows.load)(&row[i]), sums[i]);
        }
    }
    for i in 0..N {
        s.store(&mut out[i], sums[i]);
    }
    from + n_columns
}

/// Three passes: the maximum, the exponentials with their sum, the division.
#[inline(always)]
pub(super) fn softmax<S: Vector>(s: S, x: &mut [f32]) {
    let max = s.splat(max(s, x));
    let mut sum = s.splat(0.0);
    let (blocks, rest) = S::blocks_mut(x);
    for block in blocks {
        let e = exp_nonpositive(s, s.sub(s.load(block), max));
        sum = s.add(sum, e);
        s.store(block, e);
    }
    // The tail stays in a register: to load what was just stored by mask would wait for the store. The
    // lanes behind it are exp(-∞) = 0.
    let tail = exp_nonpositive(s, s.sub(s.load_partial_or(rest, f32::NEG_INFINITY), max));
    if !rest.is_empty() {
        sum = s.add(sum, tail);
    }
    let alpha = 1.0 / s.sum(sum);
    if !rest.is_empty() {
        s.store_partial(rest, s.mul(tail, s.splat(alpha)));
    }
    let n_rest = rest.len();
    let whole = x.len() - n_rest;
    scale(s, alpha, &mut x[..whole]);
}

/// The largest element, or anything not below it where one is NaN; -∞ for an empty slice.
#[inline(always)]
fn max<S: Vector>(s: S, x: &[f32]) -> f32 {
    const N: usize = 4;
    let (blocks, rest) = S::blocks(x);
    let (groups, left) = blocks.as_chunks::<N>();
    let mut largest = [s.splat(f32::NEG_INFINITY); N];
    for x in groups {
        for i in 0..N {
            largest[i] = s.max(largest[i], s.load(&x[i]));
        }
    }
    for i in 0..N {
        if let Some(x) = left.get(i) {
            largest[i] = s.max(largest[i], s.load(x));
        }
    }
    if !rest.is_empty() {
        largest[N - 1] = s.max(largest[N - 1], s.load_partial_or(rest, f32::NEG_INFINITY));
    }
    let [a, b, c, d] = largest;
    s.max_lane(s.max(s.max(a, b), s.max(c, d)))
}

#[inline(always)]
pub(super) fn sigmoid<S: Vector>(s: S, x: &mut [f32]) {
    let (blocks, rest) = S::blocks_mut(x);
    for x in blocks {
        s.store(x, logistic(s, s.load(x)));
    }
    if !rest.is_empty() {
        s.store_partial(rest, logistic(s, s.load_partial(rest)));
    }
}

#[inline(always)]
fn logistic<S: Vector>(s: S, x: S::Reg) -> S::Reg {
    // exp(-|x|) cannot overflow, and keeps its digits where the result is tiny.
    let e = exp_nonpositive(s, s.neg_abs(x));
    let one = s.splat(1.0);
    s.div(s.select_by_sign(x, e, one), s.add(one, e))
}

/// `exp(x)` for `x <= 0` or NaN; see [`exp`] for the method.
#[inline(always)]
fn exp_nonpositive<S: Vector>(s: S, x: S::Reg) -> S::Reg {
    // In this order `max` hands a NaN in `x` on.
    let x = s.max(s.splat(exp::LOWEST), x);
    let n = s.round(s.mul(x, s.splat(core::f32::consts::LOG2_E)));
    let r = s.mul_sub_from(n, s.splat(exp::LN2_HIGH), x);
    let r = s.mul_sub_from(n, s.splat(exp::LN2_LOW), r);
    let mut p = s.splat(exp::C[0]);
    for &c in &exp::C[1..] {
        p = s.mul_add(p, r, s.splat(c));
    }
    let p = s.add(s.mul_add(p, s.mul(r, r), r), s.splat(1.0));
    s.scale_by_power_of_two(p, n)
}
