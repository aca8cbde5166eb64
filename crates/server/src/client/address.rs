//! The address of a server.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use majordomo_http::Token;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP address, with its token.
    Tcp(SocketAddr, Token),
}

impl Default for Address {
    /// The socket at which a server listens by default.
    fn default() -> Self {
        Self::Unix(crate::default_socket())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address, _) => write!(f, "{address}"),
        }
    }
}
