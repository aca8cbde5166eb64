//! Connections to a component: where it is, and connections that are kept for the next request.
//!
//! Invariant: a kept connection leads to the address that the lease of the request names, and is idle for less time than servers
//! keep theirs.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use majordomo::{Endpoint, ServiceUrl};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use crate::lock::locked;
use crate::outgoing::Outgoing;

/// Node's server closes connections that were idle for 5 s; others wait longer.
const KEPT_FOR: Duration = Duration::from_secs(4);
/// No server closes a connection that was idle for less.
const FRESH_FOR: Duration = Duration::from_millis(500);
/// Idle connections to one component.
const MAX_KEPT: usize = 256;
/// A component on this machine that is ready accepts at once; a service elsewhere may be far.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Header fields of an answer.
const MAX_HEADERS: usize = 256;

/// The address of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// A service that runs elsewhere: host, port, and both as a request names them.
    Elsewhere {
        host: String,
        port: u16,
        authority: String,
    },
}

impl Address {
    /// The address of a running component; none for one without.
    pub(crate) fn of(endpoint: &Endpoint) -> Option<Self> {
        if let Some(url) = &endpoint.elsewhere {
            let url = ServiceUrl::parse(url).ok()?;
            let (host, authority) = (url.host().to_owned(), url.authority());
            return Some(Self::Elsewhere { host, port: url.port(), authority });
        }
        let unix = || endpoint.socket.clone().map(Self::Unix);
        endpoint.address().map(Self::Tcp).or_else(unix)
    }

    /// The host as a service that runs elsewhere is called; components of this machine see the client's.
    pub(crate) fn authority(&self) -> Option<&str> {
        match self {
            Self::Elsewhere { authority, .. } => Some(authority),
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// The system's, or that the connection took too long.
    pub(crate) async fn connect(&self) -> io::Result<Stream> {
        let connect = async {
            let stream = match self {
                Self::Tcp(address) => Stream::Tcp(TcpStream::connect(address).await?),
                Self::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
                Self::Elsewhere { host, port, .. } => {
                    Stream::Tcp(TcpStream::connect((host.as_str(), *port)).await?)
                }
            };
            if let Stream::Tcp(stream) = &stream {
                drop(stream.set_nodelay(true));
            }
            Ok(stream)
        };
        let connected = tokio::time::timeout(CONNECT_TIME, connect).await;
        connected.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
    }
}

/// A connection to a component.
#[derive(Debug)]
pub enum Stream {
    /// To a port.
    Tcp(TcpStream),
    /// To a Unix socket.
    Unix(UnixStream),
}

macro_rules! either {
    ($self:ident, $stream:ident => $do:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $do,
            Stream::Unix($stream) => $do,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// A connection for one request after the other.
type Sender = SendRequest<Outgoing>;

#[derive(Debug)]
struct Kept {
    sender: Sender,
    since: Instant,
}

#[derive(Debug, Default)]
struct Idle {
    address: Option<Address>,
    /// The longest idle first.
    kept: Vec<Kept>,
}

/// Connections of one component that wait for a request.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Idle>);

/// A connection that has a request.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) sender: Sender,
    /// How long it was idle; none for a new one.
    idle: Option<Duration>,
    address: Address,
    pool: Arc<Pool>,
}

impl Pool {
    /// A connection to the address: a kept one, or a new one.
    ///
    /// # Errors
    /// When no connection can be made.
    pub(crate) async fn lend(self: &Arc<Self>, address: &Address) -> io::Result<Lent> {
        match self.take(address) {
            Some((sender, idle)) => {
                let (pool, address) = (Arc::clone(self), address.clone());
                Ok(Lent { sender, idle: Some(idle), address, pool })
            }
            None => self.open(address).await,
        }
    }

    /// A new connection to the address.
    ///
    /// # Errors
    /// When no connection can be made.
    pub(crate) async fn open(self: &Arc<Self>, address: &Address) -> io::Result<Lent> {
        let stream = TokioIo::new(address.connect().await?);
        let mut builder = Builder::new();
        builder.max_headers(MAX_HEADERS);
        let (sender, connection) = builder.handshake(stream).await.map_err(io::Error::other)?;
        tokio::spawn(async move {
            // Its error comes out of the request that meets it.
            drop(connection.with_upgrades().await);
        });
        let (pool, address) = (Arc::clone(self), address.clone());
        Ok(Lent { sender, idle: None, address, pool })
    }

    fn take(&self, address: &Address) -> Option<(Sender, Duration)> {
        let mut idle = locked(&self.0);
        if idle.address.as_ref() != Some(address) {
            idle.kept.clear();
            return None;
        }
        while let Some(Kept { sender, since }) = idle.kept.pop() {
            let idle_for = since.elapsed();
            if idle_for > KEPT_FOR {
                // The others were idle for longer.
                idle.kept.clear();
                return None;
            }
            // One that is not ready yet has not read the end of its answer.
            if sender.is_ready() {
                return Some((sender, idle_for));
            }
        }
        None
    }

    /// Closes the connections that wait.
    pub(crate) fn clear(&self) {
        locked(&self.0).kept.clear();
    }
}

impl Lent {
    /// Whether it had a request before.
    pub(crate) fn is_used(&self) -> bool {
        self.idle.is_some()
    }

    /// Whether the component may have closed it meanwhile, which only the next request on it shows.
    pub(crate) fn may_be_stale(&self) -> bool {
        self.idle.is_some_and(|idle| idle > FRESH_FOR)
    }

    /// Keeps the connection for the next request.
    pub(crate) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut idle = locked(&self.pool.0);
        if idle.address.as_ref() != Some(&self.address) {
            idle.kept.clear();
            idle.address = Some(self.address);
        }
        if idle.kept.len() < MAX_KEPT {
            idle.kept.push(Kept { sender: self.sender, since: Instant::now() });
        }
    }
}
