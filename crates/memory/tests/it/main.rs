//! Tests of the memory crate from outside: laws by property, sources by fixture, bytes by the kernel's own count.

mod budget;
mod classifier;
mod source;
