//! AVX-512 F, BW, DQ and VL: 16 floats a register, tails by mask.
//!
//! Owns the intrinsics; loops and tails are in `generic`. Invariant: an [`Avx512`] is only made
//! where the CPU has these features.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::vector::Vector;
use super::{entries, generic};

/// The token of AVX-512; see [`Vector`].
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// Safe to call only from functions compiled for these features.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    #[inline]
    fn new() -> Self {
        Self(())
    }

    /// Ones for the first `n <= 16` lanes.
    #[inline(always)]
    fn mask(n: usize) -> __mmask16 {
        debug_assert!(n <= 16);
        ((1u32 << n) - 1) as __mmask16
    }
}

entries!(Avx512, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma", dot: 4, norm: 8);

// SAFETY of all blocks below: the token proves that the CPU has the instructions. Where memory is
// touched, a block is 16 floats (or bytes) and a mask covers no more lanes than the slice has
// elements; masked-out lanes are not accessed, by definition of the instruction.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for Avx512 {
    type Reg = __m512;
    type Block = [f32; 16];
    type BlockI8 = [i8; 16];

    const LANES: usize = 16;

    #[inline(always)]
    fn blocks(x: &[f32]) -> (&[Self::Block], &[f32]) {
        x.as_chunks()
    }

    #[inline(always)]
    fn blocks_mut(x: &mut [f32]) -> (&mut [Self::Block], &mut [f32]) {
        x.as_chunks_mut()
    }

    #[inline(always)]
    fn blocks_i8(x: &[i8]) -> (&[Self::BlockI8], &[i8]) {
        x.as_chunks()
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn prefetch(self, block: &Self::Block) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load(self, block: &[f32; 16]) -> __m512 {
        unsafe { _mm512_loadu_ps(block.as_ptr()) }
    }

    #[inline(always)]
    fn load_partial(self, rest: &[f32]) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(Self::mask(rest.len()), rest.as_ptr()) }
    }

    #[inline(always)]
    fn load_partial_or(self, rest: &[f32], fill: f32) -> __m512 {
        let fill = self.splat(fill);
        unsafe { _mm512_mask_loadu_ps(fill, Self::mask(rest.len()), rest.as_ptr()) }
    }

    #[inline(always)]
    fn load_i8(self, block: &[i8; 16]) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_epi8(block.as_ptr()))) }
    }

    #[inline(always)]
    fn load_i8_partial(self, rest: &[i8]) -> __m512 {
        unsafe {
            let bytes = _mm_maskz_loadu_epi8(Self::mask(rest.len()), rest.as_ptr());
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
        }
    }

    #[inline(always)]
    fn store(self, block: &mut [f32; 16], x: __m512) {
        unsafe { _mm512_storeu_ps(block.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn store_partial(self, rest: &mut [f32], x: __m512) {
        unsafe { _mm512_mask_storeu_ps(rest.as_mut_ptr(), Self::mask(rest.len()), x) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn mul_sub_from(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn relu(self, x: __m512) -> __m512 {
        // Returns the second operand where one is NaN or both are zero.
        unsafe { _mm512_max_ps(_mm512_setzero_ps(), x) }
    }

    #[inline(always)]
    fn neg_abs(self, x: __m512) -> __m512 {
        unsafe { _mm512_or_ps(x, _mm512_set1_ps(-0.0)) }
    }

    #[inline(always)]
    fn select_by_sign(self, test: __m512, negative: __m512, otherwise: __m512) -> __m512 {
        unsafe {
            let is_negative = _mm512_movepi32_mask(_mm512_castps_si512(test));
            _mm512_mask_blend_ps(is_negative, otherwise, negative)
        }
    }

    #[inline(always)]
    fn round(self, x: __m512) -> __m512 {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
    }

    #[inline(always)]
    fn scale_by_power_of_two(self, x: __m512, n: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(x, n) }
    }

    #[inline(always)]
    fn sum(self, x: __m512) -> f32 {
        unsafe {
            let half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            let quarter =
                _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps::<1>(half));
            let pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
        }
    }

    #[inline(always)]
    fn sum4(self, [a, b, c, d]: [__m512; 4]) -> [f32; 4] {
        unsafe {
            // Interleave and add twice: every group of four lanes then holds one part of each sum.
            let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            let abcd = _mm512_add_ps(
                _mm512_shuffle_ps::<0b01_00_01_00>(ab, cd),
                _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd),
            );
            let half =
                _mm256_add_ps(_mm512_castps512_ps256(abcd), _mm512_extractf32x8_ps::<1>(abcd));
            let sums = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps::<1>(half));
            let mut out = [0.0; 4];
            _mm_storeu_ps(out.as_mut_ptr(), sums);
            out
        }
    }

    #[inline(always)]
    fn max_lane(self, x: __m512) -> f32 {
        unsafe {
            let half = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            let quarter =
                _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps::<1>(half));
            let pair = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
            _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)))
        }
    }
}
