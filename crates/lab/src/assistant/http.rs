//! A request to a component and its answer: HTTP/1.1 over a connection of its own, and the protocol
//! of redis.
//!
//! Knows neither what is asked nor what a good answer is. Answers are bounded, and so is the time
//! for each.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use majordomo_server::wire::Endpoint;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

/// A component that has not answered by then does not.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer answers are cut.
const LONGEST: u64 = 16 << 20;

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

async fn connect(endpoint: &Endpoint) -> anyhow::Result<Box<dyn Wire>> {
    if let Some(port) = endpoint.port {
        let host = endpoint.host.as_deref().unwrap_or("127.0.0.1");
        let stream = TcpStream::connect((host, port))
            .await
            .with_context(|| format!("no connection to {host}:{port}"))?;
        return Ok(Box::new(stream));
    }
    let path = endpoint.socket.as_deref().context("the component has no address")?;
    let stream =
        UnixStream::connect(path).await.with_context(|| format!("no connection to {path}"))?;
    Ok(Box::new(stream))
}

async fn within<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))?
}

/// Sends a request; the body of an answer with status 2xx.
pub(super) async fn request(
    endpoint: &Endpoint,
    method: &str,
    path: &str,
    body: &[u8],
) -> anyhow::Result<Vec<u8>> {
    within(async {
        let mut wire = connect(endpoint).await?;
        let host = match (&endpoint.host, endpoint.port) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (None, Some(port)) => format!("127.0.0.1:{port}"),
            _ => "localhost".to_owned(),
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        wire.write_all(head.as_bytes()).await?;
        wire.write_all(body).await?;
        read_answer(&mut wire).await
    })
    .await
}

async fn read_answer(wire: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut wire = wire.take(LONGEST);
    loop {
        if let Some(answer) = parse(&bytes, false)? {
            return Ok(answer);
        }
        if wire.read_buf(&mut bytes).await? == 0 {
            return parse(&bytes, true)?.context("the answer ends too early");
        }
    }
}

/// The body of a complete answer; none as long as more must come. `ended`: no more comes.
fn parse(bytes: &[u8], ended: bool) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        ensure!(!ended, "the answer is no HTTP: {} bytes without an end of its head", bytes.len());
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let body = &bytes[end + 4..];
    let status: u16 = head
        .split_whitespace()
        .nth(1)
        .and_then(|s| s.parse().ok())
        .context("the answer has no status")?;
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let is_chunked = field("Transfer-Encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
    let body = if is_chunked {
        match chunks(body)? {
            Some(body) => body,
            None if ended => bail!("the answer ends within a chunk"),
            None => return Ok(None),
        }
    } else {
        match field("Content-Length") {
            Some(length) => {
                let length: usize = length.parse().context("the answer's length is no number")?;
                match body.get(..length) {
                    Some(body) => body.to_vec(),
                    None if ended => bail!("the answer has {} of {length} bytes", body.len()),
                    None => return Ok(None),
                }
            }
            None if ended => body.to_vec(),
            None => return Ok(None),
        }
    };
    if !(200..300).contains(&status) {
        let text: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        bail!("status {status}: {}", text.trim());
    }
    Ok(Some(body))
}

fn chunks(mut rest: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|w| w == b"\r\n") else { return Ok(None) };
        let size = String::from_utf8_lossy(&rest[..end]);
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).context("a chunk has no size")?;
        if size == 0 {
            return Ok(Some(body));
        }
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else { return Ok(None) };
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).unwrap_or_default();
    }
}

/// Sends a command to redis; its answer as text.
pub(super) async fn redis(endpoint: &Endpoint, words: &[String]) -> anyhow::Result<String> {
    within(async {
        let mut wire = connect(endpoint).await?;
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        wire.write_all(command.as_bytes()).await?;
        let mut bytes = Vec::new();
        loop {
            if let Some(answer) = redis_answer(&bytes)? {
                return Ok(answer);
            }
            ensure!(wire.read_buf(&mut bytes).await? > 0, "redis closed the connection");
        }
    })
    .await
}

/// A simple text, an integer or a string of redis; none as long as more must come.
fn redis_answer(bytes: &[u8]) -> anyhow::Result<Option<String>> {
    let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") else { return Ok(None) };
    let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
    match line.split_at_checked(1) {
        Some(("+" | ":", text)) => Ok(Some(text.to_owned())),
        Some(("-", error)) => bail!("redis: {error}"),
        Some(("$", length)) => {
            let length: i64 = length.parse().context("a string of redis has no length")?;
            let Ok(length) = usize::try_from(length) else { bail!("redis has no such value") };
            let text = bytes.get(end + 2..end + 2 + length);
            Ok(text.map(|t| String::from_utf8_lossy(t).into_owned()))
        }
        _ => bail!("redis answered {line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], ended: bool) -> Option<String> {
        parse(bytes, ended).unwrap().map(|b| String::from_utf8(b).unwrap())
    }

    #[test]
    fn answers_end_by_length_chunk_or_connection() {
        let by_length = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(text(by_length, false).as_deref(), Some("hi"));
        assert_eq!(text(&by_length[..by_length.len() - 1], false), None);
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n";
        assert_eq!(text(chunked, false).as_deref(), Some("hi!"));
        assert_eq!(text(&chunked[..chunked.len() - 8], false), None);
        let by_end = b"HTTP/1.0 201 Made\r\n\r\nhi";
        assert_eq!((text(by_end, false), text(by_end, true).as_deref()), (None, Some("hi")));
    }

    #[test]
    fn an_answer_that_is_cut_or_an_error_is_reported() {
        let error = |bytes: &[u8]| parse(bytes, true).unwrap_err().to_string();
        assert!(error(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi").contains("2 of 9"));
        assert!(error(b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad").contains("500: bad"));
        assert!(error(b"hello").contains("no HTTP"));
    }

    #[test]
    fn redis_answers_are_read() {
        let check = |bytes: &[u8], want: Option<&str>| {
            assert_eq!(redis_answer(bytes).unwrap().as_deref(), want);
        };
        check(b"+OK\r\n", Some("OK"));
        check(b":7\r\n", Some("7"));
        check(b"$5\r\nhello\r\n", Some("hello"));
        check(b"$5\r\nhel", None);
        check(b"$5", None);
        assert!(redis_answer(b"$-1\r\n").is_err() && redis_answer(b"-ERR no\r\n").is_err());
    }
}
