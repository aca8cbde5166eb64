//! Tests of the lease cell and slot: against a naive model, and every interleaving of short programs in loom
//! (`RUSTFLAGS="--cfg majordomo_loom"`, which `cargo xtask loom` sets).

#[cfg(not(majordomo_loom))]
mod cell;
#[cfg(majordomo_loom)]
mod loom_models;
#[cfg(not(majordomo_loom))]
mod threads;
