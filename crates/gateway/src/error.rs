//! Why there is no gateway.

use std::net::SocketAddr;
use std::path::Path;

use majordomo::{ComponentId, GatewaySpec};
use majordomo_http::{Token, TokenError};

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// An address cannot be listened at.
    #[error("the gateway cannot listen at {address}: {why}")]
    Listen {
        /// The address as configured.
        address: SocketAddr,
        /// The reason and the way out.
        why: String,
    },
    /// An address of a component's own (`listen`) cannot be listened at.
    #[error("component \"{component}\" cannot listen at {address}: {why}")]
    ComponentListen {
        /// The component's name.
        component: ComponentId,
        /// The address as configured.
        address: String,
        /// The reason and the way out.
        why: String,
    },
    /// A token cannot be used.
    #[error("[gateway.tokens.{name}]: {error}")]
    Token {
        /// The token's name.
        name: String,
        /// The mistake.
        error: TokenError,
    },
    /// The runtime ends.
    #[error("the program is shutting down")]
    ShuttingDown,
}

/// Whether every token can be read. Blocking.
pub(crate) fn check_tokens(spec: &GatewaySpec, folder: &Path) -> Result<(), GatewayError> {
    for token in &spec.tokens {
        let read = Token::read(&folder.join(&token.file));
        read.map_err(|error| GatewayError::Token { name: token.name.clone(), error })?;
    }
    Ok(())
}

/// Refuses an address that other machines reach where no token is configured.
pub(crate) fn needs_token(spec: &GatewaySpec, address: SocketAddr) -> Result<(), GatewayError> {
    if address.ip().is_loopback() || !spec.tokens.is_empty() {
        return Ok(());
    }
    let why = "other machines reach it, and no token is configured; add [gateway.tokens.NAME]";
    Err(GatewayError::Listen { address, why: why.to_owned() })
}
