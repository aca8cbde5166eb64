//! The address of a client, as a request carries it.

use std::net::SocketAddr;

/// The address of a client, as an extension of its request. Without it `X-Forwarded-For` is left out.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);
