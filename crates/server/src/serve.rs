//! The server: where it listens, how many it lets in, and how it ends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use majordomo::{ComponentId, Manager, Reloaded};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::access::Access;
use crate::app::App;
use crate::bounded::Role;
use crate::client::Token;
use crate::connection;
use crate::error::{ReloadFailed, ServeError};
use crate::open_files::Capacity;
use crate::peer::{Peer, Via};
use crate::places::Places;
use crate::socket::{self, Held};

/// When the system gives no connection (too many open files), or connections that gave way do not close, go on after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Answers that are still on their way when everything is down have this long.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Where to listen.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// The Unix socket; none = [`default_socket`](crate::default_socket).
    pub socket: Option<PathBuf>,
    /// A TCP address besides, which must be a loopback address.
    pub tcp: Option<SocketAddr>,
    /// The token that clients over TCP must show. Needed with `tcp`.
    pub token: Option<Token>,
    /// Where a reload reads the token again.
    pub token_file: Option<PathBuf>,
}

/// A running server. Dropping it leaves it running; end it with [`Self::shutdown`].
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    socket: PathBuf,
    tcp: Option<SocketAddr>,
    places: Vec<Arc<Places>>,
    tasks: Vec<JoinHandle<()>>,
}

/// A place to listen at, held before there is a manager: clients that connect meanwhile wait.
#[derive(Debug)]
pub struct Claimed {
    unix: UnixListener,
    held: Held,
    tcp: Option<TcpListener>,
    access: Access,
}

/// Takes the socket, so that a second server is refused before it has begun anything.
///
/// # Errors
/// A [`ServeError`]; nothing listens then.
pub async fn claim(options: ServeOptions) -> Result<Claimed, ServeError> {
    let tcp = match options.tcp {
        Some(address) => Some(listen_tcp(address, options.token.is_some()).await?),
        None => None,
    };
    let path = options.socket.unwrap_or_else(socket::default_socket);
    let (unix, held) = socket::listen(&path)?;
    let access = Access::new(options.token, options.token_file);
    Ok(Claimed { unix, held, tcp, access })
}

/// Serves a manager until [`Server::shutdown`].
///
/// # Errors
/// A [`ServeError`]; nothing listens then.
pub async fn serve(manager: Manager, options: ServeOptions) -> Result<Server, ServeError> {
    Ok(claim(options).await?.serve(manager))
}

impl Claimed {
    /// Serves a manager until [`Server::shutdown`].
    #[must_use]
    pub fn serve(self, manager: Manager) -> Server {
        let Self { unix, held, tcp, access } = self;
        let socket = held.path().to_path_buf();
        let app = Arc::new(App::new(manager, access));
        app.log_capacity();
        let routes = crate::routes::router(Arc::clone(&app));
        let listening = || Listening {
            app: Arc::clone(&app),
            routes: routes.clone(),
            places: Arc::default(),
            visitors: Arc::default(),
        };
        let address = tcp.as_ref().and_then(|t| t.local_addr().ok());
        // Each has places of its own: whatever comes over TCP, the owner of the Unix socket gets in.
        let (by_unix, by_tcp) = (listening(), listening());
        let places = [&by_unix, &by_tcp];
        let places = places.into_iter().flat_map(|l| [&l.places, &l.visitors]).cloned().collect();
        let mut tasks =
            vec![tokio::spawn(by_unix.unix(unix, held)), tokio::spawn(keep_time(Arc::clone(&app)))];
        tasks.extend(tcp.map(|tcp| tokio::spawn(by_tcp.tcp(tcp))));
        Server { app, socket, tcp: address, places, tasks }
    }
}

async fn keep_time(app: Arc<App>) {
    tokio::select! {
        () = app.closed() => {}
        () = app.leases.keep_time(&app.manager, || app.limits()) => {}
    }
}

async fn listen_tcp(address: SocketAddr, has_token: bool) -> Result<TcpListener, ServeError> {
    let failed = |why: String| ServeError::Tcp { address, why };
    if !address.ip().is_loopback() {
        return Err(failed(
            "it is not a loopback address, and TLS is not supported; listen on 127.0.0.1 or [::1], and put a proxy with TLS before it"
                .to_owned(),
        ));
    }
    if !has_token {
        return Err(failed("TCP needs a token".to_owned()));
    }
    TcpListener::bind(address).await.map_err(|e| failed(e.to_string()))
}

/// Takes the connections of a listener.
struct Listening {
    app: Arc<App>,
    routes: Router,
    places: Arc<Places>,
    /// For connections that find all places in use: an operator's request is answered here, others are refused with the reason.
    visitors: Arc<Places>,
}

