//! Empty slices, NaN, infinities, zeros, subnormals and overflow give the documented results on every
//! back end and at every position of the slice.

use majordomo_simd::{Backend, Kernels, hash_bytes};

use crate::support::{Numbers, SUBNORMAL_ULP, all_kernels};

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;
const TINY: f32 = f32::from_bits(1);

/// Equal, or both NaN; zeros must have the same sign.
#[track_caller]
fn assert_same(found: &[f32], expected: &[f32], what: &dyn std::fmt::Debug) {
    let same = |a: &f32, b: &f32| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    let all = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| same(a, b));
    assert!(all, "{what:?}: {found:?}, not {expected:?}");
}

/// Applies an in-place kernel to `x` at every position of a vector otherwise made of `filler`.
fn everywhere(filler: f32, x: f32, mut check: impl FnMut(Kernels, usize, Vec<f32>)) {
    for kernels in all_kernels() {
        for n in [1, 2, 5, 16, 31, 70, 130] {
            for position in 0..n {
                let mut vector = vec![filler; n];
                vector[position] = x;
                check(kernels, position, vector);
            }
        }
    }
}

#[test]
fn empty_slices() {
    for kernels in all_kernels() {
        assert_same(&[kernels.dot(&[], &[])], &[0.0], &kernels);
        assert_same(&[kernels.l2_norm(&[]), kernels.normalize(&mut [])], &[0.0, 0.0], &kernels);
        kernels.softmax(&mut []);
        kernels.relu(&mut []);
        kernels.sigmoid(&mut []);
        kernels.mul_assign(&mut [], &[]);
        kernels.axpy(1.0, &[], &mut []);
        kernels.fma(&[], &[], &[], &mut []);
        kernels.gather_accumulate(&[], &[], &[], &mut []);
        kernels.gather_accumulate_i8(&[], &[3], &[1.0], &mut []);
        kernels.matvec(&[], &[1.0], &mut []);
        let mut out = [NAN; 7];
        kernels.matvec(&[], &[], &mut out);
        assert_same(&out, &[0.0; 7], &kernels);
        // No index, no change.
        kernels.gather_accumulate(&[], &[], &[], &mut out);
        assert_same(&out, &[0.0; 7], &kernels);
    }
}

#[test]
fn special_element_determines_a_sum() {
    for (x, expected) in [(NAN, NAN), (INF, INF), (-INF, -INF)] {
        everywhere(1.0, x, |kernels, position, vector| {
            let ones = vec![1.0; vector.len()];
            let what = (kernels.backend(), position, vector.len(), x);
            assert_same(&[kernels.dot(&vector, &ones)], &[expected], &what);
            assert_same(&[kernels.dot(&ones, &vector)], &[expected], &what);
            let mut out = [0.0];
            kernels.matvec(&vector, &ones, &mut out);
            assert_same(&out, &[expected], &what);
            assert_same(&[kernels.l2_norm(&vector)], &[expected.abs()], &what);
            // Infinity times zero.
            let zeros = vec![0.0; vector.len()];
            assert_same(&[kernels.dot(&vector, &zeros)], &[NAN], &what);
        });
    }
    everywhere(1.0, INF, |kernels, position, mut vector| {
        let ones = vec![1.0; vector.len()];
        vector.push(-INF);
        let what = (kernels.backend(), position, vector.len());
        let sum = kernels.dot(&vector, &[ones.as_slice(), &[1.0]].concat());
        assert_same(&[sum], &[NAN], &what);
    });
}

#[test]
fn vector_without_direction_is_unchanged() {
    for x in [0.0, -0.0, INF, -INF, NAN] {
        everywhere(0.0, x, |kernels, position, mut vector| {
            let what = (kernels.backend(), position, vector.len(), x);
            let before = vector.clone();
            let norm = kernels.normalize(&mut vector);
            assert_same(&vector, &before, &what);
            assert_same(&[norm], &[x.abs()], &what);
        });
    }
}

#[test]
fn norms_neither_overflow_nor_underflow() {
    for x in [TINY, 1e-42, 1e-25, 2e-13, 1e19, 3e38, f32::MAX, -1e-40] {
        everywhere(0.0, x, |kernels, position, mut vector| {
            let what = (kernels.backend(), position, vector.len(), x);
            let norm = kernels.normalize(&mut vector);
            let off = (f64::from(norm) - f64::from(x.abs())).abs();
            assert!(off <= 1e-6 * f64::from(x.abs()), "{what:?}: {norm}");
            assert!((vector[position].abs() - 1.0).abs() < 1e-6, "{what:?}: {}", vector[position]);
        });
    }
    for kernels in all_kernels() {
        // A norm beyond f32 is infinite, but the direction is found.
        let mut vector = [f32::MAX; 4];
        assert_same(&[kernels.normalize(&mut vector)], &[INF], &kernels);
        assert_same(&vector, &[0.5; 4], &kernels);
    }
}

