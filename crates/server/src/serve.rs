//! The server: where it listens, how many it lets in, and how it ends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use majordomo::{ComponentId, Manager};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::{App, locked};
use crate::client::Token;
use crate::connection::{self, Peer, Via};
use crate::error::ServeError;
use crate::leases::LeaseTable;
use crate::socket::{self, Held};

/// When the system gives no connection (too many open files), try again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Answers that are still on their way when everything is down have this long.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// So many are told at once that there is no room; the next ones wait in the system's queue meanwhile.
const REFUSED_AT_ONCE: usize = 256;
/// Whoever finds no room is told so after this even if no request has come …
const REFUSAL: Duration = Duration::from_secs(1);
/// … and has this long to read it.
const HEARING: Duration = Duration::from_secs(1);
/// Sent to those for whom there is no room.
const FULL: &str = concat!(
    "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n",
    "connection: close\r\ncontent-length: 213\r\n\r\n",
    r#"{"type":"urn:majordomo:problem:too_many_connections","title":"too many connections","status":503,"code":"too_many_connections","detail":"server.max_connections are open; close some, or raise it","retry_after_s":1}"#,
);

/// Where to listen.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// The Unix socket; none = [`default_socket`](crate::default_socket).
    pub socket: Option<PathBuf>,
    /// A TCP address besides, which must be of this machine alone.
    pub tcp: Option<SocketAddr>,
    /// What clients over TCP must know. Needed with `tcp`.
    pub token: Option<Token>,
}

/// A running server. Dropping it leaves it running; end it with [`Self::shutdown`].
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    socket: PathBuf,
    tcp: Option<SocketAddr>,
    count: Arc<Count>,
    tasks: Vec<JoinHandle<()>>,
}

/// How many connections there are.
#[derive(Debug)]
struct Count {
    open: Mutex<usize>,
    /// Told when one goes.
    gone: watch::Sender<()>,
}

/// A place among the connections.
struct Place(Arc<Count>);

impl Drop for Place {
    fn drop(&mut self) {
        *locked(&self.0.open) -= 1;
        self.0.gone.send_replace(());
    }
}

impl Count {
    fn take(self: &Arc<Self>, max: usize) -> Option<Place> {
        let mut open = locked(&self.open);
        if *open >= max {
            return None;
        }
        *open += 1;
        Some(Place(Arc::clone(self)))
    }
}

/// A place to listen at, held before there is a manager: clients that connect meanwhile wait.
#[derive(Debug)]
pub struct Claimed {
    unix: UnixListener,
    held: Held,
    tcp: Option<TcpListener>,
    token: Option<Token>,
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
    Ok(Claimed { unix, held, tcp, token: options.token })
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
        let Self { unix, held, tcp, token } = self;
        let socket = held.path().to_path_buf();
        let app = Arc::new(App::new(manager, token));
        let routes = crate::routes::router(Arc::clone(&app));
        let nobody = || Arc::new(Count { open: Mutex::new(0), gone: watch::Sender::new(()) });
        let (count, refusing) = (nobody(), nobody());
        let listening =
            Listening { app: Arc::clone(&app), routes, count: Arc::clone(&count), refusing };
        let address = tcp.as_ref().and_then(|t| t.local_addr().ok());
        let mut tasks = vec![
            tokio::spawn(listening.clone().unix(unix, held)),
            tokio::spawn(keep_time(Arc::clone(&app))),
        ];
        tasks.extend(tcp.map(|tcp| tokio::spawn(listening.tcp(tcp))));
        Server { app, socket, tcp: address, count, tasks }
    }
}

async fn keep_time(app: Arc<App>) {
    tokio::select! {
        () = app.closed() => {}
        () = LeaseTable::keep_time(&app, &app.manager) => {}
    }
}

