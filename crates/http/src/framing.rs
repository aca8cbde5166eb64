//! Where a request ends and the next one begins, read strictly before HTTP's parser sees a byte.
//!
//! Requests that two readers could split differently (two lengths, a length beside a transfer coding, bare line ends,
//! folded lines) are refused here, with a problem that says why; the parser behind it would take some of them and would
//! refuse others without a body. Source: RFC 9112, sections 2 to 7. Invariant: a head that passes is one that hyper
//! takes, too.

mod chunked;

use http::{HeaderName, Method, Uri};
use majordomo_core::quoted_start;

pub use chunked::Chunked;

/// The longest head of a request, in bytes.
pub const MAX_HEAD: usize = 32 << 10;
/// The longest first line of a request.
const MAX_FIRST_LINE: usize = 8 << 10;
/// Header fields of a request; hyper takes as many.
const MAX_FIELDS: usize = 100;
/// Empty lines before the first line of a request (RFC 9112, section 2.2).
const MAX_EMPTY_LINES: usize = 4;
/// The longest body that may be announced: hyper refuses the last values of 64 bits.
const MAX_LENGTH: u64 = u64::MAX / 2;

/// Why a head is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A code of the server's table of problems: `bad_request`, `uri_too_long` or `head_too_large`.
    pub code: &'static str,
    /// The mistake and the rule, in words.
    pub detail: String,
}

fn bad(detail: impl Into<String>) -> Fault {
    Fault { code: "bad_request", detail: detail.into() }
}

/// How the body of a request is delimited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes follow; none when it has no body.
    Length(u64),
    /// Chunks follow.
    Chunks(Chunked),
}

impl Framing {
    /// How many of these bytes, which come next, belong to the body. None when they break its rules.
    #[must_use]
    pub fn take(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Length(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= n as u64;
                Some(n)
            }
            Self::Chunks(chunked) => chunked.take(bytes),
        }
    }

    /// Whether the body has come whole.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunks(chunked) => chunked.is_done(),
        }
    }
}

/// Looks for the end of a head while it comes.
#[derive(Debug, Default)]
pub struct HeadEnd {
    /// Bytes that were looked at.
    scanned: usize,
    /// Where the line began that is being read.
    line: usize,
    /// Empty lines before the first line of the request.
    n_empty_lines: usize,
}

impl HeadEnd {
    /// The length of the head at the beginning of `bytes`, when it is there whole. `bytes` begin where they began
    /// before, and there may be more of them.
    ///
    /// # Errors
    /// As soon as it cannot become a head.
    pub fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        while let Some(&byte) = bytes.get(self.scanned) {
            let i = self.scanned;
            match (byte, bytes.get(i + 1)) {
                (b'\r', Some(b'\n')) => {
                    let is_empty = i == self.line;
                    let is_leading = i == 2 * self.n_empty_lines;
                    self.scanned += 2;
                    self.line = self.scanned;
                    if is_leading {
                        self.n_empty_lines += 1;
                        if self.n_empty_lines > MAX_EMPTY_LINES {
                            return Err(bad(format!(
                                "the request begins with more than {MAX_EMPTY_LINES} empty lines"
                            )));
                        }
                    } else if is_empty {
                        return Ok(Some(self.scanned));
                    }
                }
                (b'\r', None) => break,
                (b'\r', Some(_)) => return Err(bad("a line of the head has a CR without an LF")),
                (b'\n', _) => return Err(bad("a line of the head ends with an LF without a CR")),
                _ => self.scanned += 1,
            }
            if self.scanned > MAX_HEAD {
                break;
            }
        }
        if bytes.len() <= MAX_HEAD {
            return Ok(None);
        }
        Err(match self.line {
            0 => too_long(bytes.len()),
            _ => Fault {
                code: "head_too_large",
                detail: format!("the head of the request has more than {MAX_HEAD} bytes"),
            },
        })
    }
}

fn too_long(length: usize) -> Fault {
    Fault {
        code: "uri_too_long",
        detail: format!(
            "the first line of the request has {length} bytes or more; it may have {MAX_FIRST_LINE}"
        ),
    }
}

