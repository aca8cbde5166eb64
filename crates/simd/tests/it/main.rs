//! Every kernel on every back end that this CPU has, against f64 oracles, in guarded memory.

mod backend;
mod guarded;
mod hash;
mod kernels;
mod lengths;
mod special;
mod support;
