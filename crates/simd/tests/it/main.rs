//! Every kernel on every back end that this CPU has, against oracles.

mod hash;
