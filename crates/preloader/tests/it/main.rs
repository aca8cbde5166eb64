//! The preloader from outside: one module a feature.

mod core;
#[cfg(feature = "worker")]
mod worker;
