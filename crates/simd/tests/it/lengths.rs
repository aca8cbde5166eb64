//! Mismatched lengths and indices out of range panic with both numbers, before anything is written.

use std::panic::{AssertUnwindSafe, catch_unwind};

use majordomo_simd::Kernels;

use crate::support::all_kernels;

#[track_caller]
fn assert_panics(kernels: Kernels, expected: &str, call: impl FnOnce(Kernels)) {
    let panic = catch_unwind(AssertUnwindSafe(|| call(kernels))).expect_err("it did not panic");
    let message = panic.downcast_ref::<String>().expect("the panic has a message");
    assert!(message.contains(expected), "{message}");
}

#[test]
fn mismatches_panic_with_both_numbers() {
    for kernels in all_kernels() {
        let mut out = [1.0, 2.0];
        let out = &mut out;
        let three = &[1.0; 3];
        let two = &[1.0; 2];
        assert_panics(kernels, "dot: `a` has 3 elements, `b` has 2", |k| {
            let _ = k.dot(three, two);
        });
        assert_panics(kernels, "mul_assign: `x` has 2 elements, `factors` has 3", |k| {
            k.mul_assign(out, three);
        });
        assert_panics(kernels, "axpy: `x` has 3 elements, `y` has 2", |k| k.axpy(1.0, three, out));
        assert_panics(kernels, "fma: `a` has 3 elements, `out` has 2", |k| {
            k.fma(three, two, two, out);
        });
        assert_panics(kernels, "fma: `b` has 3 elements, `out` has 2", |k| {
            k.fma(two, three, two, out);
        });
        assert_panics(kernels, "fma: `c` has 3 elements, `out` has 2", |k| {
            k.fma(two, two, three, out);
        });
        assert_panics(
            kernels,
            "`matrix` has 3 elements, but `out` and `x` ask for 2 rows of 2",
            |k| {
                k.matvec(three, two, out);
            },
        );
        assert_panics(kernels, "`indices` has 1 elements, `weights` has 2", |k| {
            k.gather_accumulate(&[1.0; 4], &[0], two, out);
        });
        assert_panics(kernels, "`table` has 3 elements, not a whole number of rows of 2", |k| {
            k.gather_accumulate(three, &[0], &[1.0], out);
        });
        assert_panics(kernels, "index 2 is out of range for a table of 2 rows", |k| {
            k.gather_accumulate(&[1.0; 4], &[0, 2, 1], three, out);
        });
        assert_panics(kernels, "index 4294967295 is out of range for a table of 2 rows", |k| {
            k.gather_accumulate_i8(&[1; 4], &[0, u32::MAX], two, out);
        });
        assert_eq!(out, &[1.0, 2.0], "{kernels:?}: nothing may be written before a check fails");
    }
}
