//! The facade with real processes and builtins: faults, bad input, budgets, reloads and shutdown.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod allocations;
mod alone;
mod asleep;
#[cfg(feature = "coreml")]
mod back_ends;
mod builtins;
mod bytes;
mod calls;
mod configuration;
#[allow(dead_code, reason = "the bench of intents uses the rest")]
mod counting;
mod demands;
mod embedding;
mod ending;
mod endpoints;
#[path = "../../../runtime/tests/it/eventually.rs"]
mod eventually;
#[cfg(feature = "coreml")]
mod export;
mod external;
mod intents;
mod learned;
mod leases;
mod memory;
mod paged;
mod pressure;
#[allow(dead_code, reason = "the tests of the binary use the rest")]
mod processes;
mod programs;
mod records;
mod reload;
mod support;
mod usage;
