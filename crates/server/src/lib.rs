//! The socket API of Majordomo: HTTP and JSON over a Unix socket, leases for other processes, and a client.
//!
//! - [`serve`]: a manager behind a socket, with its limits and its shutdown.
//! - [`wire`]: what is sent, as plain data.
//! - [`Problem`] and [`TABLE`]: everything that can go wrong, with stable codes.
//! - [`Client`]: typed calls of every route.
//!
//! Decides nothing about components: that is the manager's. No route can set a program, a path or a module.
#![forbid(unsafe_code)]

pub mod client;
pub mod wire;

mod access;
mod app;
mod body;
mod bounded;
mod connection;
mod error;
mod framing;
mod gate;
mod json;
mod large;
mod leases;
mod lock;
mod open_files;
mod peer;
mod places;
mod problem;
mod record;
mod routes;
mod serve;
mod socket;
mod sse;
mod stream;

pub use client::{Address, Client, Token};
pub use error::{ClientError, ReloadFailed, ServeError};
pub use problem::{Problem, Row, TABLE};
pub use routes::{OPENAPI, ROUTES, Route};
pub use serve::{Claimed, ServeOptions, Server, claim, serve};
pub use socket::default_socket;