/// Checks a complete head and returns how the body after it is delimited.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(head: &[u8]) -> Result<Framing, Fault> {
    let start = head.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(0);
    let mut lines =
        head[start..].split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    let is_1_0 = first_line(lines.next().unwrap_or_default())?;
    let (mut length, mut is_chunked, mut n_fields) = (None, false, 0);
    for line in lines.take_while(|l| !l.is_empty()) {
        n_fields += 1;
        if n_fields > MAX_FIELDS {
            return Err(Fault {
                code: "head_too_large",
                detail: format!("the request has more than {MAX_FIELDS} header fields"),
            });
        }
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case("content-length") {
            if length.is_some() {
                return Err(bad("the request has more than one Content-Length"));
            }
            length = Some(number(value)?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(bad(format!(
                    "the Transfer-Encoding is {}; only `chunked`, once, is taken",
                    quoted_start(&String::from_utf8_lossy(value))
                )));
            }
            is_chunked = true;
        }
    }
    match (length, is_chunked) {
        (Some(_), true) => Err(bad("the request has both Content-Length and Transfer-Encoding")),
        (None, true) if is_1_0 => Err(bad("HTTP/1.0 has no Transfer-Encoding")),
        (None, true) => Ok(Framing::Chunks(Chunked::default())),
        (length, false) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

/// Checks a request line; whether it is one of HTTP/1.0.
fn first_line(line: &[u8]) -> Result<bool, Fault> {
    if line.len() > MAX_FIRST_LINE {
        return Err(too_long(line.len()));
    }
    let line_start = || quoted_start(&String::from_utf8_lossy(line)).to_string();
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad(format!(
            "the first line is {}, not `METHOD /PATH HTTP/1.1` with single spaces",
            line_start()
        )));
    };
    if Method::from_bytes(method).is_err() {
        return Err(bad(format!("the first line {} begins with no method", line_start())));
    }
    if !target.iter().all(u8::is_ascii_graphic) || Uri::try_from(target).is_err() {
        return Err(bad(format!("the first line {} has no usable path", line_start())));
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ => Err(bad(format!("the first line {} does not end with HTTP/1.1", line_start()))),
    }
}

/// The name of a header field, and its value without space around it.
fn field(line: &[u8]) -> Result<(&str, &[u8]), Fault> {
    let line_start = || quoted_start(&String::from_utf8_lossy(line)).to_string();
    if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
        return Err(bad(format!(
            "the header line {} is folded; write it in one line",
            line_start()
        )));
    }
    let colon = line.iter().position(|b| *b == b':');
    let (name, value) = colon.map_or((line, &line[line.len()..]), |c| (&line[..c], &line[c + 1..]));
    let name = std::str::from_utf8(name).ok().filter(|n| colon.is_some() && is_name(n));
    let name =
        name.ok_or_else(|| bad(format!("the header line {} is no `Name: value`", line_start())))?;
    if value.iter().any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f) {
        return Err(bad(format!("the header {} has a control character", quoted_start(name))));
    }
    Ok((name, value.trim_ascii()))
}

fn is_name(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok()
}

