//! Tests of the Core ML files.

mod back_ends;
#[cfg(target_os = "macos")]
mod core_ml;
mod fakes;
