//! A client: typed calls of every route over one kept connection, streams over their own.
//!
//! Invariant: a lease that is bound to the connection lives as long as the [`Client`] that asked for it, or ends
//! earlier with a connection that breaks; the next call then makes a new one.

mod address;
mod calls;
mod connection;
mod events;

pub use address::Address;
pub use events::{EventStream, LogStream, Streamed};
pub use majordomo_http::Token;

use tokio::sync::Mutex;

use connection::Connection;

/// Talks to a server. Calls go one after the other; make several clients to wait for several things at once.
#[derive(Debug)]
pub struct Client {
    address: Address,
    kept: Mutex<Option<Connection>>,
}

impl Client {
    /// A client; connects with its first call.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self { address, kept: Mutex::default() }
    }

    /// Where it connects to.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}
