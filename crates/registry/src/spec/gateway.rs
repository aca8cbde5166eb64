//! The gateway: where clients connect, who may, and names besides those of components.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId};

use super::ListenAddress;

/// The choice among the components of a selector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Select {
    /// The first that has not failed.
    #[default]
    First,
    /// One that is ready, else the first that fits without an eviction, else the first.
    Warm,
    /// The one that needs the least memory.
    Smallest,
}

/// A name for several components, of which each request is sent to one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SelectorSpec {
    /// The name that clients use.
    pub name: String,
    /// The components, the preferred one first.
    pub components: Vec<ComponentId>,
    /// The choice among them.
    pub select: Select,
    /// Left out of lists of models.
    pub unlisted: bool,
}

impl SelectorSpec {
    /// A selector without components.
    #[must_use]
    pub const fn new(name: String) -> Self {
        Self { name, components: Vec::new(), select: Select::First, unlisted: false }
    }
}

/// A token of clients, and what it opens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TokenSpec {
    /// Its name, for logs.
    pub name: String,
    /// The file with the secret, relative to the folder of the configuration.
    pub file: PathBuf,
    /// The components that it opens; none = all.
    pub components: Option<Vec<ComponentId>>,
}

impl TokenSpec {
    /// A token that opens every component.
    #[must_use]
    pub const fn new(name: String, file: PathBuf) -> Self {
        Self { name, file, components: None }
    }
}

/// The gateway of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GatewaySpec {
    /// Where clients connect. Default 127.0.0.1:7422.
    pub listen: Vec<ListenAddress>,
    /// Tokens of clients; without any, every client that reaches the address is served.
    pub tokens: Vec<TokenSpec>,
    /// Further host names by which this machine is meant.
    pub hosts: Vec<String>,
    /// Web pages that may use the gateway, by their exact origin.
    pub origins: Vec<String>,
    /// A request for the host `NAME.base_domain` is for the component NAME. Default `localhost`.
    pub base_domain: String,
    /// Proxies whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// The wait of a request for its component; none = the component's load deadline and the demand deadline.
    pub wait: Option<Duration>,
    /// The largest body that is read to route it or to change it. Default 32 MiB.
    pub max_routed_body: ByteSize,
    /// All such bodies together. Default 128 MiB.
    pub max_buffered: ByteSize,
    /// Connections of clients at a time. Default 4096.
    pub max_connections: usize,
    /// The time for the head of a request. Default 10 s.
    pub header_time: Duration,
    /// The time of a connection without a request. Default 5 min.
    pub idle_time: Duration,
    /// The time of a client that reads nothing. Default 1 min.
    pub stall_time: Duration,
    /// The time from the request until the component begins its answer. Default 10 min.
    pub answer_time: Duration,
    /// Paths that neither load a component nor count as its use.
    pub ignore_paths: Vec<String>,
    /// Requests no further apart are one use. Default 5 s.
    pub use_gap: Duration,
    /// Whether browsers are shown the progress of a load.
    pub waiting_page: bool,
    /// Names for several components.
    pub selectors: Vec<SelectorSpec>,
}

impl GatewaySpec {
    /// The port of the default address.
    pub const PORT: u16 = 7422;
    /// Paths that are polled by programs and fetched by browsers unasked.
    const IGNORED: [&'static str; 3] = ["/favicon.ico", "/health", "/metrics"];
}

impl Default for GatewaySpec {
    fn default() -> Self {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], Self::PORT));
        Self {
            listen: vec![ListenAddress::Tcp(address)],
            tokens: Vec::new(),
            hosts: Vec::new(),
            origins: Vec::new(),
            base_domain: "localhost".to_owned(),
            trusted_proxies: Vec::new(),
            wait: None,
            max_routed_body: ByteSize::mib(32),
            max_buffered: ByteSize::mib(128),
            max_connections: 4096,
            header_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(300),
            stall_time: Duration::from_secs(60),
            answer_time: Duration::from_secs(600),
            ignore_paths: Self::IGNORED.map(str::to_owned).to_vec(),
            use_gap: Duration::from_secs(5),
            waiting_page: true,
            selectors: Vec::new(),
        }
    }
}
