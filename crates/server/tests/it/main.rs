//! The routes and the client against a manager of builtins, in this process.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod bounds;
mod calls;
mod described;
#[allow(dead_code, reason = "the tests of the crate files use the rest")]
#[path = "../../../files/tests/it/dir.rs"]
mod dir;
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
