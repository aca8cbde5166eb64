//! Tests of the memory crate from outside: laws by property, sources by fixture, bytes by the kernel's own count.
// Helpers of tests stand outside of test functions, where clippy does not see that they are tests.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "arena")]
mod arena;
mod budget;
mod cgroup;
mod child;
mod classifier;
#[cfg(feature = "cold")]
mod cold;
mod fixture;
#[cfg(target_os = "linux")]
mod footprint;
mod limits;
mod parking;
mod source;
mod swap;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod trim;
mod watch;
