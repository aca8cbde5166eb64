//! Integration tests of the simulator crate.

mod replay;
mod stress;
