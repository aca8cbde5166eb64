//! A request, and only the status of its answer: enough to ask a program whether it works, to warm up, and to trim.
//!
//! HTTP/1.1 without keep-alive or redirects (RFC 9112). The status is looked for in the first kilobyte of the answer.
//! The rest is read and dropped within bounds: a program may write its answer in parts, and a connection that is closed between them
//! would fail its write, or end it by SIGPIPE. Only a request to warm up waits for the rest.

mod whole;

use std::io;
use std::path::Path;
use std::time::Duration;

use majordomo_core::{ByteSize, quoted};
use majordomo_registry::ServiceUrl;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::Endpoint;

const MAX_STATUS_LINE: usize = 1024;
/// Bytes of an answer that are read after its status.
const MAX_REST: u64 = 64 << 10;
/// The program has so long to write them.
const REST_DEADLINE: Duration = Duration::from_secs(2);

/// Why a request has no status.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("it takes no connection: {0}")]
    NoConnection(io::Error),
    #[error("it cannot be written to: {0}")]
    NotSent(io::Error),
    /// The request was sent.
    #[error("its answer cannot be read: {0}")]
    Unread(io::Error),
    /// The request was sent.
    #[error("it closed the connection without an answer")]
    NoAnswer,
    #[error("it does not speak HTTP; its answer starts with {}", quoted(.0))]
    NotHttp(String),
    /// The request was sent.
    #[error("its answer ended before its end: {0}")]
    Incomplete(&'static str),
    /// The request was sent.
    #[error("its answer is longer than {0}")]
    TooLong(ByteSize),
}

impl RequestError {
    /// Whether the program may act on the request.
    pub(crate) const fn was_sent(&self) -> bool {
        !matches!(self, Self::NoConnection(_) | Self::NotSent(_))
    }
}

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

/// The head of a request; `about` are the lines about its body.
fn head(method: &str, host: &str, path: &str, about: &str) -> String {
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!(
        "{method} {slash}{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: majordomo\r\nAccept: */*\r\n{about}Connection: close\r\n\r\n"
    )
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

fn status_of(answer: &[u8]) -> Result<u16, RequestError> {
    parse_status(answer).ok_or_else(|| {
        let start = &answer[..answer.len().min(40)];
        RequestError::NotHttp(String::from_utf8_lossy(start).into_owned())
    })
}

/// Reads the rest of an answer, and closes the connection.
async fn read_rest(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    // A program that would wait for another request sees that there is none.
    let _ = stream.shutdown().await;
    let _ = timeout(REST_DEADLINE, copy(&mut stream.take(MAX_REST), &mut sink())).await;
}

fn parse_status(answer: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(answer.split(|b| *b == b'\n').next()?).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next()?.strip_prefix("HTTP/1.")?;
    words.next()?.parse().ok().filter(|code| (100..600).contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        let check =
            |answer: &str, want| assert_eq!(parse_status(answer.as_bytes()), want, "{answer:?}");
        check("HTTP/1.1 200 OK\r\nX: y\r\n", Some(200));
        check("HTTP/1.0 503 \r\n", Some(503));
        check("HTTP/1.1 200", Some(200));
        check("HTTP/1.1 99 x\r\n", None);
        check("-ERR unknown command 'GET'\r\n", None);
        check("", None);
    }
}
