//! The interface between kernels and an instruction set: a dozen operations on one vector of f32.
//!
//! Owns the contract between the kernels (`generic`) and the instruction sets. A value of a type
//! that implements [`Vector`] is a token: it can only be made inside a function compiled for that
//! instruction set, so its owner may run these instructions. That keeps the kernels free of
//! `unsafe`. The pattern (operations inlined into a `#[target_feature]` entry) is that of memchr.

/// The operations of one instruction set. All are inlined into the kernel that uses them.
pub(super) trait Vector: Copy {
    /// A vector register of f32.
    type Reg: Copy;
    /// `LANES` f32.
    type Block;
    /// `LANES` i8.
    type BlockI8;

    /// Floats in a register.
    const LANES: usize;

    /// Full blocks, and the fewer than `LANES` elements after them.
    fn blocks(x: &[f32]) -> (&[Self::Block], &[f32]);
    /// [`blocks`](Self::blocks) to write to.
    fn blocks_mut(x: &mut [f32]) -> (&mut [Self::Block], &mut [f32]);
    /// [`blocks`](Self::blocks) of integers.
    fn blocks_i8(x: &[i8]) -> (&[Self::BlockI8], &[i8]);

    /// All lanes the same.
    fn splat(self, x: f32) -> Self::Reg;
    /// Prefetches the cache line at `block`; does nothing where that gains nothing.
    fn prefetch(self, block: &Self::Block);
    /// Loads a full block.
    fn load(self, block: &Self::Block) -> Self::Reg;
    /// Loads fewer than `LANES` elements, with 0 in the other lanes; reads nothing beyond.
    fn load_partial(self, rest: &[f32]) -> Self::Reg;
    /// Loads fewer than `LANES` elements, with `fill` in the other lanes; reads nothing beyond.
    fn load_partial_or(self, rest: &[f32], fill: f32) -> Self::Reg;
    /// Loads integers as floats.
    fn load_i8(self, block: &Self::BlockI8) -> Self::Reg;
    /// Loads fewer than `LANES` integers, with 0 in the other lanes; reads nothing beyond.
    fn load_i8_partial(self, rest: &[i8]) -> Self::Reg;
    /// Writes a full block.
    fn store(self, block: &mut Self::Block, x: Self::Reg);
    /// Writes the first `rest.len() < LANES` lanes, and nothing beyond.
    fn store_partial(self, rest: &mut [f32], x: Self::Reg);

    fn add(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    fn sub(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    fn mul(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    fn div(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    /// `a * b + c`, rounded once.
    fn mul_add(self, a: Self::Reg, b: Self::Reg, c: Self::Reg) -> Self::Reg;
    /// `c - a * b`, rounded once.
    fn mul_sub_from(self, a: Self::Reg, b: Self::Reg, c: Self::Reg) -> Self::Reg;
    /// The larger one; `b` where one is NaN or both are zero, or NaN where one is NaN.
    fn max(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    /// 0 where `x < 0`, else `x`, NaN and -0 included.
    fn relu(self, x: Self::Reg) -> Self::Reg;
    /// `-|x|`: sets the sign bit.
    fn neg_abs(self, x: Self::Reg) -> Self::Reg;
    /// `negative` in the lanes where `test` has its sign bit set, else `otherwise`.
    fn select_by_sign(
        self,
        test: Self::Reg,
        negative: Self::Reg,
        otherwise: Self::Reg,
    ) -> Self::Reg;
    /// To the nearest integer, ties to even.
    fn round(self, x: Self::Reg) -> Self::Reg;
    /// `x · 2^n`, rounded once, for `0.5 <= x <= 2` and integers `n` in -151..=0; NaN if `x` is.
    fn scale_by_power_of_two(self, x: Self::Reg, n: Self::Reg) -> Self::Reg;

    /// The sum of all lanes, added in pairs.
    fn sum(self, x: Self::Reg) -> f32;
    /// Four sums at once.
    fn sum4(self, x: [Self::Reg; 4]) -> [f32; 4];
    /// The largest lane; any lane may win over a NaN.
    fn max_lane(self, x: Self::Reg) -> f32;
}
