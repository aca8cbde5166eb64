//! One connection of a client: a request out, an answer in, and the checks that every answer gets.

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use majordomo_files::{Folder, is_trusted_user};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::Address;
use crate::error::ClientError;
use crate::problem::Problem;
use crate::wire::{VERSION, VERSION_HEADER, understand};

/// Answers larger than this are not read.
const LARGEST: usize = 256 << 20;

pub(super) struct Connection {
    send: SendRequest<Body>,
    address: Address,
    task: tokio::task::JoinHandle<()>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.address).finish()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The other side sees the end at once, and not when the runtime gets to it.
        self.task.abort();
    }
}

/// The reason why the file at the address is not a socket.
fn not_a_socket(address: &Address) -> Option<&'static str> {
    let Address::Unix(path) = address else { return None };
    match std::fs::metadata(path).ok()?.file_type() {
        kind if kind.is_socket() => None,
        kind if kind.is_dir() => Some("it is a directory, not a socket"),
        _ => Some("it is a file, not a socket"),
    }
}

impl Connection {
    pub(super) async fn open(address: &Address) -> Result<Self, ClientError> {
        let failed = |error: std::io::Error| match error.kind() {
            // How Linux answers for a Unix socket whose queue is full.
            ErrorKind::WouldBlock => ClientError::Crowded { address: address.to_string() },
            _ => {
                let why = not_a_socket(address).map_or_else(|| error.to_string(), str::to_owned);
                ClientError::NotRunning { address: address.to_string(), why }
            }
        };
        match address {
            Address::Unix(path) => {
                check_folder(path, address)?;
                let stream = UnixStream::connect(path).await.map_err(failed)?;
                check_peer(&stream, address)?;
                Self::over(stream, address).await
            }
            Address::Tcp(socket, _) => {
                let stream = TcpStream::connect(socket).await.map_err(failed)?;
                drop(stream.set_nodelay(true));
                Self::over(stream, address).await
            }
        }
    }

    async fn over<S>(stream: S, address: &Address) -> Result<Self, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (send, connection) = shaken.map_err(|e| broken(address, &e))?;
        let task = tokio::spawn(async move {
            // Its error comes out of the request that meets it.
            drop(connection.await);
        });
        Ok(Self { send, address: address.clone(), task })
    }

    /// Whether it takes another request.
    pub(super) async fn is_usable(&mut self) -> bool {
        self.send.ready().await.is_ok()
    }

    /// Sends a request and gives the head of its answer, if that is no problem.
    pub(super) async fn send(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::ACCEPT, "application/json")
            .header(VERSION_HEADER, VERSION);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Address::Tcp(_, token) = &self.address {
            request = request.header(header::AUTHORIZATION, token.bearer());
        }
        let request = request.body(Body::from(body)).map_err(|e| self.unreadable(e.to_string()))?;
        let response =
            self.send.send_request(request).await.map_err(|e| broken(&self.address, &e))?;
        self.check_version(&response)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = self.bytes(response).await?;
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(error) => Err(self.unreadable(format!("status {status}: {error}"))),
        }
    }

    fn check_version(&self, response: &Response<Incoming>) -> Result<(), ClientError> {
        let server = response.headers().get(VERSION_HEADER).and_then(|v| v.to_str().ok());
        match server {
            Some(server) if understand(server, VERSION) => Ok(()),
            // The server's own answer says it too; here the error is the same, whichever side sees it first.
            Some(server) => Err(ClientError::Version {
                address: self.address.to_string(),
                server: server.to_owned(),
                client: VERSION.to_owned(),
            }),
            // For want of room the server answers before it knows more.
            None if response.status() == 503 => Ok(()),
            None => Err(self.unreadable("it states no version: no Majordomo?".to_owned())),
        }
    }

    /// The bytes of an answer.
    pub(super) async fn bytes(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = http_body_util::Limited::new(response.into_body(), LARGEST);
        let collected = body.collect().await.map_err(|e| ClientError::Broken {
            address: self.address.to_string(),
            why: e.to_string(),
        })?;
        Ok(collected.to_bytes())
    }

    pub(super) fn unreadable(&self, why: String) -> ClientError {
        ClientError::Answer { address: self.address.to_string(), why }
    }
}

/// A user who may change the socket's folder could put another socket in the place of the server's.
fn check_folder(socket: &Path, address: &Address) -> Result<(), ClientError> {
    let Err(error) = Folder::holding(socket) else { return Ok(()) };
    Err(if error.is_untrusted() {
        ClientError::Untrusted { address: address.to_string(), why: error.to_string() }
    } else {
        let why = not_a_socket(address).map_or_else(|| error.message(), str::to_owned);
        ClientError::NotRunning { address: address.to_string(), why }
    })
}

/// Checks the user who listens, as the system reports it, whatever the path was a moment ago.
fn check_peer(stream: &UnixStream, address: &Address) -> Result<(), ClientError> {
    let untrusted = |why| ClientError::Untrusted { address: address.to_string(), why };
    let peer = stream.peer_cred().map_err(|e| untrusted(format!("who listens is unknown: {e}")))?;
    let (peer, user) = (peer.uid(), rustix::process::geteuid().as_raw());
    if is_trusted_user(peer) {
        return Ok(());
    }
    Err(untrusted(format!(
        "user {peer} listens there, and user {user} runs this; run this as user {peer}, or choose another --socket"
    )))
}

pub(super) fn broken(address: &Address, error: &hyper::Error) -> ClientError {
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !why.contains(&text) {
            why = format!("{why}: {text}");
        }
        cause = inner.source();
    }
    ClientError::Broken { address: address.to_string(), why }
}
