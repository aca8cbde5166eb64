//! Lines of the protocol, in both directions. Pure: bytes in, lines out.
//!
//! A protocol line begins with `{` and ends at `\n` or `\r`. All other text is log text and is passed on as it comes.
//! Invariants: never more than the bound and one read is kept; every byte is passed on as log text, or belongs to a
//! protocol line, or is counted as skipped.

use std::borrow::Cow;

use majordomo_core::whole_number;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Bytes at the beginning and at the end of a too long line in which its id is looked for.
const EDGE: usize = 64;
/// A buffer larger than this is freed after its line.
const KEPT_BUFFER: usize = 64 << 10;

/// A part of a program's standard output.
#[derive(Debug)]
pub enum Piece<'l> {
    /// Text for the log: a part of a line, with its end.
    Log(&'l [u8]),
    /// `{"ready":true}`.
    Ready,
    /// The answer to a request.
    Answer {
        /// The id of the request.
        id: u64,
        /// The answer, or the error in words.
        result: Result<&'l RawValue, Cow<'l, str>>,
    },
    /// A protocol line that was longer than the bound, and was skipped.
    TooLong {
        /// Its id, where that is its first or its last member.
        id: Option<u64>,
        /// Its bytes.
        len: u64,
    },
}

#[derive(Debug)]
enum State {
    /// At the beginning of a line.
    Start,
    /// In log text.
    Log,
    /// In a protocol line, which is kept.
    Line,
    /// In a protocol line beyond the bound.
    Skip { id: Option<u64>, len: u64, tail: Vec<u8> },
}

/// Cuts a program's standard output into [`Piece`]s.
#[derive(Debug)]
pub struct LineDecoder {
    max: usize,
    state: State,
    line: Vec<u8>,
    /// The last line was a protocol line that ended with `\r`: a `\n` now belongs to it.
    after_return: bool,
}

impl LineDecoder {
    /// A decoder of lines of at most `max` bytes, their ends not counted.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, state: State::Start, line: Vec::new(), after_return: false }
    }

    /// Bytes that are kept for the line under way.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.line.capacity()
    }

    /// Takes bytes, and emits the pieces that end in them.
    pub fn feed(&mut self, mut bytes: &[u8], mut emit: impl FnMut(Piece<'_>)) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|b| matches!(b, b'\n' | b'\r'));
            let text = &bytes[..end.unwrap_or(bytes.len())];
            match &mut self.state {
                State::Start => {
                    if std::mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                        bytes = &bytes[1..];
                        continue;
                    }
                    self.state = if bytes[0] == b'{' { State::Line } else { State::Log };
                    continue;
                }
                State::Log => {
                    let n = end.map_or(bytes.len(), |at| at + 1);
                    emit(Piece::Log(&bytes[..n]));
                }
                State::Line if self.line.len() + text.len() > self.max => {
                    let mut edge = self.line[..self.line.len().min(EDGE)].to_vec();
                    edge.extend_from_slice(&text[..text.len().min(EDGE - edge.len())]);
                    let (id, len) = (id_at_start(&edge), self.line.len() as u64);
                    self.line = Vec::new();
                    self.state = State::Skip { id, len, tail: Vec::new() };
                    continue;
                }
                State::Line => self.line.extend_from_slice(text),
                State::Skip { len, tail, .. } => {
                    *len += text.len() as u64;
                    tail.extend_from_slice(&text[text.len().saturating_sub(EDGE)..]);
                    tail.drain(..tail.len().saturating_sub(EDGE));
                }
            }
            let Some(at) = end else { return };
            self.end_line(Some(bytes[at]), &mut emit);
            bytes = &bytes[at + 1..];
        }
    }

    /// The end of the stream, which ends a line as well.
    pub fn finish(&mut self, mut emit: impl FnMut(Piece<'_>)) {
        self.end_line(None, &mut emit);
    }

    fn end_line(&mut self, end: Option<u8>, emit: &mut impl FnMut(Piece<'_>)) {
        match std::mem::replace(&mut self.state, State::Start) {
            State::Start | State::Log => {}
            State::Line => {
                match parse(&self.line) {
                    Some(piece) => {
                        emit(piece);
                        self.after_return = end == Some(b'\r');
                    }
                    None => {
                        emit(Piece::Log(&self.line));
                        if let Some(end) = end {
                            emit(Piece::Log(&[end]));
                        }
                    }
                }
                self.line.clear();
                if self.line.capacity() > KEPT_BUFFER {
                    self.line = Vec::new();
                }
            }
            State::Skip { id, len, tail } => {
                emit(Piece::TooLong { id: id.or_else(|| id_at_end(&tail)), len });
                self.after_return = end == Some(b'\r');
            }
        }
    }
}

/// The members that the protocol knows.
#[derive(Deserialize)]
struct Members<'l> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'l RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    answer: Option<&'l RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'l RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    ready: Option<&'l RawValue>,
}

