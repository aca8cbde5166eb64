//! Lower bounds of a kernel: loops that only load, and the loops that one writes first.
//!
//! Owns no rival that a program would use.

/// Loads both slices with the widest loads there are and does nothing with them: what no dot product
/// in cache can beat. Whole vectors only.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
pub fn only_load(a: &[f32], b: &[f32]) {
    let (a, _) = a.as_chunks::<64>();
    let (b, _) = b.as_chunks::<64>();
    for (a, b) in a.iter().zip(b) {
        // SAFETY: both blocks are 256 bytes, and nothing but registers is written.
        unsafe {
            std::arch::asm!(
                "vmovups {0}, [{8}]",
                "vmovups {1}, [{9}]",
                "vmovups {2}, [{8} + 64]",
                "vmovups {3}, [{9} + 64]",
                "vmovups {4}, [{8} + 128]",
                "vmovups {5}, [{9} + 128]",
                "vmovups {6}, [{8} + 192]",
                "vmovups {7}, [{9} + 192]",
                out(zmm_reg) _, out(zmm_reg) _, out(zmm_reg) _, out(zmm_reg) _,
                out(zmm_reg) _, out(zmm_reg) _, out(zmm_reg) _, out(zmm_reg) _,
                in(reg) a.as_ptr(), in(reg) b.as_ptr(),
                options(readonly, nostack, preserves_flags)
            );
        }
    }
}

/// Softmax as one writes it: the maximum, libm's `exp`, the division.
pub fn softmax_libm(x: &mut [f32]) {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for x in x.iter_mut() {
        *x = (*x - max).exp();
        sum += *x;
    }
    let scale = 1.0 / sum;
    for x in x {
        *x *= scale;
    }
}

/// One accumulator, no unrolling: the loop that one writes first.
pub fn dot_naive(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
