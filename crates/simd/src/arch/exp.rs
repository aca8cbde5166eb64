//! Constants of the exponential, shared by all back ends.
//!
//! `exp(x) = 2^n · exp(r)` with `n = round(x / ln 2)` and `|r| <= ln 2 / 2`, after Cody and Waite,
//! "Software Manual for the Elementary Functions" (1980): ln 2 is split in two so that `n · LN2_HIGH`
//! is exact. The polynomial for `exp(r)` is that of Moshier's Cephes library (`expf`).

/// Smaller arguments are replaced by this one: the result rounds to 0, and `n` stays in range.
pub(super) const LOWEST: f32 = -104.0;
/// ln 2 in 9 bits.
pub(super) const LN2_HIGH: f32 = 355.0 / 512.0;
/// ln 2 - `LN2_HIGH`.
pub(super) const LN2_LOW: f32 = -2.121_944_4e-4;
/// `exp(r) = 1 + r + r² · (C[0] r⁵ + ... + C[5])`, highest power first.
pub(super) const C: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 5e-1];
