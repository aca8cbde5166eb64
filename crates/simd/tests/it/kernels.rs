//! Each kernel × back end × length 0..=257 × placement, against an f64 oracle with the error limit
//! that its documentation states. All slices lie in guarded memory.

use majordomo_simd::Kernels;

use crate::guarded::{Guarded, PLACES, Place};
use crate::support::{EPSILON, Numbers, SUBNORMAL_ULP, all_kernels, assert_close, oracle_dot};

const LENGTHS: std::ops::RangeInclusive<usize> = 0..=257;

/// Lengths with every kind of tail, for kernels with two dimensions.
const WIDTHS: [usize; 14] = [0, 1, 3, 4, 7, 8, 15, 16, 17, 33, 64, 100, 129, 257];

/// Runs `check` for every back end, length and placement.
fn for_all(mut check: impl FnMut(Kernels, usize, Place)) {
    for kernels in all_kernels() {
        for n in LENGTHS {
            for place in PLACES {
                check(kernels, n, place);
            }
        }
    }
}

fn buffers<const N: usize>(n_bytes: usize) -> [Guarded; N] {
    std::array::from_fn(|_| Guarded::new(n_bytes))
}

fn assert_intact(buffers: &[Guarded], what: &dyn std::fmt::Debug) {
    assert!(buffers.iter().all(Guarded::is_intact), "{what:?}: wrote beyond its slice");
}

#[test]
fn dot() {
    let mut numbers = Numbers(1);
    let mut memory = buffers::<2>(2000);
    for_all(|kernels, n, place| {
        let what = (kernels.backend(), n, place);
        let (a, b) = (numbers.vector(n), numbers.vector(n));
        let [left, right] = &mut memory;
        let found = kernels.dot(left.place(&a, place), right.place(&b, place));
        let (sum, size) = oracle_dot(&a, &b);
        assert_close(found, sum, (n as f64 / 16.0 + 12.0) * EPSILON * size, &what);
        assert_intact(&memory, &what);
    });
}

#[test]
fn l2_norm_and_normalize() {
    let mut numbers = Numbers(2);
    let [mut memory] = buffers(2000);
    for_all(|kernels, n, place| {
        let what = (kernels.backend(), n, place);
        // Every third vector is far outside the range in which the squares are f32.
        let scale = [1.0, 1e30, 1e-30][n % 3];
        let x: Vec<f32> = numbers.vector(n).iter().map(|x| x * scale).collect();
        let expected = oracle_dot(&x, &x).0.sqrt();
        let slice = memory.place(&x, place);
        let found = kernels.l2_norm(slice);
        assert_close(found, expected, (n as f64 / 32.0 + 8.0) * EPSILON * expected, &what);
        let returned = kernels.normalize(slice);
        assert_eq!(found.to_bits(), returned.to_bits(), "{what:?}");
        for (&found, &x) in slice.iter().zip(&x) {
            let expected = f64::from(x) / expected;
            let limit = (n as f64 / 32.0 + 11.0) * EPSILON * expected.abs() + SUBNORMAL_ULP;
            assert_close(found, expected, limit, &what);
        }
        assert!(memory.is_intact(), "{what:?}");
    });
}

#[test]
fn mul_assign() {
    let mut numbers = Numbers(3);
    let mut memory = buffers::<2>(2000);
    for_all(|kernels, n, place| {
        let what = (kernels.backend(), n, place);
        let (x, factors) = (numbers.vector(n), numbers.vector(n));
        let [left, right] = &mut memory;
        let slice = left.place(&x, place);
        kernels.mul_assign(slice, right.place(&factors, place));
        let expected: Vec<f32> = x.iter().zip(&factors).map(|(x, factor)| x * factor).collect();
        assert_eq!(slice, expected, "{what:?}");
        assert_intact(&memory, &what);
    });
}

#[test]
fn axpy() {
    let mut numbers = Numbers(4);
    let mut memory = buffers::<2>(2000);
    for_all(|kernels, n, place| {
        let what = (kernels.backend(), n, place);
        let (alpha, x, y) = (numbers.next_f32(), numbers.vector(n), numbers.vector(n));
        let [left, right] = &mut memory;
        let slice = right.place(&y, place);
        kernels.axpy(alpha, left.place(&x, place), slice);
        for ((&found, &x), &y) in slice.iter().zip(&x).zip(&y) {
            let product = f64::from(alpha) * f64::from(x);
            let expected = product + f64::from(y);
            let limit = EPSILON * (product.abs() + expected.abs() * 1.001);
            assert_close(found, expected, limit, &what);
        }
        assert_intact(&memory, &what);
    });
}

