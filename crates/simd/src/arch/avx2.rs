//! AVX2 with FMA: 8 floats a register.
//!
//! Owns the intrinsics; loops and tails are in `generic`. Tails are loaded by mask, but stored in
//! pieces of 4, 2 and 1, since masked stores are microcode on many CPUs. Invariant: an [`Avx2`] is
//! only made where the CPU has these features.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::vector::Vector;
use super::{entries, generic};

/// The token of AVX2 and FMA; see [`Vector`].
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// Safe to call only from functions compiled for these features.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn new() -> Self {
        Self(())
    }
}

entries!(Avx2, "avx2,fma", dot: 4, norm: 8);

/// Eight lanes from position `8 - n` are a mask of the first `n`.
static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

// SAFETY of all blocks below: the token proves that the CPU has the instructions. Where memory is
// touched, a block is 8 floats (or bytes), and partial accesses are checked or masked to the length
// of the slice; masked-out lanes are not accessed, by definition of the instruction.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for Avx2 {
    type Reg = __m256;
    type Block = [f32; 8];
    type BlockI8 = [i8; 8];

    const LANES: usize = 8;

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
    fn splat(self, x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    fn prefetch(self, block: &Self::Block) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load(self, block: &[f32; 8]) -> __m256 {
        unsafe { _mm256_loadu_ps(block.as_ptr()) }
    }

    #[inline(always)]
    fn load_partial(self, rest: &[f32]) -> __m256 {
        let n = rest.len().min(8);
        unsafe {
            let mask = _mm256_loadu_si256(MASK.as_ptr().add(8 - n).cast());
            _mm256_maskload_ps(rest.as_ptr(), mask)
        }
    }

    #[inline(always)]
    fn load_partial_or(self, rest: &[f32], fill: f32) -> __m256 {
        let (fill, n) = (self.splat(fill), rest.len().min(8));
        unsafe {
            let mask = _mm256_loadu_si256(MASK.as_ptr().add(8 - n).cast());
            let loaded = _mm256_maskload_ps(rest.as_ptr(), mask);
            _mm256_blendv_ps(fill, loaded, _mm256_castsi256_ps(mask))
        }
    }

    #[inline(always)]
    fn load_i8(self, block: &[i8; 8]) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(block.as_ptr().cast()))) }
    }

    #[inline(always)]
    fn load_i8_partial(self, rest: &[i8]) -> __m256 {
        let mut block = [0; 8];
        for (to, from) in block.iter_mut().zip(rest) {
            *to = *from;
        }
        self.load_i8(&block)
    }

    #[inline(always)]
    fn store(self, block: &mut [f32; 8], x: __m256) {
        unsafe { _mm256_storeu_ps(block.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn store_partial(self, rest: &mut [f32], x: __m256) {
        let mut part = unsafe { _mm256_castps256_ps128(x) };
        let (fours, rest) = rest.as_chunks_mut::<4>();
        if let Some(four) = fours.first_mut() {
            unsafe {
                _mm_storeu_ps(four.as_mut_ptr(), part);
                part = _mm256_extractf128_ps::<1>(x);
            }
        }
        let (twos, rest) = rest.as_chunks_mut::<2>();
        if let Some(two) = twos.first_mut() {
            unsafe {
                _mm_storel_pd(two.as_mut_ptr().cast(), _mm_castps_pd(part));
                part = _mm_movehl_ps(part, part);
            }
        }
        if let Some(last) = rest.first_mut() {
            *last = unsafe { _mm_cvtss_f32(part) };
        }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn mul_sub_from(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn relu(self, x: __m256) -> __m256 {
        // Returns the second operand where one is NaN or both are zero.
        unsafe { _mm256_max_ps(_mm256_setzero_ps(), x) }
    }

    #[inline(always)]
    fn neg_abs(self, x: __m256) -> __m256 {
        unsafe { _mm256_or_ps(x, _mm256_set1_ps(-0.0)) }
    }

    #[inline(always)]
    fn select_by_sign(self, test: __m256, negative: __m256, otherwise: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(otherwise, negative, test) }
    }

    #[inline(always)]
    fn round(self, x: __m256) -> __m256 {
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
    }

    #[inline(always)]
    fn scale_by_power_of_two(self, x: __m256, n: __m256) -> __m256 {
        unsafe {
            // In two steps, since 2^n alone may be subnormal.
            let n = _mm256_cvtps_epi32(n);
            let half = _mm256_srai_epi32::<1>(n);
            let bias = _mm256_set1_epi32(127);
            let first = _mm256_slli_epi32::<23>(_mm256_add_epi32(half, bias));
            let second = _mm256_add_epi32(_mm256_sub_epi32(n, half), bias);
            let second = _mm256_slli_epi32::<23>(second);
            let x = _mm256_mul_ps(x, _mm256_castsi256_ps(first));
            _mm256_mul_ps(x, _mm256_castsi256_ps(second))
        }
    }

    #[inline(always)]
    fn sum(self, x: __m256) -> f32 {
        unsafe {
            let half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
        }
    }

    #[inline(always)]
    fn sum4(self, [a, b, c, d]: [__m256; 4]) -> [f32; 4] {
        unsafe {
            let abcd = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            let sums = _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps::<1>(abcd));
            let mut out = [0.0; 4];
            _mm_storeu_ps(out.as_mut_ptr(), sums);
            out
        }
    }

    #[inline(always)]
    fn max_lane(self, x: __m256) -> f32 {
        unsafe {
            let half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)))
        }
    }
}
