//! The way clients reach a component through the gateway: names, listeners, limits, and rewriting of requests.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A purpose of a model server, by which lists of models describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[expect(missing_docs, reason = "the words of the APIs")]
pub enum Serves {
    Chat,
    Completion,
    Embeddings,
    Rerank,
    Transcription,
    Speech,
    Images,
}

impl Serves {
    /// In the order of [`Self::WORDS`].
    pub const ALL: [Self; 7] = [
        Self::Chat,
        Self::Completion,
        Self::Embeddings,
        Self::Rerank,
        Self::Transcription,
        Self::Speech,
        Self::Images,
    ];
    /// As they are written.
    pub const WORDS: &'static [&'static str] =
        &["chat", "completion", "embeddings", "rerank", "transcription", "speech", "images"];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// The event on a transparent listener that loads its component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum LoadOn {
    /// The first byte of a client: a probe of the port loads nothing.
    #[default]
    Bytes,
    /// The connection: for protocols in which the server sends the first bytes.
    Connect,
}

/// The meaning of an open connection (a WebSocket, a spliced connection) for the component's lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum ConnectionUse {
    /// Traffic is a use: the lease is given back when the connection has been idle for `connection_idle`, and taken again.
    #[default]
    Activity,
    /// The open connection is a use.
    Hold,
    /// Neither is, once the connection is made.
    Ignore,
}

/// An address of this machine at which clients are accepted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum ListenAddress {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket, relative to the folder of the configuration.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Reads `IP:PORT`, or a path, which has a `/`.
    ///
    /// # Errors
    /// The mistake and the way out, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            return match text.contains('\0') {
                true => Err("a path has no NUL".to_owned()),
                false => Ok(Self::Unix(PathBuf::from(text))),
            };
        }
        let way_out = "write an IP address and a port, such as 127.0.0.1:6379 or [::1]:6379, or a path with /";
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => Err("the port is 0; state one".to_owned()),
            Ok(address) => Ok(Self::Tcp(address)),
            Err(_) => Err(way_out.to_owned()),
        }
    }

    /// Whether only programs of this machine reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Whether a listener at one address takes the other, too.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(a), Self::Unix(b)) => a == b,
            (Self::Tcp(a), Self::Tcp(b)) => {
                let is_any = a.ip().is_unspecified() || b.ip().is_unspecified();
                a.port() == b.port() && (a.ip() == b.ip() || is_any)
            }
            _ => false,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The way clients reach a component through the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RouteSpec {
    /// A component that serves something is listed as a model.
    pub serves: Vec<Serves>,
    /// Further names for clients.
    pub aliases: Vec<String>,
    /// The name in `model` that the component itself is sent; without one the client's.
    pub model_name: Option<String>,
    /// Members to set in JSON bodies: the path of each, with `.` between names, and its value as JSON text.
    pub set_params: BTreeMap<String, String>,
    /// Members to remove from JSON bodies, by path.
    pub strip_params: Vec<String>,
    /// Left out of lists of models.
    pub unlisted: bool,
    /// Addresses that are the component's own, open all the time.
    pub listen: Vec<ListenAddress>,
    /// Allows addresses of `listen` that other machines reach.
    pub expose: bool,
    /// The event on `listen` that loads the component.
    pub load_on: LoadOn,
    /// The meaning of an open connection.
    pub connection_use: ConnectionUse,
    /// A connection without traffic for this long is idle. Default 60 s.
    pub connection_idle: Duration,
    /// The JSON pointer (RFC 6901) of a text in request bodies from which is learned; an index of -1 is the last item.
    pub learn_text: Option<String>,
    /// Requests with the component at a time; without a value there is no limit.
    pub max_in_flight: Option<u32>,
    /// Requests that wait for `max_in_flight`; the next is refused. Default 64.
    pub queue: u32,
}

impl RouteSpec {
    /// Requests that wait where nothing is stated.
    const QUEUE: u32 = 64;
    /// The idle time where nothing is stated.
    const IDLE: Duration = Duration::from_secs(60);

    /// A route in which nothing is stated.
    pub(crate) const UNSTATED: Self = Self {
        serves: Vec::new(),
        aliases: Vec::new(),
        model_name: None,
        set_params: BTreeMap::new(),
        strip_params: Vec::new(),
        unlisted: false,
        listen: Vec::new(),
        expose: false,
        load_on: LoadOn::Bytes,
        connection_use: ConnectionUse::Activity,
        connection_idle: Self::IDLE,
        learn_text: None,
        max_in_flight: None,
        queue: Self::QUEUE,
    };

    /// Whether JSON bodies are changed on their way to the component.
    #[must_use]
    pub fn rewrites_bodies(&self) -> bool {
        self.model_name.is_some() || !self.set_params.is_empty() || !self.strip_params.is_empty()
    }
}

impl Default for RouteSpec {
    fn default() -> Self {
        Self::UNSTATED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_compared() {
        let of = |text: &str| ListenAddress::parse(text).unwrap();
        assert!(of("127.0.0.1:80").is_local() && of("[::1]:80").is_local());
        assert!(of("./a.sock").is_local() && !of("0.0.0.0:80").is_local());
        for wrong in ["80", "localhost:80", "127.0.0.1", "127.0.0.1:0", "", ":80", "a/\0"] {
            assert!(ListenAddress::parse(wrong).is_err(), "{wrong:?}");
        }
        for (a, b, overlap) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "[::1]:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("/a", "/a", true),
            ("/a", "127.0.0.1:80", false),
        ] {
            assert_eq!(of(a).overlaps(&of(b)), overlap, "{a} {b}");
        }
    }

    #[test]
    fn words_name_what_they_stand_for() {
        assert_eq!(Serves::ALL.map(Serves::as_str), *Serves::WORDS);
    }
}
