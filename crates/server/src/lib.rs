//! The socket API of Majordomo: HTTP and JSON over a Unix socket, leases for other processes, and a client.
//!
//! - [`serve`]: a manager behind a socket, with its limits and its shutdown.
//! - [`wire`]: what is sent, as plain data.
//! - [`Problem`] and [`TABLE`]: everything that can go wrong, with stable codes.
//! - [`Client`]: typed calls of every route.
//!
//! Decides nothing about components: that is the manager's. No route can set a program, a path or a module.
//!
//! A client that holds a lease while it works, at the default socket:
//!
//! ```no_run
//! use majordomo_server::wire::{Bind, LeaseRequest};
//! use majordomo_server::{Address, Client, ClientError};
//!
//! async fn transcribe() -> Result<(), ClientError> {
//!     let client = Client::new(Address::default());
//!     let request = LeaseRequest {
//!         components: vec!["speech".to_owned()],
//!         // The lease ends with this client, however that ends.
//!         bind: Bind::Connection,
//!         tag: Some("transcriber".to_owned()),
//!         ..LeaseRequest::default()
//!     };
//!     // Loads the component if it is not ready, and waits for it.
//!     let lease = client.acquire(&request).await?;
//!     for component in &lease.components {
//!         let url = component.endpoint.as_ref().and_then(|endpoint| endpoint.url.as_deref());
//!         println!("{} is at {}", component.component, url.unwrap_or("no address"));
//!     }
//!     client.release(&lease.id).await
//! }
//! ```
#![forbid(unsafe_code)]

pub mod client;
pub mod wire;

mod access;
mod app;
mod body;
mod bounded;
mod connection;
#[cfg(doctest)]
mod documents;
mod error;
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
pub use majordomo_http::TokenError;
pub use problem::{Problem, Row, TABLE};
pub use routes::{OPENAPI, ROUTES, Route};
pub use serve::{Claimed, ServeOptions, Server, claim, serve};
pub use socket::default_socket;