fn number(value: &[u8]) -> Result<u64, Fault> {
    let text = std::str::from_utf8(value).ok();
    let digits = text.filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()));
    let length = digits.and_then(|t| t.parse().ok()).filter(|n| *n <= MAX_LENGTH);
    length.ok_or_else(|| {
        let value = String::from_utf8_lossy(value);
        bad(format!("the Content-Length is {}, which is no length", quoted_start(&value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(head: &str) -> Result<Framing, Fault> {
        let end = HeadEnd::default().find(head.as_bytes())?.expect("a whole head");
        check(&head.as_bytes()[..end])
    }

    #[test]
    fn ambiguous_heads_are_refused_and_others_delimited() {
        let length = |n| Some(Framing::Length(n));
        let chunks = Some(Framing::Chunks(Chunked::default()));
        for (fields, want) in [
            ("", length(0)),
            ("Content-Length: 5\r\n", length(5)),
            ("Content-Length:5\r\nx: \u{e9}\r\n", length(5)),
            ("Transfer-Encoding: Chunked\r\n", chunks),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", None),
            ("Content-Length: 5, 5\r\n", None),
            ("Content-Length: +5\r\n", None),
            ("Content-Length: -1\r\n", None),
            ("Content-Length: 0x5\r\n", None),
            ("Content-Length:\r\n", None),
            ("Content-Length: 99999999999999999999\r\n", None),
            ("Content-Length: 18446744073709551615\r\n", None),
            ("Content-Length : 5\r\n", None),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", None),
            ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", None),
            ("Transfer-Encoding: identity\r\n", None),
            ("Transfer-Encoding: gzip, chunked\r\n", None),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", None),
            ("Transfer-Encoding: chunked, chunked\r\n", None),
            ("Transfer-Encoding:\x0bchunked\r\n", None),
            ("x: a\r\n b\r\n", None),
            (" x: a\r\n", None),
            ("x\r\n", None),
            (": x\r\n", None),
            ("x y: z\r\n", None),
            ("x: a\0b\r\n", None),
            ("x: a\rb\r\n", None),
            ("x: a\nContent-Length: 5\r\n", None),
        ] {
            let head = format!("POST /v1 HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n");
            let got = whole(&head);
            assert_eq!(got.clone().ok(), want, "{fields:?}: {got:?}");
        }
    }

    #[test]
    fn the_first_line_is_method_path_and_version() {
        for (line, is_taken) in [
            ("GET / HTTP/1.1", true),
            ("\r\nGET / HTTP/1.0", true),
            ("\r\n\r\n\r\n\r\nGET / HTTP/1.1", true),
            ("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1", false),
            ("GET http://localhost/v1 HTTP/1.1", true),
            ("OPTIONS * HTTP/1.1", true),
            ("get /a?b=%20 HTTP/1.1", true),
            ("GET / HTTP/2.0", false),
            ("GET / HTTP/1.1 ", false),
            ("GET  / HTTP/1.1", false),
            ("GET\t/ HTTP/1.1", false),
            ("GET /", false),
            ("GET v1 HTTP/1.1/", false),
            ("G\0T / HTTP/1.1", false),
            ("GET /\u{e9} HTTP/1.1", false),
            ("GET / HTTP/1.1\n", false),
        ] {
            assert_eq!(whole(&format!("{line}\r\n\r\n")).is_ok(), is_taken, "{line:?}");
        }
        let chunks = "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(whole(chunks).is_err(), "HTTP/1.0 has no chunks");
    }

    #[test]
    fn large_heads_are_refused_by_what_is_large() {
        let code = |head: String| match whole(&head) {
            Ok(_) => "taken",
            Err(fault) => {
                assert!(fault.detail.len() < 2000, "{}", fault.detail.len());
                fault.code
            }
        };
        let of = |n: usize| "x".repeat(n);
        assert_eq!(code(format!("GET /{} HTTP/1.1\r\n\r\n", of(8000))), "taken");
        assert_eq!(code(format!("GET /{} HTTP/1.1\r\n\r\n", of(9000))), "uri_too_long");
        assert_eq!(code(format!("GET /{}", of(MAX_HEAD))), "uri_too_long");
        assert_eq!(code(format!("GET / HTTP/1.1\r\nx: {}", of(MAX_HEAD))), "head_too_large");
        let fields = "x: y\r\n".repeat(101);
        assert_eq!(code(format!("GET / HTTP/1.1\r\n{fields}\r\n")), "head_too_large");
        assert_eq!(
            code(format!("{} / HTTP/1.1\r\n\r\n", of(3000).replace('x', "\u{1b}"))),
            "bad_request"
        );
    }

    #[test]
    fn a_head_is_found_however_its_bytes_are_split() {
        let head = b"\r\nGET / HTTP/1.1\r\nx: y\r\n\r\nGET";
        let mut end = HeadEnd::default();
        for n in 0..head.len() - 3 {
            assert_eq!(end.find(&head[..n]), Ok(None), "{n}");
        }
        assert_eq!(end.find(head), Ok(Some(head.len() - 3)));
    }
}
