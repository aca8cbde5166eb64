//! Integration tests of the simulator crate.

mod closed;
mod replay;
mod stress;