/// A member that is there, also when it is null.
fn present<'de: 'l, 'l, D: Deserializer<'de>>(d: D) -> Result<Option<&'l RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

/// A line of the protocol; none for other text.
fn parse(line: &[u8]) -> Option<Piece<'_>> {
    let members: Members<'_> = serde_json::from_slice(line).ok()?;
    let Some(id) = members.id else {
        let is_ready = members.ready.is_some_and(|ready| ready.get() == "true");
        return is_ready.then_some(Piece::Ready);
    };
    let id = whole(id.get())?;
    // Many libraries write both members and null for the one that is not meant.
    let error = members.error.filter(|error| error.get() != "null");
    let result = match (error, members.answer) {
        (Some(error), _) => Err(serde_json::from_str::<String>(error.get())
            .map_or(Cow::Borrowed(error.get()), Cow::Owned)),
        (None, answer) => Ok(answer?),
    };
    Some(Piece::Answer { id, result })
}

/// A whole number, also written `7.0`, as some languages do.
fn whole(number: &str) -> Option<u64> {
    number.parse().ok().or_else(|| whole_number(number.parse().ok()?))
}

/// The id of an object whose first member it is.
fn id_at_start(head: &[u8]) -> Option<u64> {
    let text = head.strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"id\"")?;
    let number = text.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let n_digits = number.iter().position(|b| !b.is_ascii_digit())?;
    std::str::from_utf8(&number[..n_digits]).ok()?.parse().ok()
}

/// The id of an object whose last member it is.
fn id_at_end(tail: &[u8]) -> Option<u64> {
    let text = tail.trim_ascii_end().strip_suffix(b"}")?.trim_ascii_end();
    let n_digits = text.iter().rev().position(|b| !b.is_ascii_digit())?;
    let (before, number) = text.split_at(text.len() - n_digits);
    let before = before.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
    before.strip_suffix(b"\"id\"")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// The content of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'r> {
    Text(&'r str),
    /// JSON text of an object, without line ends.
    Object(&'r str),
}

/// Line ends that JSON does not escape in texts, and at which some languages end a line.
const MORE_LINE_ENDS: [(char, &str); 3] =
    [('\u{85}', "\\u0085"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];

/// A request as one line, with its end.
pub(super) fn encode(id: u64, content: Content<'_>) -> Vec<u8> {
    let (member, json) = match content {
        // A text is always JSON.
        Content::Text(text) => ("text", serde_json::to_string(text).unwrap_or_default().into()),
        Content::Object(object) => ("object", Cow::Borrowed(object)),
    };
    // They stand in texts only.
    let json = MORE_LINE_ENDS.iter().fold(json, |json, (end, escaped)| {
        if json.contains(*end) { Cow::Owned(json.replace(*end, escaped)) } else { json }
    });
    format!("{{\"id\":{id},\"{member}\":{json}}}\n").into_bytes()
}

#[cfg(test)]
mod tests;
