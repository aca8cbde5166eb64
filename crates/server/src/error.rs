//! Why there is no server, or no answer from one.

use std::path::PathBuf;

use crate::problem::Problem;
use majordomo::quoted_path;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Another server listens there.
    #[error("{} belongs to a running server{}; stop that, or choose another --socket", quoted_path(socket), owner(*.pid))]
    InUse {
        /// Where the running server listens.
        socket: PathBuf,
        /// The process of that server, where it is known.
        pid: Option<u32>,
    },
    /// The socket cannot be made.
    #[error("the socket {} cannot be made: {why}", quoted_path(socket))]
    Socket {
        /// Where the server was to listen.
        socket: PathBuf,
        /// Why, and the way out.
        why: String,
    },
    /// The TCP address cannot be used.
    #[error("the address {address} cannot be used: {why}")]
    Tcp {
        /// The address that was configured.
        address: std::net::SocketAddr,
        /// Why, and the way out.
        why: String,
    },
    /// The token is unfit.
    #[error("the token cannot be used: {0}")]
    Token(String),
}

impl From<majordomo_http::TokenError> for ServeError {
    fn from(error: majordomo_http::TokenError) -> Self {
        Self::Token(error.why)
    }
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadFailed {
    /// The token file cannot be used.
    #[error(transparent)]
    Token(ServeError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Configuration(majordomo::ReloadError),
}

fn owner(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

/// Why a client has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No server listens.
    #[error("no server listens at {address} ({why}); start one with `majordomo serve CONFIG`")]
    NotRunning {
        /// Where it was looked for.
        address: String,
        /// The system's words.
        why: String,
    },
    /// The socket, or who listens there, is not trusted. Nothing was sent.
    #[error("the socket {address} is not trusted: {why}")]
    Untrusted {
        /// The socket.
        address: String,
        /// Why, and the way out.
        why: String,
    },
    /// A server listens, but the system's queue of those who want to be let in is full.
    #[error(
        "so many clients wait at {address} that the system lets no more queue up; try again in a moment"
    )]
    Crowded {
        /// Where the server is.
        address: String,
    },
    /// The server says no.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// Server and client are of different versions.
    #[error(
        "the server at {address} is version {server}, this program is {client}; restart the server with this program, or use the program of version {server}"
    )]
    Version {
        /// Where the server is.
        address: String,
        /// Its version.
        server: String,
        /// This program's.
        client: String,
    },
    /// The connection broke.
    #[error("the connection to the server at {address} broke: {why}")]
    Broken {
        /// Where the server is.
        address: String,
        /// The system's words.
        why: String,
    },
    /// The answer is not what this client knows.
    #[error("the server at {address} gave an answer that cannot be read: {why}")]
    Answer {
        /// Where the server is.
        address: String,
        /// The mistake in the answer.
        why: String,
    },
}

impl ClientError {
    /// The problem that the server answered with, if it did.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }
}
