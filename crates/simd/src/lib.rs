//! f32 vector kernels and hashing, as fast as the machine allows.
//!
//! Every kernel exists once per [`Backend`]: hand-written for AVX-512, AVX2 with FMA and NEON, and
//! as plain Rust. The free functions ([`dot`], [`softmax`], ...) run on the back end in use, which
//! is the best that the CPU supports unless [`force`] has set another one; [`Kernels`] runs them on a chosen one.
//! Knows nothing of texts or models; depends on `core` only (and on `std` to detect the CPU's features).
//!
//! # Lengths
//! Slices that must match in length are checked once, at the entry. A mismatch is a programming
//! error, as in [`slice::copy_from_slice`], and panics with both lengths in the message. Nothing is
//! written before all checks have passed. No data causes a panic: NaN, infinities and empty slices have
//! a documented result for every kernel.
//!
//! # Reproducibility
//! The back ends add in different orders, and all but [`Backend::Portable`] fuse multiplication and
//! addition, so their last bits differ. `Kernels::with(Backend::Portable)` gives the same bits on
//! every platform. The hashes are the same on every platform and in every version.
//!
//! ```
//! use majordomo_simd::{Backend, Kernels, dot};
//!
//! let (query, row) = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]);
//! assert_eq!(dot(&query, &row), 32.0);
//! assert_eq!(Kernels::with(Backend::Portable)?.dot(&query, &row), 32.0);
//!
//! // A dense layer, then probabilities.
//! let (weights, mut scores) = ([0.5, 0.0, 0.0, 0.0, 0.0, 1.0], [0.0; 2]);
//! majordomo_simd::matvec(&weights, &query, &mut scores);
//! majordomo_simd::softmax(&mut scores);
//! assert!(scores[1] > 0.9 && (scores[0] + scores[1] - 1.0).abs() < 1e-6);
//! # Ok::<(), majordomo_simd::UnsupportedBackend>(())
//! ```
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(not(any(feature = "std", target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("majordomo-simd without its feature `std` supports x86-64 and aarch64 only");

mod arch;
mod backend;
mod bytes;
mod functions;
mod hash;
mod kernels;
mod root;

pub use backend::{Backend, UnsupportedBackend, active, available, force};
pub use bytes::as_signed;
pub use functions::{
    axpy, dot, fma, gather_accumulate, gather_accumulate_i8, l2_norm, matvec, mul_assign,
    normalize, relu, sigmoid, softmax,
};
pub use hash::{fast_hash, hash_bytes, hash_window};
pub use kernels::Kernels;
