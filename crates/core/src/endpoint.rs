//! Where a running program is reached.

use std::path::PathBuf;

/// Where a running program is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Endpoint {
    /// Its port on 127.0.0.1: fixed, or chosen for `{port}`.
    pub port: Option<u16>,
    /// Its Unix socket: fixed, or chosen for `{socket}`.
    pub socket: Option<PathBuf>,
}

impl Endpoint {
    /// `http://127.0.0.1:PORT`; `unix:PATH` for a program with a socket and no port; none for one with neither.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let of_socket = || self.socket.as_ref().map(|path| format!("unix:{}", path.display()));
        self.port.map(|port| format!("http://127.0.0.1:{port}")).or_else(of_socket)
    }
}