#[test]
fn fma() {
    let mut numbers = Numbers(5);
    let mut memory = buffers::<4>(2000);
    for_all(|kernels, n, place| {
        let what = (kernels.backend(), n, place);
        let [a, b, c] = std::array::from_fn(|_| numbers.vector(n));
        let [a_memory, b_memory, c_memory, out] = &mut memory;
        let out = out.place(&vec![f32::NAN; n], place);
        let (left, right) = (a_memory.place(&a, place), b_memory.place(&b, place));
        kernels.fma(left, right, c_memory.place(&c, place), out);
        for i in 0..n {
            let product = f64::from(a[i]) * f64::from(b[i]);
            let expected = product + f64::from(c[i]);
            let limit = EPSILON * (product.abs() + expected.abs() * 1.001);
            assert_close(out[i], expected, limit, &what);
        }
        assert_intact(&memory, &what);
    });
}

#[test]
fn matvec() {
    let mut numbers = Numbers(6);
    let mut memory = buffers::<3>(4 * 6 * 257);
    for_all(|kernels, n_columns, place| {
        for n_rows in [1, 4, 6] {
            let what = (kernels.backend(), n_rows, n_columns, place);
            let (matrix, x) = (numbers.vector(n_rows * n_columns), numbers.vector(n_columns));
            let [matrix_memory, x_memory, out] = &mut memory;
            let out = out.place(&vec![f32::NAN; n_rows], place);
            kernels.matvec(matrix_memory.place(&matrix, place), x_memory.place(&x, place), out);
            for (i, &found) in out.iter().enumerate() {
                let (sum, size) = oracle_dot(&matrix[i * n_columns..][..n_columns], &x);
                assert_close(found, sum, (n_columns as f64 / 4.0 + 12.0) * EPSILON * size, &what);
            }
            assert_intact(&memory, &what);
        }
    });
}

/// Indices with repeats, the first row and the last.
fn indices(numbers: &mut Numbers, n: usize, n_rows: usize) -> Vec<u32> {
    let mut indices: Vec<u32> = (0..n).map(|_| numbers.next_u32() % n_rows as u32).collect();
    indices.extend([0, n_rows as u32 - 1, n_rows as u32 - 1]);
    indices
}

/// The limits of `axpy`, once per row and in the order of the indices.
#[test]
fn gather_accumulate() {
    let mut numbers = Numbers(7);
    let mut memory = buffers::<4>(4 * 7 * 257);
    for kernels in all_kernels() {
        for (width, place) in LENGTHS.flat_map(|n| PLACES.map(|place| (n, place))) {
            let what = (kernels.backend(), width, place);
            let table = numbers.vector(7 * width);
            let indices = indices(&mut numbers, width % 6, 7);
            let weights = numbers.vector(indices.len());
            let start = numbers.vector(width);

            // (sum, limit) by column
            let mut expected: Vec<(f64, f64)> = start.iter().map(|&x| (x.into(), 0.0)).collect();
            for (&index, &weight) in indices.iter().zip(&weights) {
                let row = &table[index as usize * width..][..width];
                for ((sum, limit), &x) in expected.iter_mut().zip(row) {
                    let product = f64::from(weight) * f64::from(x);
                    *sum += product;
                    *limit += EPSILON * (product.abs() + sum.abs() * 1.001);
                }
            }
            let [table_memory, index_memory, weight_memory, out] = &mut memory;
            let out = out.place(&start, place);
            kernels.gather_accumulate(
                table_memory.place(&table, place),
                index_memory.place(&indices, place),
                weight_memory.place(&weights, place),
                out,
            );
            for (&found, &(sum, limit)) in out.iter().zip(&expected) {
                assert_close(found, sum, limit, &what);
            }
            assert_intact(&memory, &what);
        }
    }
}

/// The same as the f32 kernel on the same numbers, to the bit.
#[test]
fn gather_accumulate_i8() {
    let mut numbers = Numbers(8);
    let mut memory = buffers::<4>(4 * 7 * 257);
    for kernels in all_kernels() {
        for (width, place) in LENGTHS.flat_map(|n| PLACES.map(|place| (n, place))) {
            let what = (kernels.backend(), width, place);
            let table: Vec<i8> = (0..7 * width).map(|_| numbers.next_u32() as i8).collect();
            let as_floats: Vec<f32> = table.iter().map(|&x| f32::from(x)).collect();
            let indices = indices(&mut numbers, width % 6, 7);
            let weights = numbers.vector(indices.len());
            let start = numbers.vector(width);

            let mut expected = start.clone();
            kernels.gather_accumulate(&as_floats, &indices, &weights, &mut expected);
            let [table_memory, index_memory, weight_memory, out] = &mut memory;
            let out = out.place(&start, place);
            kernels.gather_accumulate_i8(
                table_memory.place(&table, place),
                index_memory.place(&indices, place),
                weight_memory.place(&weights, place),
                out,
            );
            assert_eq!(out, expected, "{what:?}");
            assert_intact(&memory, &what);
        }
    }
}

