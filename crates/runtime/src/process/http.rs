//! A request without a body, and only the status of its answer: enough to ask a program whether it works, and
//! to ask it to trim.
//!
//! HTTP/1.1 without keep-alive, redirects or bodies (RFC 9112). The status is looked for in the first kilobyte of the answer.
//! The rest is read and dropped within bounds: a program may write its answer in parts, and a connection that is closed between them
//! would fail its write, or end it by SIGPIPE.

use std::path::Path;
use std::time::Duration;

use majordomo_core::quoted;
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

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

impl Method {
    const fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// Sends a request to a service and returns the status code of the answer. An error says whether there was a connection. The caller
/// bounds the time.
pub(crate) async fn request_to(
    url: &ServiceUrl,
    method: &str,
    path: &str,
) -> Result<u16, (bool, String)> {
    let stream = connect_to(url).await.map_err(|why| (false, why))?;
    exchange(stream, method, &url.authority(), path).await.map_err(|why| (true, why))
}

/// A connection to any address of the host. The caller bounds the time.
pub(crate) async fn connect_to(url: &ServiceUrl) -> Result<TcpStream, String> {
    let connected = TcpStream::connect((url.host(), url.port())).await;
    connected.map_err(|e| format!("it takes no connection: {e}"))
}

/// Sends a request to an endpoint and returns the status code of the answer. The caller bounds the time.
pub(super) async fn request(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
) -> Result<u16, String> {
    let no_connection = |e| format!("it takes no connection: {e}");
    if let Some(address) = endpoint.address() {
        let stream = TcpStream::connect(address).await.map_err(no_connection)?;
        exchange(stream, method.word(), &address.to_string(), path).await
    } else {
        let socket = endpoint.socket.as_deref().unwrap_or(Path::new(""));
        let stream = UnixStream::connect(socket).await.map_err(no_connection)?;
        exchange(stream, method.word(), "localhost", path).await
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: &str,
    host: &str,
    path: &str,
) -> Result<u16, String> {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let length = if method == "GET" { "" } else { "Content-Length: 0\r\n" };
    let request = format!(
        "{method} {slash}{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: majordomo\r\nAccept: */*\r\n{length}Connection: close\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|e| format!("it cannot be written to: {e}"))?;
    let mut answer = Vec::with_capacity(MAX_STATUS_LINE);
    let mut start = (&mut stream).take(MAX_STATUS_LINE as u64);
    while !answer.contains(&b'\n') {
        let n = start.read_buf(&mut answer).await.map_err(|e| format!("it cannot be read: {e}"))?;
        if n == 0 {
            break;
        }
    }
    tokio::spawn(read_rest(stream));
    parse_status(&answer).ok_or_else(|| {
        let start = &answer[..answer.len().min(40)];
        format!(
            "it does not speak HTTP; its answer starts with {}",
            quoted(&String::from_utf8_lossy(start))
        )
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