#[test]
fn softmax_special_values() {
    for x in [NAN, INF] {
        everywhere(0.5, x, |kernels, position, mut vector| {
            kernels.softmax(&mut vector);
            let what = (kernels.backend(), position, vector.len(), x);
            assert!(vector.iter().all(|x| x.is_nan()), "{what:?}: {vector:?}");
        });
    }
    everywhere(7.0, -INF, |kernels, position, mut vector| {
        let n = vector.len();
        kernels.softmax(&mut vector);
        let what = (kernels.backend(), position, n);
        if n == 1 {
            assert_same(&vector, &[NAN], &what);
        } else {
            assert_same(&[vector[position]], &[0.0], &what);
            let sum: f32 = vector.iter().sum();
            assert!((sum - 1.0).abs() < 1e-5, "{what:?}: {vector:?}");
        }
    });
    // A score far above the others has probability 1; equal scores share.
    everywhere(-1e30, 3e30, |kernels, position, mut vector| {
        kernels.softmax(&mut vector);
        let what = (kernels.backend(), position, vector.len());
        let mut expected = vec![0.0; vector.len()];
        expected[position] = 1.0;
        assert_same(&vector, &expected, &what);
    });
}

#[test]
fn elementwise_special_values() {
    let cases = [
        (NAN, NAN, NAN),
        (INF, INF, 1.0),
        (-INF, 0.0, 0.0),
        (0.0, 0.0, 0.5),
        (-0.0, -0.0, 0.5),
        (TINY, TINY, 0.5),
        (-TINY, 0.0, 0.5),
        (-1e30, 0.0, 0.0),
        (1e30, 1e30, 1.0),
    ];
    for (x, relu, sigmoid) in cases {
        everywhere(0.0, x, |kernels, position, vector| {
            let what = (kernels.backend(), position, vector.len(), x);
            let mut found = vector.clone();
            kernels.relu(&mut found);
            let mut expected = vec![0.0; vector.len()];
            expected[position] = relu;
            assert_same(&found, &expected, &what);

            let mut found = vector.clone();
            kernels.sigmoid(&mut found);
            let mut expected = vec![0.5; vector.len()];
            expected[position] = sigmoid;
            assert_same(&found, &expected, &what);
        });
    }
}

#[test]
fn products_keep_ieee_special_values() {
    for (x, y, product) in [
        (NAN, 1.0, NAN),
        (INF, -2.0, -INF),
        (INF, 0.0, NAN),
        (TINY, 0.25, 0.0),
        (TINY, 2.0, 2.0 * TINY),
    ] {
        everywhere(1.0, x, |kernels, position, vector| {
            let what = (kernels.backend(), position, vector.len(), x, y);
            let factors = vec![y; vector.len()];
            let zeros = vec![0.0; vector.len()];
            let mut expected = factors.clone();
            expected[position] = product;

            let mut found = vector.clone();
            kernels.mul_assign(&mut found, &factors);
            assert_same(&found, &expected, &what);
            let mut found = zeros.clone();
            kernels.axpy(y, &vector, &mut found);
            assert_same(&found, &expected, &what);
            let mut found = vec![NAN; vector.len()];
            kernels.fma(&vector, &factors, &zeros, &mut found);
            assert_same(&found, &expected, &what);
        });
    }
}

#[test]
fn subnormals_are_not_flushed_to_zero() {
    for kernels in all_kernels() {
        for n in 1..=70 {
            let x = vec![TINY; n];
            let big = vec![1e30; n];
            let expected = n as f64 * SUBNORMAL_ULP * 1e30;
            let found = f64::from(kernels.dot(&x, &big));
            assert!((found - expected).abs() < 1e-5 * expected, "{kernels:?} {n}: {found}");
        }
    }
}

/// The portable back end gives these bits on every platform, so states and records compare across machines.
#[test]
fn portable_bits_are_the_same_on_every_platform() {
    let kernels = Kernels::with(Backend::Portable).unwrap();
    let mut numbers = Numbers(13);
    let (mut a, b) = (numbers.vector(203), numbers.vector(203));
    let mut bits = vec![kernels.dot(&a, &b), kernels.l2_norm(&a), kernels.normalize(&mut a)];
    kernels.axpy(0.3, &b, &mut a);
    bits.extend(&a);
    kernels.softmax(&mut a);
    bits.extend(&a);
    let mut c = b.clone();
    kernels.sigmoid(&mut c);
    bits.extend(&c);
    kernels.fma(&a, &b, &c, &mut bits[..203]);
    let bytes: Vec<u8> = bits.iter().flat_map(|x| x.to_bits().to_le_bytes()).collect();
    assert_eq!(format!("{:#x}", hash_bytes(&bytes, 0)), "0x2a909332a190bb3b");
}
