//! Shared by all tests: the back ends under test, seeded data, closeness.

use majordomo_simd::{Kernels, available};

/// Half an ULP of 1: the largest relative error of one rounding.
pub(crate) const EPSILON: f64 = 1.0 / (1u64 << 24) as f64;

/// The smallest positive f32: the largest error of rounding to a subnormal.
pub(crate) const SUBNORMAL_ULP: f64 = 1.401_298_464_324_817e-45;

/// Every back end of this CPU. On x86-64 and aarch64 there is more than the portable one.
pub(crate) fn all_kernels() -> Vec<Kernels> {
    available().filter_map(|backend| Kernels::with(backend).ok()).collect()
}

/// A seeded source of numbers: a linear congruential generator with Knuth's MMIX constants.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next_u32(&mut self) -> u32 {
        let factor = 6_364_136_223_846_793_005;
        self.0 = self.0.wrapping_mul(factor).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// Between -1 and 1.
    pub(crate) fn next_f32(&mut self) -> f32 {
        self.next_u32() as f32 / (1u32 << 31) as f32 - 1.0
    }

    pub(crate) fn vector(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next_f32()).collect()
    }
}

/// Asserts `|found - expected| <= limit`, and that special values are equal.
#[track_caller]
pub(crate) fn assert_close(found: f32, expected: f64, limit: f64, what: &dyn std::fmt::Debug) {
    let rounded = expected as f32;
    if rounded.is_nan() || rounded.is_infinite() {
        let same = found == rounded || (found.is_nan() && rounded.is_nan());
        assert!(same, "{what:?}: {found}, not {expected}");
        return;
    }
    let error = (f64::from(found) - expected).abs();
    assert!(error <= limit, "{what:?}: {found}, not {expected}: off by {error:e}, limit {limit:e}");
}

/// `Σ a·b` and `Σ |a·b|` in f64, where the product of two f32 is exact.
pub(crate) fn oracle_dot(a: &[f32], b: &[f32]) -> (f64, f64) {
    a.iter().zip(b).fold((0.0, 0.0), |(sum, size), (&a, &b)| {
        let product = f64::from(a) * f64::from(b);
        (sum + product, size + product.abs())
    })
}
