//! A request whose answer is read to its end, by its stated length, by its chunks, or until the connection is closed.
//!
//! Invariant: no more than a bound is read, and of that only one line is held at a time.

use majordomo_core::ByteSize;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
    copy, sink,
};

use super::message::{RequestError, head, status_of};

/// An answer has at most so many bytes.
const MOST: ByteSize = ByteSize::mib(64);
/// A line of the head, or of the size of a chunk.
const MAX_LINE: u64 = 16 << 10;
const HEAD: &str = "it closed the connection within its head";
const BODY: &str = "it closed the connection within its body";

/// Where the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    After(u64),
    LastChunk,
    Close,
}

pub(super) async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
    body: Option<&str>,
) -> Result<u16, RequestError> {
    let about = body.map(|body| {
        format!("Content-Type: {}\r\nContent-Length: {}\r\n", content_type(body), body.len())
    });
    let method = if body.is_some() { "POST" } else { "GET" };
    let request = head(method, host, path, &about.unwrap_or_default());
    let request = [request.as_bytes(), body.unwrap_or_default().as_bytes()].concat();
    stream.write_all(&request).await.map_err(RequestError::NotSent)?;
    let mut answer = BufReader::new(stream).take(MOST.bytes());
    let outcome = read(&mut answer).await;
    match outcome {
        // The bound looks like the end of the connection.
        Ok(_) | Err(RequestError::Incomplete(_)) if answer.limit() == 0 => {
            Err(RequestError::TooLong(MOST))
        }
        outcome => outcome,
    }
}

/// A JSON object or list is sent as such.
fn content_type(body: &str) -> &'static str {
    let is_json = serde_json::from_str::<&serde_json::value::RawValue>(body).is_ok();
    match body.trim_ascii_start().as_bytes().first() {
        Some(b'{' | b'[') if is_json => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}

async fn read(mut answer: impl AsyncBufRead + Unpin) -> Result<u16, RequestError> {
    let status_line = line(&mut answer).await?;
    if status_line.is_empty() {
        return Err(RequestError::NoAnswer);
    }
    let status = status_of(&status_line)?;
    let mut end = End::Close;
    loop {
        let line = line(&mut answer).await?;
        if !line.ends_with(b"\n") {
            return Err(RequestError::Incomplete(HEAD));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.is_empty() {
            break;
        }
        end = end_by(text).unwrap_or(end);
    }
    match end {
        // By these codes there is none, whatever the head states.
        _ if matches!(status, 100..200 | 204 | 304) => {}
        End::After(n) => skip(&mut answer, n).await?,
        End::LastChunk => chunks(&mut answer).await?,
        End::Close => drop(copy_all(&mut answer).await?),
    }
    Ok(status)
}

/// The end that a line of the head states.
fn end_by(line: &str) -> Option<End> {
    let (name, value) = line.split_once(':')?;
    let value = value.trim();
    if name.eq_ignore_ascii_case("transfer-encoding") {
        let last = value.rsplit(',').next()?.trim();
        return last.eq_ignore_ascii_case("chunked").then_some(End::LastChunk);
    }
    let is_length = name.eq_ignore_ascii_case("content-length");
    value.parse().ok().filter(|_| is_length).map(End::After)
}

async fn chunks(answer: &mut (impl AsyncBufRead + Unpin)) -> Result<(), RequestError> {
    loop {
        let line = line(answer).await?;
        let size = String::from_utf8_lossy(&line);
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| RequestError::Incomplete(BODY))?;
        if size == 0 {
            break;
        }
        skip(answer, size).await?;
        self::line(answer).await?;
    }
    // Lines after the last chunk, and an empty one.
    while !line(answer).await?.trim_ascii().is_empty() {}
    Ok(())
}

async fn skip(answer: &mut (impl AsyncBufRead + Unpin), n: u64) -> Result<(), RequestError> {
    let read = copy_all(&mut answer.take(n)).await?;
    if read < n { Err(RequestError::Incomplete(BODY)) } else { Ok(()) }
}

async fn copy_all(answer: &mut (impl AsyncBufRead + Unpin)) -> Result<u64, RequestError> {
    copy(answer, &mut sink()).await.map_err(RequestError::Unread)
}

/// A line with its end; without one where the answer ends, or the line is too long.
async fn line(answer: &mut (impl AsyncBufRead + Unpin)) -> Result<Vec<u8>, RequestError> {
    let mut line = Vec::new();
    answer.take(MAX_LINE).read_until(b'\n', &mut line).await.map_err(RequestError::Unread)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(answer: &str, want: Result<u16, &str>) {
        let outcome = read(answer.as_bytes()).await;
        let outcome = outcome.as_ref().map(|code| *code).map_err(ToString::to_string);
        assert_eq!(outcome, want.map_err(str::to_owned), "{answer:?}");
    }

    #[tokio::test]
    async fn answer_is_read_to_the_end_that_its_head_states() {
        let cut = "its answer ended before its end: it closed the connection within its";
        let (head, body) = (format!("{cut} head"), format!("{cut} body"));
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Ok(200)).await;
        check("HTTP/1.1 200 OK\r\ncontent-length:3\r\n\r\nok", Err(&body)).await;
        check("HTTP/1.0 201 X\n\nall the rest", Ok(201)).await;
        check("HTTP/1.1 204 X\r\nContent-Length: 9\r\n\r\n", Ok(204)).await;
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
        check(&format!("{chunked}a;x=y\r\n0123456789\r\n0\r\nX: y\r\n\r\n"), Ok(200)).await;
        check(&format!("{chunked}a\r\n01234"), Err(&body)).await;
        check(&format!("{chunked}a\r\n0123456789\r\n"), Err(&body)).await;
        check("HTTP/1.1 200 OK\r\nContent-Len", Err(&head)).await;
        check("", Err("it closed the connection without an answer")).await;
        check("-ERR\r\n", Err("it does not speak HTTP; its answer starts with \"-ERR\\r\\n\""))
            .await;
    }

    #[tokio::test]
    async fn answer_beyond_the_bound_is_refused() {
        let (mut program, client) = tokio::io::duplex(1 << 20);
        let writing = tokio::spawn(async move {
            let _ = program.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while program.write_all(&[0; 1 << 16]).await.is_ok() {}
        });
        let error = exchange(client, "x", "/", None).await.unwrap_err();
        assert_eq!(error.to_string(), "its answer is longer than 64 MiB");
        writing.abort();
    }

    #[test]
    fn body_is_json_where_it_is_an_object_or_a_list() {
        for json in ["{\"a\": 1}", " [1]"] {
            assert_eq!(content_type(json), "application/json", "{json}");
        }
        for text in ["hello", "1", "\"a\"", "{name}", ""] {
            assert_eq!(content_type(text), "text/plain; charset=utf-8", "{text}");
        }
    }

    #[test]
    fn head_states_where_the_answer_ends() {
        assert_eq!(end_by("Content-Length: 7"), Some(End::After(7)));
        assert_eq!(end_by("Transfer-Encoding: identity"), None);
        assert_eq!(end_by("X-Content-Length: 7"), None);
    }
}
