//! Commands from standard input: one a line, bounded.

use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

/// Bytes of a line that are read as a command; the rest of it is skipped.
const MAX_LINE: usize = 64 * 1024;

/// The lines of standard input that are not blank, read on a task of their own so that whoever waits for the
/// next can do other things meanwhile.
pub(crate) fn stdin() -> mpsc::Receiver<String> {
    let (tx, rx) = mpsc::channel(16);
    tokio::spawn(read(BufReader::new(tokio::io::stdin()), tx));
    rx
}

async fn read(mut from: impl AsyncBufRead + Unpin, to: mpsc::Sender<String>) {
    let mut line = Vec::new();
    let mut skipped = 0;
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
            crate::print::note(&format!(
                "warning: a line is longer than {MAX_LINE} bytes; the rest was skipped"
            ));
        }
        // A line that is no UTF-8 is still a command; what cannot be read matches nothing.
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        line.clear();
        skipped = 0;
        let gone = !text.is_empty() && to.send(text).await.is_err();
        if gone || used == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded_and_the_last_needs_no_end() {
        let long = "x".repeat(MAX_LINE + 9);
        let input = format!("one\n\n  two  \n{long}\nlast");
        let (tx, mut rx) = mpsc::channel(16);
        read(input.as_bytes(), tx).await;
        let mut got = Vec::new();
        while let Some(line) = rx.recv().await {
            got.push(line);
        }
        assert_eq!(got, ["one", "two", &long[..MAX_LINE], "last"]);
    }
}
