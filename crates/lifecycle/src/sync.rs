//! The atomics of the cell: the standard library's, or loom's while its protocol is modelled.

#[cfg(not(majordomo_loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[cfg(majordomo_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