async fn listen_tcp(address: SocketAddr, has_token: bool) -> Result<TcpListener, ServeError> {
    let failed = |why: String| ServeError::Tcp { address, why };
    if !address.ip().is_loopback() {
        return Err(failed(
            "it is not of this machine alone, and this program speaks no TLS; listen on 127.0.0.1 or [::1], and put a proxy with TLS before it"
                .to_owned(),
        ));
    }
    if !has_token {
        return Err(failed("TCP needs a token".to_owned()));
    }
    TcpListener::bind(address).await.map_err(|e| failed(e.to_string()))
}

/// What the listeners share.
#[derive(Clone)]
struct Listening {
    app: Arc<App>,
    routes: Router,
    count: Arc<Count>,
    /// Those who are told that there is no room.
    refusing: Arc<Count>,
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
                let room = self.room().await;
                (listener.next().await, room)
            };
            let (accepted, room) = tokio::select! {
                () = &mut closed => break,
                next = next => next,
            };
            match accepted {
                Ok((stream, pid)) => self.take(room, stream, L::VIA, pid),
                Err(error) => pause(&error).await,
            }
        }
    }

    /// Waits until the next connection can be served, or at least told that it cannot: nobody is taken and then cut
    /// off without a word.
    async fn room(&self) -> Place {
        let mut gone = self.refusing.gone.subscribe();
        loop {
            if let Some(place) = self.refusing.take(REFUSED_AT_ONCE) {
                return place;
            }
            // The sender lives as long as `self`.
            let _ = gone.changed().await;
        }
    }

    /// Serves the connection, or tells it, in the place among those who are told, that there is no room.
    fn take<S>(&self, refusing: Place, stream: S, via: Via, pid: Option<u32>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(place) = self.count.take(self.app.limits().max_connections) else {
            tokio::spawn(async move {
                refuse(stream).await;
                drop(refusing);
            });
            return;
        };
        drop(refusing);
        let peer = Peer { connection: self.app.new_connection(), pid };
        let (app, routes) = (Arc::clone(&self.app), self.routes.clone());
        tokio::spawn(async move {
            connection::serve(app, routes, stream, via, peer).await;
            drop(place);
        });
    }
}

/// Where connections come from.
trait Listener: Sync {
    /// How its connections are told apart.
    const VIA: Via;
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, with the process at its other end where the system tells.
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

/// Says that there is no room: after the head of a request has come, since to an HTTP client an answer before it is
/// none, or when none comes for too long; and hears it out, since closing on unread bytes takes the answer away again.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    match tokio::time::timeout(REFUSAL, head(&mut stream)).await {
        Ok(Ok(true)) | Err(_) => {}
        // Gone already.
        Ok(Ok(false) | Err(_)) => return,
    }
    let told = async {
        stream.write_all(FULL.as_bytes()).await?;
        stream.shutdown().await?;
        let mut bytes = [0u8; 2048];
        while stream.read(&mut bytes).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whether it hears it or not.
    let _ = tokio::time::timeout(HEARING, told).await;
}

/// Reads up to the end of a head; false when the stream ends before.
async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<bool> {
    let mut bytes = [0u8; 2048];
    let mut tail = Vec::new();
    while !tail.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = stream.read(&mut bytes).await?;
        if n == 0 {
            return Ok(false);
        }
        tail.drain(..tail.len().saturating_sub(3));
        tail.extend_from_slice(&bytes[..n]);
    }
    Ok(true)
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

    /// What keeps it from being ready, in words; empty when it is.
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
        let mut gone = self.count.gone.subscribe();
        let all_gone = async {
            while *locked(&self.count.open) > 0 {
                if gone.changed().await.is_err() {
                    return;
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_those_without_room_is_whole() {
        let (head, body) = FULL.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
        let problem: crate::Problem = serde_json::from_str(body).unwrap();
        let row = crate::TABLE.iter().find(|r| r.code == problem.code).unwrap();
        assert_eq!((problem.status, &*problem.title), (row.status, row.title));
        assert_eq!(problem.retry_after_s(), Some(1));
    }
}