impl Listening {
    async fn unix(self, listener: UnixListener, held: Held) {
        self.accept_from(&listener).await;
        drop(listener);
        drop(held);
    }

    async fn tcp(self, listener: TcpListener) {
        self.accept_from(&listener).await;
    }

    /// Takes connections until the server closes.
    async fn accept_from<L: Listener>(&self, listener: &L) {
        let closed = self.app.closed();
        tokio::pin!(closed);
        loop {
            let next = async {
                // A burst must not take all descriptors while those that gave way close. One of them may have begun a request
                // in that moment and take longer.
                drop(tokio::time::timeout(ACCEPT_PAUSE, self.places.displaced_have_closed()).await);
                // No connection is taken and then closed without an answer.
                self.visitors.room(Capacity::now(&self.app.limits()).visitors).await;
                listener.next().await
            };
            let accepted = tokio::select! {
                () = &mut closed => break,
                next = next => next,
            };
            match accepted {
                Ok((stream, pid)) => self.take(stream, L::VIA, pid),
                Err(error) => pause(&error).await,
            }
        }
    }

    fn take<S>(&self, stream: S, via: Via, pid: Option<u32>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = Peer { connection: self.app.new_connection(), pid };
        let capacity = Capacity::now(&self.app.limits());
        let holds = |connection| self.app.leases.holds(connection);
        let place = self.places.take_or_displace(peer.connection, capacity.connections, holds);
        let taken = match place {
            Some(place) => Some((place, Role::Client)),
            None => {
                let place = self.visitors.take(peer.connection, capacity.visitors);
                place.map(|place| (place, Role::Visitor))
            }
        };
        // One listener takes one connection after the other, and waited for room.
        let Some((place, role)) = taken else { return };
        let (app, routes) = (Arc::clone(&self.app), self.routes.clone());
        tokio::spawn(connection::serve(app, routes, stream, via, place, (role, peer)));
    }
}

/// Where connections come from.
trait Listener: Sync {
    /// The kind of its connections.
    const VIA: Via;
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, with the process at its other end where the system reports it.
    fn next(&self) -> impl Future<Output = std::io::Result<(Self::Stream, Option<u32>)>> + Send;
}

impl Listener for UnixListener {
    const VIA: Via = Via::Unix;
    type Stream = UnixStream;

    async fn next(&self) -> std::io::Result<(UnixStream, Option<u32>)> {
        let (stream, _) = self.accept().await?;
        let pid = stream.peer_cred().ok().and_then(|c| c.pid());
        Ok((stream, pid.and_then(|p| u32::try_from(p).ok())))
    }
}

impl Listener for TcpListener {
    const VIA: Via = Via::Tcp;
    type Stream = TcpStream;

    async fn next(&self) -> std::io::Result<(TcpStream, Option<u32>)> {
        let (stream, _) = self.accept().await?;
        drop(stream.set_nodelay(true));
        Ok((stream, None))
    }
}

async fn pause(error: &std::io::Error) {
    tracing::warn!(%error, "no connection can be taken");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

impl Server {
    /// The Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The TCP address, if there is one.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        self.tcp
    }

    /// The manager behind it.
    #[must_use]
    pub fn manager(&self) -> &Manager {
        &self.app.manager
    }

    /// Reads the configuration and the token file again. When the token is another one, what TCP clients have under way
    /// with the old one ends.
    ///
    /// # Errors
    /// When one of them has problems; neither is changed then.
    pub async fn reload(&self) -> Result<Reloaded, ReloadFailed> {
        self.app.reload(false).await
    }

    /// The reasons why the server is not ready, in words; empty when it is.
    pub async fn missing(&self) -> Vec<String> {
        match self.app.manager.status().await {
            Ok(status) => self.app.missing(&status),
            Err(refusal) => vec![refusal.to_string()],
        }
    }

    /// Stops listening, ends streams, gives leases back, and shuts the manager down within `deadline` (none = the
    /// configured one); a second call hastens. Returns the components that could not be stopped.
    pub async fn shutdown(&self, deadline: Option<Duration>) -> Vec<ComponentId> {
        self.app.close();
        self.app.leases.close();
        let stuck = self.app.manager.shutdown(deadline).await;
        let all_gone = async {
            for places in &self.places {
                places.all_gone().await;
            }
        };
        // Everything is answered by now; only slow readers are left.
        drop(tokio::time::timeout(LAST_ANSWERS, all_gone).await);
        stuck
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.app.is_closing() {
            self.tasks.iter().for_each(JoinHandle::abort);
        }
    }
}
