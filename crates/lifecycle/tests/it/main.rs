//! Tests of the lease cell and slot: against a naive model, and every interleaving of short programs in loom
//! (`RUSTFLAGS="--cfg majordomo_loom"`, what `cargo xtask loom` runs).

#[cfg(not(majordomo_loom))]
mod cell;
#[cfg(majordomo_loom)]
mod loom_models;
