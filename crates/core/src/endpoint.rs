//! The address of a running program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// The address of this machine at which a program with a port listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Loopback {
    /// 127.0.0.1, which is tried first.
    #[default]
    V4,
    /// ::1, for a program that listens only there.
    V6,
}

impl Loopback {
    /// In the order of trial.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The address.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::LOCALHOST.into(),
            Self::V6 => Ipv6Addr::LOCALHOST.into(),
        }
    }
}

/// The address of a running program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Endpoint {
    /// Its port: fixed, or chosen for `{port}`.
    pub port: Option<u16>,
    /// The loopback address with the port.
    pub host: Loopback,
    /// Its Unix socket: fixed, or chosen for `{socket}`.
    pub socket: Option<PathBuf>,
    /// The URL of a service that runs elsewhere, which has neither port nor socket here.
    pub elsewhere: Option<Arc<str>>,
}

impl Endpoint {
    /// Address and port, where it has a port.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.port.map(|port| SocketAddr::new(self.host.ip(), port))
    }

    /// `http://127.0.0.1:PORT`, or with `[::1]`; `unix:PATH` for a program with a socket and no port; none for one with neither.
    /// The stated URL of a service that runs elsewhere.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        if let Some(url) = &self.elsewhere {
            return Some(url.to_string());
        }
        let of_socket = || self.socket.as_ref().map(|path| format!("unix:{}", path.display()));
        self.address().map(|address| format!("http://{address}")).or_else(of_socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_ipv6_is_in_brackets() {
        let url = |host| Endpoint { port: Some(80), host, ..Endpoint::default() }.url().unwrap();
        assert_eq!(Loopback::ALL.map(url), ["http://127.0.0.1:80", "http://[::1]:80"]);
    }
}
