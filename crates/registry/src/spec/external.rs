//! The specification of a service that runs elsewhere: its URL, and the requests to it.

use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

use super::{ProbeRule, ProbeSpec, ReadySpec};

/// The scheme of a service's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum UrlScheme {
    /// `http://HOST[:PORT]`; the port is 80 if it is left out.
    Http,
    /// `tcp://HOST:PORT`: a connection is all that is known of the protocol.
    Tcp,
}

/// The URL of a service: a scheme, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ServiceUrl {
    scheme: UrlScheme,
    host: String,
    port: u16,
}

impl ServiceUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// The mistake and the way out, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (UrlScheme::Http, rest),
            Some(("tcp", rest)) => (UrlScheme::Tcp, rest),
            Some(("https", _)) => {
                return Err("https is not supported: there is no TLS in this program; state the http URL of a proxy on this machine".to_owned());
            }
            _ => return Err("it begins with http:// or tcp://".to_owned()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(
                "it has a host and a port only; paths belong to probe, wake and sleep".to_owned()
            );
        }
        // The colons of an IPv6 address are in brackets.
        let (host, port) = match rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => {
                let port = port.parse().ok().filter(|port| *port > 0);
                (host, Some(port.ok_or("its port is a number from 1 to 65535")?))
            }
            None => (rest, None),
        };
        let is_name = |name: &str| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !name.is_empty() && name.chars().all(is_part)
        };
        let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => {
                let (address, zone) = inner.split_once('%').unzip();
                let address = address.unwrap_or(inner);
                address.parse::<Ipv6Addr>().is_ok() && zone.is_none_or(is_name)
            }
            None => is_name(host),
        };
        if !is_host {
            return Err(
                "its host is a name, an IPv4 address, or an IPv6 address in brackets".to_owned()
            );
        }
        let port = match (port, scheme) {
            (Some(port), _) => port,
            (None, UrlScheme::Http) => 80,
            (None, UrlScheme::Tcp) => return Err("tcp needs a port: tcp://HOST:PORT".to_owned()),
        };
        Ok(Self { scheme, host: host.to_owned(), port })
    }

    /// The scheme, which says whether HTTP requests are possible.
    #[must_use]
    pub const fn scheme(&self) -> UrlScheme {
        self.scheme
    }

    /// The host as a resolver takes it: without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Host and port as a request names them.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The stated port, or the scheme's own.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            UrlScheme::Http => "http",
            UrlScheme::Tcp => "tcp",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// A request without a body that is answered 2xx.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ServiceRequest {
    method: &'static str,
    path: String,
}

impl ServiceRequest {
    const METHODS: [&'static str; 4] = ["POST", "PUT", "GET", "DELETE"];

    /// Reads a method and a path, such as `POST /sleep`.
    ///
    /// # Errors
    /// The mistake, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (method, path) = text.split_once(' ').unwrap_or(("", text));
        let Some(method) = Self::METHODS.into_iter().find(|m| *m == method) else {
            return Err(format!("it begins with one of {}", Self::METHODS.join(", ")));
        };
        if !is_request_path(path) {
            return Err("its path starts with / and has no whitespace".to_owned());
        }
        Ok(Self { method, path: path.to_owned() })
    }

    /// The same; a path alone is posted.
    ///
    /// # Errors
    /// The mistake, in words.
    pub fn parse_or_post(text: &str) -> Result<Self, String> {
        match text.starts_with('/') {
            true => Self::parse(&format!("POST {text}")),
            false => Self::parse(text),
        }
    }

    /// One of POST, PUT, GET and DELETE.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        self.method
    }

    /// Its path, which begins with `/`, with the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Whether a request can name this path, which may have a query.
pub(crate) fn is_request_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains(|c: char| c.is_whitespace() || c.is_control())
}

impl fmt::Display for ServiceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// A service that is neither started nor stopped by the manager.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ExternalSpec {
    /// Its address, for the manager and for clients.
    pub url: ServiceUrl,
    /// How it is asked whether it is ready, and whether it still works: by a connection, or by HTTP.
    pub probe: ProbeSpec,
    /// The request that begins a load.
    pub wake: Option<ServiceRequest>,
    /// The request that is an unload.
    pub sleep: Option<ServiceRequest>,
}

impl ExternalSpec {
    /// A service that is probed by a connection and is neither woken nor put to sleep.
    #[must_use]
    pub fn new(url: ServiceUrl) -> Self {
        Self { url, probe: ProbeSpec::new(ReadySpec::Connect), wake: None, sleep: None }
    }
}

impl ProbeSpec {
    pub(crate) const EVERY: Duration = Duration::from_secs(10);
    /// A probe that states no timeout fails after this.
    pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

    /// A probe with the default times and rule.
    #[must_use]
    pub fn new(how: ReadySpec) -> Self {
        Self { how, every: Self::EVERY, timeout: Self::TIMEOUT, rule: ProbeRule::default() }
    }
}
