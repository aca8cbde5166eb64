//! The routes and the client against a manager of builtins, in this process.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod bounds;
mod described;
mod edges;
mod first;
mod heads;
mod leases;
mod lists;
mod noise;
mod places;
mod schema;
mod sockets;
mod streams;
mod support;
mod trust;
