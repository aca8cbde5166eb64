//! Commands from standard input: one a line, bounded.
//!
//! A line that is not UTF-8 is reported and left out, and the program then ends with an error; a text of another encoding
//! ends the input.

use majordomo::{EncodingError, decode_line};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

use crate::print;

/// Bytes of a line that are read as a command; the rest of it is skipped.
const MAX_LINE: usize = 64 * 1024;

/// The name of the input in messages.
const INPUT: &str = "standard input";

/// The lines of standard input that are not blank, read on a task of their own so that the reader of the
/// next line can do other things meanwhile.
#[derive(Debug)]
pub(crate) struct InputLines {
    lines: mpsc::Receiver<Result<String, EncodingError>>,
    json: bool,
    was_unreadable: bool,
}

impl InputLines {
    /// Begins to read; errors are printed as objects with `json`.
    pub(crate) fn stdin(json: bool) -> Self {
        let (tx, lines) = mpsc::channel(16);
        tokio::spawn(read(BufReader::new(tokio::io::stdin()), tx));
        Self { lines, json, was_unreadable: false }
    }

    /// The next line; none at the end. Nothing is lost when it is not waited for to the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            match self.lines.recv().await? {
                Ok(text) => return Some(text),
                Err(error) => self.report(&error),
            }
        }
    }

    fn report(&mut self, error: &EncodingError) {
        self.was_unreadable = true;
        let text = format!("{INPUT}: {error}");
        if self.json {
            let exit = crate::exit::Exit::Failure.code();
            print::json_message(&serde_json::json!({ "error": text, "exit": exit }));
        } else {
            print::error(&text);
        }
    }

    /// Whether a line could not be read, which was reported.
    pub(crate) fn was_unreadable(&self) -> bool {
        self.was_unreadable
    }
}

async fn read(
    mut from: impl AsyncBufRead + Unpin,
    to: mpsc::Sender<Result<String, EncodingError>>,
) {
    let mut line = Vec::new();
    let mut skipped = 0;
    let mut number = 1;
    loop {
        let (used, ends) = match from.fill_buf().await {
            Ok(bytes) if !bytes.is_empty() => {
                let end = bytes.iter().position(|b| *b == b'\n');
                let part = &bytes[..end.unwrap_or(bytes.len())];
                let room = MAX_LINE - line.len();
                line.extend_from_slice(&part[..part.len().min(room)]);
                skipped += part.len().saturating_sub(room);
                (end.map_or(bytes.len(), |at| at + 1), end.is_some())
            }
            // The end, or an error, which ends the input as well.
            _ => (0, true),
        };
        from.consume(used);
        if !ends {
            continue;
        }
        if skipped > 0 {
            print::message(&format!(
                "warning: a line is longer than {MAX_LINE} bytes; the rest was skipped"
            ));
            // Not in the middle of a character.
            line.truncate(whole_characters(&line));
        }
        let decoded = decode_line(&line, number).map(|text| text.trim().to_owned());
        line.clear();
        skipped = 0;
        number += 1;
        let is_last = used == 0 || matches!(&decoded, Err(error) if error.is_whole_text());
        let is_blank = decoded.as_deref() == Ok("");
        let gone = !is_blank && to.send(decoded).await.is_err();
        if gone || is_last {
            return;
        }
    }
}

/// The length of `line` without a character that is cut off at its end.
fn whole_characters(line: &[u8]) -> usize {
    match std::str::from_utf8(line) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => line.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8]) -> Vec<Result<String, String>> {
        let (tx, mut rx) = mpsc::channel(16);
        read(input, tx).await;
        let mut got = Vec::new();
        while let Some(line) = rx.recv().await {
            got.push(line.map_err(|e| e.to_string()));
        }
        got
    }

    #[tokio::test]
    async fn lines_are_bounded_and_the_last_needs_no_end() {
        let long = "x".repeat(MAX_LINE - 1);
        let input = format!("\u{feff}one\r\n\n\n  two  \n{long}éxx\nlast");
        let got: Vec<_> = lines(input.as_bytes()).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(got, ["one", "two", &long, "last"]);
    }

    #[tokio::test]
    async fn line_that_is_not_utf8_is_left_out_and_another_encoding_ends_the_input() {
        let got = lines(b"one\ncaf\xe9\nthree\n").await;
        assert_eq!((got.len(), &got[0], &got[2]), (3, &Ok("one".into()), &Ok("three".into())));
        assert!(got[1].as_ref().unwrap_err().contains("line 2: byte 4 of the line, 0xE9"));
        let got = lines(b"\xff\xfeo\0\n\0t\0w\0o\0").await;
        assert!(matches!(&got[..], [Err(e)] if e.contains("UTF-16 (little-endian)")), "{got:?}");
    }
}