#[test]
fn softmax() {
    let mut numbers = Numbers(9);
    let [mut memory] = buffers(2000);
    for_all(|kernels, n, place| {
        let what = (kernels.backend(), n, place);
        let spread = [1.0, 10.0, 200.0][n % 3];
        let x: Vec<f32> = numbers.vector(n).iter().map(|x| x * spread).collect();
        let slice = memory.place(&x, place);
        kernels.softmax(slice);

        let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exponents = x.iter().map(|&x| f64::from(x) - f64::from(max));
        let sum: f64 = exponents.clone().map(f64::exp).sum();
        for (&found, exponent) in slice.iter().zip(exponents) {
            let expected = exponent.exp() / sum;
            let relative = (n as f64 / 4.0 + 16.0 + exponent.abs()) * EPSILON;
            assert_close(found, expected, relative * expected + SUBNORMAL_ULP, &what);
        }
        assert!(memory.is_intact(), "{what:?}");
    });
}

#[test]
fn relu() {
    let mut numbers = Numbers(10);
    let [mut memory] = buffers(2000);
    for_all(|kernels, n, place| {
        let x = numbers.vector(n);
        let slice = memory.place(&x, place);
        kernels.relu(slice);
        let expected: Vec<f32> = x.iter().map(|&x| if x < 0.0 { 0.0 } else { x }).collect();
        assert_eq!(slice, expected, "{:?}", (kernels.backend(), n, place));
        assert!(memory.is_intact(), "{:?}", (kernels.backend(), n, place));
    });
}

#[test]
fn sigmoid() {
    let mut numbers = Numbers(11);
    let [mut memory] = buffers(2000);
    for_all(|kernels, n, place| {
        let what = (kernels.backend(), n, place);
        let x: Vec<f32> = numbers.vector(n).iter().map(|x| x * 20.0).collect();
        let slice = memory.place(&x, place);
        kernels.sigmoid(slice);
        for (&found, &x) in slice.iter().zip(&x) {
            let expected = 1.0 / (1.0 + (-f64::from(x)).exp());
            assert_close(found, expected, 8.0 * EPSILON * expected, &(what, x));
        }
        assert!(memory.is_intact(), "{what:?}");
    });
}

/// Over the whole range of f32, subnormal results included.
#[test]
fn sigmoid_and_softmax_over_all_exponents() {
    for kernels in all_kernels() {
        for first in (0..=u32::MAX).step_by(16_411 * 64) {
            let bits = (0..64).filter_map(|i| first.checked_add(i * 16_411));
            let x: Vec<f32> = bits.map(f32::from_bits).collect();
            let mut found = x.clone();
            kernels.sigmoid(&mut found);
            for (&found, &x) in found.iter().zip(&x) {
                let expected = 1.0 / (1.0 + (-f64::from(x)).exp());
                let limit = 8.0 * EPSILON * expected + SUBNORMAL_ULP;
                assert_close(found, expected, limit, &(kernels.backend(), x));
            }
        }
        // A softmax of (0, x) is the exponential itself, divided by 1 + exp(x).
        for step in 0..4000 {
            let x = -110.0 * step as f32 / 4000.0;
            let mut found = [x, 0.0];
            kernels.softmax(&mut found);
            let e = f64::from(x).exp();
            let limit = 8.0 * EPSILON * e + SUBNORMAL_ULP;
            assert_close(found[0], e / (1.0 + e), limit, &(kernels.backend(), x));
        }
    }
}

/// Sums long enough for every unrolled loop, at one placement.
#[test]
fn long_vectors() {
    let mut numbers = Numbers(12);
    for kernels in all_kernels() {
        for n in [1000, 4096, 65_537] {
            let (a, b) = (numbers.vector(n), numbers.vector(n));
            let (sum, size) = oracle_dot(&a, &b);
            let limit = (n as f64 / 16.0 + 12.0) * EPSILON * size;
            assert_close(kernels.dot(&a, &b), sum, limit, &(kernels.backend(), n));
        }
        for width in WIDTHS {
            let n_rows = 40 + width % 4;
            let (matrix, x) = (numbers.vector(width * n_rows), numbers.vector(width));
            let mut out = vec![f32::NAN; n_rows];
            kernels.matvec(&matrix, &x, &mut out);
            for (i, &found) in out.iter().enumerate() {
                let (sum, size) = oracle_dot(&matrix[i * width..][..width], &x);
                let limit = (width as f64 / 4.0 + 12.0) * EPSILON * size;
                assert_close(found, sum, limit, &(kernels.backend(), width));
            }
        }
    }
}
