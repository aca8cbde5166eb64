//! The measures of the kernels: rivals, a control loop that only loads, and seeded data.
//!
//! Owns the calls that need more than a line, so that each rival is used as its documentation says. Knows no figure.

mod aligned;
mod controls;
mod openblas;

pub use aligned::Aligned;
#[cfg(target_arch = "x86_64")]
pub use controls::only_load;
pub use controls::{dot_naive, softmax_libm};
pub use openblas::OpenBlas;
