//! A request, and only the status of its answer: enough to ask a program whether it works, to warm up, and to trim.
//!
//! HTTP/1.1 without keep-alive or redirects (RFC 9112). The status is looked for in the first kilobyte of the answer.
//! The rest is read and dropped within bounds: a program may write its answer in parts, and a connection that is closed between them
//! would fail its write, or end it by SIGPIPE. Only a request to warm up waits for the rest.

mod message;
mod whole;

use std::io;
use std::path::Path;
use std::time::Duration;

use majordomo_registry::ServiceUrl;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

pub(crate) use self::message::RequestError;
use self::message::{head, status_of};
use super::Endpoint;

const MAX_STATUS_LINE: usize = 1024;
/// Bytes of an answer that are read after its status.
const MAX_REST: u64 = 64 << 10;
/// The program has so long to write them.
const REST_DEADLINE: Duration = Duration::from_secs(2);

/// Sends a request to a service and returns the status code of the answer. The caller bounds the time.
pub(crate) async fn request_to(
    url: &ServiceUrl,
    method: &str,
    path: &str,
) -> Result<u16, RequestError> {
    let stream = connect_to(url).await.map_err(RequestError::NoConnection)?;
    exchange(stream, method, &url.authority(), path).await
}

/// A connection to any address of the host. The caller bounds the time.
pub(crate) async fn connect_to(url: &ServiceUrl) -> io::Result<TcpStream> {
    TcpStream::connect((url.host(), url.port())).await
}

/// Sends a request to an endpoint and returns the status code of the answer. The caller bounds the time.
pub(super) async fn request(
    endpoint: &Endpoint,
    method: &str,
    path: &str,
) -> Result<u16, RequestError> {
    request_watched(endpoint, method, path, || ()).await
}

/// The same; calls `connected` once there is a connection.
pub(super) async fn request_watched(
    endpoint: &Endpoint,
    method: &str,
    path: &str,
    connected: impl Fn(),
) -> Result<u16, RequestError> {
    if let Some(address) = endpoint.address() {
        let stream = TcpStream::connect(address).await.map_err(RequestError::NoConnection)?;
        connected();
        exchange(stream, method, &address.to_string(), path).await
    } else {
        let socket = endpoint.socket.as_deref().unwrap_or(Path::new(""));
        let stream = UnixStream::connect(socket).await.map_err(RequestError::NoConnection)?;
        connected();
        exchange(stream, method, "localhost", path).await
    }
}

/// Sends a request, with `body` where there is one, and reads its answer to the end. Returns the status code. The caller bounds the
/// time.
pub(super) async fn request_whole(
    endpoint: &Endpoint,
    path: &str,
    body: Option<&str>,
) -> Result<u16, RequestError> {
    if let Some(address) = endpoint.address() {
        let stream = TcpStream::connect(address).await.map_err(RequestError::NoConnection)?;
        whole::exchange(stream, &address.to_string(), path, body).await
    } else {
        let socket = endpoint.socket.as_deref().unwrap_or(Path::new(""));
        let stream = UnixStream::connect(socket).await.map_err(RequestError::NoConnection)?;
        whole::exchange(stream, "localhost", path, body).await
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: &str,
    host: &str,
    path: &str,
) -> Result<u16, RequestError> {
    let about = if method == "GET" { "" } else { "Content-Length: 0\r\n" };
    let request = head(method, host, path, about);
    stream.write_all(request.as_bytes()).await.map_err(RequestError::NotSent)?;
    let mut answer = Vec::with_capacity(MAX_STATUS_LINE);
    let mut start = (&mut stream).take(MAX_STATUS_LINE as u64);
    while !answer.contains(&b'\n') {
        if start.read_buf(&mut answer).await.map_err(RequestError::Unread)? == 0 {
            break;
        }
    }
    if answer.is_empty() {
        return Err(RequestError::NoAnswer);
    }
    tokio::spawn(read_rest(stream));
    status_of(&answer)
}

/// Reads the rest of an answer, and closes the connection.
async fn read_rest(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    // A program that would wait for another request sees that there is none.
    let _ = stream.shutdown().await;
    let _ = timeout(REST_DEADLINE, copy(&mut stream.take(MAX_REST), &mut sink())).await;
}
