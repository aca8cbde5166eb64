//! NEON (Advanced SIMD): 4 floats a register.
//!
//! Owns the intrinsics; loops and tails are in `generic`. Neighbouring loads become `ldp`. Invariant:
//! a [`Neon`] is only made where the CPU has NEON.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

use super::vector::Vector;
use super::{entries, generic};

/// The token of NEON; see [`Vector`].
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// Safe to call only from functions compiled for NEON.
    #[target_feature(enable = "neon")]
    #[inline]
    fn new() -> Self {
        Self(())
    }
}

entries!(Neon, "neon", dot: 8, norm: 8);

// SAFETY of all blocks below: the token proves that the CPU has the instructions. Where memory is
// touched, it is an array of 4 floats (or 8 bytes).
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for Neon {
    type Reg = float32x4_t;
    type Block = [f32; 4];
    type BlockI8 = [i8; 4];

    const LANES: usize = 4;

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
    fn splat(self, x: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(x) }
    }

    #[inline(always)]
    fn prefetch(self, _: &Self::Block) {}

    #[inline(always)]
    fn load(self, block: &[f32; 4]) -> float32x4_t {
        unsafe { vld1q_f32(block.as_ptr()) }
    }

    #[inline(always)]
    fn load_partial(self, rest: &[f32]) -> float32x4_t {
        self.load_partial_or(rest, 0.0)
    }

    #[inline(always)]
    fn load_partial_or(self, rest: &[f32], fill: f32) -> float32x4_t {
        let at = |i: usize| rest.get(i).copied().unwrap_or(fill);
        self.load(&[at(0), at(1), at(2), fill])
    }

    #[inline(always)]
    fn load_i8(self, block: &[i8; 4]) -> float32x4_t {
        unsafe {
            let bytes = vcreate_s8(u64::from(u32::from_ne_bytes(block.map(|x| x as u8))));
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))))
        }
    }

    #[inline(always)]
    fn load_i8_partial(self, rest: &[i8]) -> float32x4_t {
        let at = |i: usize| rest.get(i).copied().unwrap_or(0);
        self.load_i8(&[at(0), at(1), at(2), 0])
    }

    #[inline(always)]
    fn store(self, block: &mut [f32; 4], x: float32x4_t) {
        unsafe { vst1q_f32(block.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn store_partial(self, rest: &mut [f32], x: float32x4_t) {
        let mut lanes = [0.0; 4];
        self.store(&mut lanes, x);
        for (to, from) in rest.iter_mut().zip(lanes) {
            *to = from;
        }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vdivq_f32(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    fn mul_sub_from(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmsq_f32(c, a, b) }
    }

    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmaxq_f32(a, b) }
    }

    #[inline(always)]
    fn relu(self, x: float32x4_t) -> float32x4_t {
        // Not a maximum, which would turn -0 into +0.
        unsafe {
            let bits = vreinterpretq_u32_f32(x);
            vreinterpretq_f32_u32(vbicq_u32(bits, vcltzq_f32(x)))
        }
    }

    #[inline(always)]
    fn neg_abs(self, x: float32x4_t) -> float32x4_t {
        unsafe { vnegq_f32(vabsq_f32(x)) }
    }

    #[inline(always)]
    fn select_by_sign(
        self,
        test: float32x4_t,
        negative: float32x4_t,
        otherwise: float32x4_t,
    ) -> float32x4_t {
        unsafe { vbslq_f32(vcltzq_s32(vreinterpretq_s32_f32(test)), negative, otherwise) }
    }

    #[inline(always)]
    fn round(self, x: float32x4_t) -> float32x4_t {
        unsafe { vrndnq_f32(x) }
    }

    #[inline(always)]
    fn scale_by_power_of_two(self, x: float32x4_t, n: float32x4_t) -> float32x4_t {
        unsafe {
            // In two steps, since 2^n alone may be subnormal.
            let n = vcvtq_s32_f32(n);
            let half = vshrq_n_s32::<1>(n);
            let bias = vdupq_n_s32(127);
            let first = vshlq_n_s32::<23>(vaddq_s32(half, bias));
            let second = vshlq_n_s32::<23>(vaddq_s32(vsubq_s32(n, half), bias));
            vmulq_f32(vmulq_f32(x, vreinterpretq_f32_s32(first)), vreinterpretq_f32_s32(second))
        }
    }

    #[inline(always)]
    fn sum(self, x: float32x4_t) -> f32 {
        unsafe { vaddvq_f32(x) }
    }

    #[inline(always)]
    fn sum4(self, [a, b, c, d]: [float32x4_t; 4]) -> [f32; 4] {
        let mut out = [0.0; 4];
        unsafe {
            vst1q_f32(out.as_mut_ptr(), vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
        }
        out
    }

    #[inline(always)]
    fn max_lane(self, x: float32x4_t) -> f32 {
        unsafe { vmaxvq_f32(x) }
    }
}
