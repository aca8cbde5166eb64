//! The gateway with real sockets: scripted components on one side, raw clients on the other.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod access;
mod bodies;
mod component;
mod fairness;
mod faults;
mod listeners;
mod lists;
mod mounted;
mod routes;
mod streams;
mod support;
mod upgrades;
mod waits;
