//! A back end of the text model's dense layers through the crate `coreml-rs`.
//!
//! Implements the same traits as the default runtime of `majordomo-coreml`, which says in ADR 0034 why this one is not the
//! default. Never run where it was written: type-checked with a stub `swift`, see `README.md`. Models are loaded from files
//! only, since a buffer that fails to load makes `coreml-rs` wait for ever.
#![forbid(unsafe_code)]

mod maker;
#[cfg(any(target_os = "macos", adapter_check))]
mod session;

pub use maker::{CoreMlRs, NAME};
