//! The head of a request, the status line of its answer, and why there is none.

use std::io;

use majordomo_core::{ByteSize, quoted};

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

/// The head of a request; `about` are the lines about its body.
pub(super) fn head(method: &str, host: &str, path: &str, about: &str) -> String {
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!(
        "{method} {slash}{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: majordomo\r\nAccept: */*\r\n{about}Connection: close\r\n\r\n"
    )
}

pub(super) fn status_of(answer: &[u8]) -> Result<u16, RequestError> {
    parse_status(answer).ok_or_else(|| {
        let start = &answer[..answer.len().min(40)];
        RequestError::NotHttp(String::from_utf8_lossy(start).into_owned())
    })
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
